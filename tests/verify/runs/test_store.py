"""Property and mutant tests of the run store: keys, locks, corruption, failures, immutability, pruning, the verb."""

import contextlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from verify.cli.main import main
from verify.runs import (
    Checkpointer,
    CorruptFileError,
    DivergedRunError,
    RecordedFailureError,
    RunKey,
    RunLockedError,
    RunStore,
    complete,
    default_root,
    tensors_digest,
)
from verify.runs.failures import ImmutableResultError, status_of
from verify.runs.keys import library_versions, source_digests
from verify.runs.run import checkpoint_numbers
from verify.runs.sealed import LAYOUT, canonical_json, read_sealed

ROOT = Path(__file__).parents[3]
KEY = RunKey({"width": 8, "rate": 0.1}, 0, {"m": "0"}, {"torch": "1"})


class Counting:
    """Adds 1 to a tensor until it holds 6; may raise at one value."""

    def __init__(self, error: tuple[int, Exception] | None = None) -> None:
        self.value, self.error, self.started_at = torch.zeros(3), error, 0.0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"value": self.value}, {"note": "x"}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        assert meta == {"note": "x"}
        self.value = tensors["value"]
        self.started_at = float(self.value[0])

    def done(self) -> bool:
        return bool(self.value[0] >= 6)

    def advance(self) -> dict[str, Any]:
        self.value = self.value + 1
        if self.error is not None and self.value[0] == self.error[0]:
            raise self.error[1]
        return {"progress": int(self.value[0]), "loss": 1 / float(self.value[0])}

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"value": self.value}, {"sum": float(self.value.sum())}


def interrupted(store: RunStore) -> Path:
    """Leave a run as Ctrl-C does, with checkpoints at 3 and 4."""
    with contextlib.suppress(KeyboardInterrupt), store.open(KEY) as run:
        work = Counting()
        checkpointer = Checkpointer(run, work, 0)
        for _ in range(4):
            metrics = work.advance()
            checkpointer.tick(metrics.pop("progress"), metrics)
        raise KeyboardInterrupt
    return store.folder(KEY.digest)


def test_closed_form_canonical_json_does_not_depend_on_order_and_keeps_every_bit() -> None:
    value = {"b": [0.1, 1e-300, -0.0, 2**60, math.inf], "a": {"y": None, "x": True}, "c": "τ"}
    assert canonical_json(value) == canonical_json(dict(reversed(value.items())))
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize(
    "other",
    [
        RunKey({"width": 8, "rate": 0.1 + 2**-56}, 0, {"m": "0"}, {"torch": "1"}),
        RunKey({"width": 8, "rate": 0.1}, 1, {"m": "0"}, {"torch": "1"}),
        RunKey({"width": 8, "rate": 0.1}, 0, {"m": "1"}, {"torch": "1"}),
        RunKey({"width": 8, "rate": 0.1}, 0, {"m": "0"}, {"torch": "2"}),
        RunKey({"width": True, "rate": 0.1}, 0, {"m": "0"}, {"torch": "1"}),
        RunKey({"width": 8, "rate": 0.1}, 0, {"m": "0"}, {"torch": "1"}, LAYOUT - 1),
    ],
)
def test_property_every_part_is_in_the_key(other: RunKey) -> None:
    assert other.digest != KEY.digest
    assert RunKey({"rate": 0.1, "width": 8}, 0, {"m": "0"}, {"torch": "1"}).digest == KEY.digest


def test_source_digests_change_with_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "runs_own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1\n")
    first = source_digests(["runs_own_package", "runs_own_package.part"])
    assert source_digests(["runs_own_package", "runs_own_package.part"]) == first
    (package / "part.py").write_text("x = 2\n")
    second = source_digests(["runs_own_package", "runs_own_package.part"])
    assert all(first[name] != second[name] for name in first)
    for name in ("math", "no_such.module"):
        with pytest.raises(ValueError, match=f"expected a module with a Python source file, got '{name}'"):
            source_digests([name])
    assert RunKey.of({}, 0, ["verify.streams"]).versions == library_versions()


def test_a_digest_of_tensors_tells_numbers_shapes_types_and_order_apart() -> None:
    zeros = torch.zeros(4)
    others = [-zeros, zeros.view(2, 2), zeros.to(torch.int32), torch.cat([zeros[1:], torch.full((1,), 1e-45)])]
    found = {tensors_digest(own) for own in (zeros, *others)} | {tensors_digest(zeros, zeros), tensors_digest()}
    assert len(found) == len(others) + 3
    assert tensors_digest(zeros, others[1]) != tensors_digest(others[1], zeros)
    transposed = torch.arange(6.0).view(2, 3).T
    assert tensors_digest(transposed) == tensors_digest(transposed.clone().requires_grad_())


def test_a_finished_run_is_not_computed_again_and_its_result_cannot_change(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first = complete(store, KEY, Counting)
    again = complete(store, KEY, lambda: pytest.fail("it has a result"))
    assert again.content == first.content == {"sum": 18.0}
    assert torch.equal(again.tensors["value"], first.tensors["value"])
    record = store.record(KEY.digest)
    assert record["status"] == "finished"
    assert [entry["progress"] for entry in record["history"]] == [1, 2, 3, 4, 5, 6]
    with store.open(KEY) as run:
        with pytest.raises(ImmutableResultError, match="takes no result"):
            run.finish({"sum": 0.0}, {})
        with pytest.raises(ImmutableResultError, match="takes no checkpoint"):
            run.save(1, {}, {}, [])
    with pytest.raises(RuntimeError, match="expected an open run"):
        run.save(1, {}, {}, [])


def test_two_checkpoints_are_kept_and_work_resumes_from_the_newest(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    assert checkpoint_numbers(interrupted(store)) == [2, 3]
    assert store.record(KEY.digest)["status"] == "interrupted"
    work = Counting()
    assert complete(store, KEY, lambda: work).content == {"sum": 18.0}
    assert work.started_at == 4
    assert len(store.record(KEY.digest)["history"]) == 6


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.rindex(b"4") if path.suffix == ".json" else len(content) - 1] ^= 1
    path.write_bytes(bytes(content))


def garble(path: Path) -> None:
    path.write_bytes(b"\xff{")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def reword(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"value", b"valid").replace(b'"seed": 0', b'"seed": 1'))


DAMAGES = [truncate, flip, garble, empty, reword]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("numbers", [(3,), (3, 2)])
def test_mutant_corrupt_checkpoints_are_named_set_aside_and_recomputed(
    tmp_path: Path, damage: Callable[[Path], None], numbers: tuple[int, ...]
) -> None:
    store = RunStore(tmp_path)
    folder = interrupted(store)
    names = [f"checkpoint-{number}.safetensors" for number in numbers]
    for name in names:
        damage(folder / name)
    assert {problem.path.name for problem in store.check(KEY.digest)} == set(names)
    work = Counting()
    assert complete(store, KEY, lambda: work, every_seconds=0).content == {"sum": 18.0}
    assert work.started_at == (3 if len(numbers) == 1 else 0)
    incidents = store.record(KEY.digest)["incidents"]
    assert [incident["file"] for incident in incidents] == names
    assert all((folder / incident["set_aside"]).exists() for incident in incidents)
    assert not store.check(KEY.digest)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["result.safetensors", "run.json"])
def test_mutant_a_corrupt_result_or_record_is_set_aside_and_made_again(
    tmp_path: Path, damage: Callable[[Path], None], name: str
) -> None:
    store = RunStore(tmp_path)
    first = complete(store, KEY, Counting)
    damage(store.folder(KEY.digest) / name)
    again = complete(store, KEY, Counting)
    assert torch.equal(again.tensors["value"], first.tensors["value"])
    record = store.record(KEY.digest)
    assert record["status"] == "finished"
    assert [incident["file"] for incident in record["incidents"]] == [name]


def test_mutant_files_of_another_run_or_place_are_corrupt(tmp_path: Path) -> None:
    store, other = RunStore(tmp_path), RunKey({}, 5, {}, {})
    complete(store, other, Counting)
    folder = interrupted(store)
    (folder / "run.json").write_bytes((store.folder(other.digest) / "run.json").read_bytes())
    (folder / "checkpoint-3.safetensors").replace(folder / "checkpoint-2.safetensors")
    record, checkpoint = store.check(KEY.digest)
    assert "another run's" in record.reason
    assert "expected checkpoint 2, got 3" in checkpoint.reason
    for text, reason in [("[1]", "an object with"), ('{"layout":99,"body":{}}', f"expected layout {LAYOUT}, got 99")]:
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(CorruptFileError, match=reason):
            read_sealed(tmp_path / "x.json")


def test_at_most_the_promised_seconds_are_lost(tmp_path: Path) -> None:
    # Pieces of 7 s, a save of 2 s: the longest time from a saved moment to the end of the next save is at most 60 s.
    time = 0.0

    class Slow(Counting):
        def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
            nonlocal time
            time += 2
            return super().state()

    saved = [0.0]
    with RunStore(tmp_path).open(KEY) as run:
        checkpointer = Checkpointer(run, Slow(), 60, clock=lambda: time)
        for progress in range(100):
            time += 7
            before = time
            if checkpointer.tick(progress):
                assert time - saved[-1] <= 60 or len(saved) == 1  # the first save's own length was unknown
                saved.append(before)
        assert len(saved) == pytest.approx(100 * 7 / (60 - 9), rel=0.25)
        with pytest.raises(ValueError, match="expected every_seconds >= 0"):
            Checkpointer(run, Slow(), -1)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DivergedRunError("loss is nan at step 5"), "diverged"),
        (FloatingPointError("overflow"), "diverged"),
        (MemoryError(), "out-of-memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out-of-memory"),
        (ValueError("a bug"), "failed"),
    ],
)
def test_how_a_run_ends_is_recorded_with_its_last_checkpoint(tmp_path: Path, error: Exception, status: str) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(type(error)):
        complete(store, KEY, lambda: Counting((5, error)), every_seconds=0)
    record = store.record(KEY.digest)
    assert record["status"] == status
    assert str(error) in record["report"]
    assert "after progress 4; checkpoint 3 is kept" in record["report"]
    work = Counting()
    if status == "diverged":
        with pytest.raises(RecordedFailureError, match="recorded as diverged") as refused:
            complete(store, KEY, lambda: work)
        assert refused.value.status == "diverged"
        assert store.record(KEY.digest) == record
    else:
        complete(store, KEY, lambda: work)
        assert work.started_at == 4
        assert store.record(KEY.digest)["report"] == ""


def test_real_allocation_failures_of_torch_are_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert status_of(caught.value) == "out-of-memory"
    assert status_of(KeyboardInterrupt()) is None


_HOLD = """
import sys
from pathlib import Path
from verify.runs import RunKey, RunStore
with RunStore(Path(sys.argv[1])).open(RunKey({}, 0, {}, {})):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_excludes_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    store, key = RunStore(tmp_path), RunKey({}, 0, {}, {})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        assert store.record(key.digest)["status"] == "running"
        with pytest.raises(RunLockedError, match="held by another process"), store.open(key):
            pass
        assert not list(store.removals(unfinished=True))
        process.kill()
    assert store.record(key.digest)["status"] == "interrupted"
    (removal,) = store.removals(unfinished=True)
    with store.open(key):
        with pytest.raises(RunLockedError), store.open(key):
            pass
        assert store.is_open(key.digest), "a refused second lock must not release the first"
        assert not store.remove(removal)
    assert not store.is_open(key.digest)


def test_tensors_read_back_with_their_dtypes_even_when_they_share_memory(tmp_path: Path) -> None:
    base = torch.arange(6.0, dtype=torch.float64)
    tensors = {
        "view": base.reshape(2, 3).mT,
        "base": base,
        "count": torch.tensor(3),
        "flags": torch.tensor([True, False]),
        "half": torch.tensor([1.5, math.nan], dtype=torch.bfloat16),
        "none": torch.zeros(0, 2),
        "generator": torch.Generator().get_state(),
    }
    with RunStore(tmp_path).open(KEY) as run:
        run.save(1, tensors, {"best": math.inf}, [{"loss": math.nan}])
        latest = run.latest()
    assert latest is not None
    body, found = latest
    assert body["meta"] == {"best": math.inf}
    assert math.isnan(body["history"][0]["loss"])
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name].nan_to_num(), tensor.nan_to_num())


def test_the_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLATPROOF_RUNS", "/x/runs")
    assert default_root() == Path("/x/runs")
    monkeypatch.delenv("FLATPROOF_RUNS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert default_root() == Path("/c/flatproof/runs")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_root() == Path.home() / ".cache" / "flatproof" / "runs"


def document(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> Any:
    assert main(["runs", "--json", *words, "--root", str(root)]) == 0
    loaded = json.loads(capsys.readouterr().out)
    assert (loaded["schema"], loaded["verb"]) == (1, "runs")
    return loaded["runs"]


def text(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> str:
    assert main(["runs", *words, "--root", str(root)]) == 0
    return capsys.readouterr().out


def test_the_verb_lists_shows_and_prunes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def removed(*words: str) -> dict[str, list[str]]:
        """What is pruned: the files by key, none for a whole run."""
        return {item["key"]: item["files"] for item in document(capsys, tmp_path, "prune", *words)["removed"]}

    def statuses() -> dict[str, str]:
        return {run["key"]: run["status"] for run in document(capsys, tmp_path, "list")["runs"]}

    assert "no runs in" in text(capsys, tmp_path, "list")
    store, done, old = RunStore(tmp_path), RunKey({"rate": math.inf}, 1, {}, {}), tmp_path / ("0" * 64)
    interrupted(store)
    complete(store, done, Counting, every_seconds=0)
    old.mkdir()
    (old / "run.json").write_text('{"schema": 1, "sha256": "", "body": {"status": "finished"}}')
    assert statuses() == {KEY.digest: "interrupted", done.digest: "finished", old.name: "outdated"}
    assert "prune --outdated" in text(capsys, tmp_path, "list")

    broken = "checkpoint-5.safetensors"
    flip(store.folder(done.digest) / broken)
    shown = document(capsys, tmp_path, "show", done.digest[:8])["run"]
    assert shown["result"] == {"content": {"sum": 18.0}, "tensors": {"value": [3]}}
    assert [problem["file"] for problem in shown["problems"]] == [broken]
    assert shown["configuration"] == {"rate": {"$float": "inf"}}
    assert "6 entries" in text(capsys, tmp_path, "show", done.digest[:8])

    assert removed("--unfinished", "--dry-run") == {KEY.digest: []}
    assert "would remove" in text(capsys, tmp_path, "prune", "--unfinished", "--dry-run")
    assert removed("--unfinished", "--older-than", "1") == {}
    assert len(statuses()) == 3
    assert removed("--outdated") == {old.name: []}
    assert "--outdated" not in text(capsys, tmp_path, "list")
    assert removed("--unfinished", "--corrupt") == {KEY.digest: [], done.digest: [broken]}
    assert not store.check(done.digest)
    garble(store.folder(done.digest) / "run.json")
    assert statuses() == {done.digest: "corrupt"}
    assert "run.json" in text(capsys, tmp_path, "show", done.digest[:8])
    assert "removed 1 items" in text(capsys, tmp_path, "prune", "--corrupt")
    interrupted(store)
    assert removed("--older-than", "0") == {KEY.digest: []}
    assert store.digests() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "ab"], "no runs in"),
        (["show", ""], "2 runs in"),
        (["prune"], "say what to remove"),
        (["prune", "--older-than", "-1"], "at least 0 days"),
    ],
)
def test_wrong_requests_say_what_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    for name in ("0" * 64, "1" * 64):
        (tmp_path / name).mkdir()
    assert main(["runs", *words, "--root", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
