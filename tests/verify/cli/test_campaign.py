"""`flatproof campaign`: what it prints and writes, what is left after a failure or Ctrl-C, wrong words."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.verify.campaigns.examples import written
from verify.campaigns import Run, Workers, load, perform, runs, work
from verify.cli.main import main
from verify.cohorts import Cohort
from verify.runs import RunStore


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are made in this process."""
    monkeypatch.setattr(Workers, "open", lambda self: ThreadPoolExecutor(1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path, ("noisy_rate = [0.1, 0.2]", ""))


def test_what_is_left_and_how_long_it_takes(tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["campaign", str(file), "--store", str(tmp_path / "store"), "--dry-run"]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)["campaign"]
    (timed,) = content["estimates"]
    assert (content["runs"], content["finished"], content["conditions"]) == (2, 0, ["polished", "sampled"])
    assert (timed["family"], timed["point"], timed["runs"], timed["source"]) == ("hmm", {}, 2, "timed")
    assert timed["seconds"] > 0
    assert not (tmp_path / "store").exists()

    found = perform(runs(load(file))[1], tmp_path / "store")
    assert main(words) == 0
    seconds = found.content["seconds"]
    assert capsys.readouterr().out.splitlines() == [
        f"tiny: 1 of 2 runs finished, kept in {tmp_path / 'store'}",
        f"hmm: 1 to do, {seconds:.3g} s each, as finished ones took",
        f"2 conditions; to do: some {seconds / 3600:.3g} hours of one core, less what is stored",
    ]


@pytest.mark.usefixtures("here")
def test_rows_come_as_runs_are_done_and_nothing_is_done_twice(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "rows.csv"
    words = ["campaign", str(file), "--store", str(tmp_path / "store"), "--rows", str(table)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out == f"tiny: 2 of 2 runs finished, kept in {tmp_path / 'store'}\nrows in {table}\n"
    first, second, third = said.err.splitlines()
    assert first == "2 runs, 0 of them done before"
    assert second.startswith("hmm, root seed 3: ")
    assert second.endswith(" s; 1 of 2, 0 min left")
    assert third.startswith("hmm, root seed 4: ")
    whole = table.read_bytes()
    assert whole.count(b"\n") == 1 + 2 * 2 * 2

    table.unlink()
    monkeypatch.setattr(Workers, "open", lambda self: pytest.fail("opened"))
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == "2 runs, 2 of them done before\n"
    assert json.loads(said.out)["campaign"] == {
        **{"name": "tiny", "store": str(tmp_path / "store"), "runs": 2, "conditions": ["polished", "sampled"]},
        **{"rows": str(table), "finished": 2, "failed": []},
    }
    assert table.read_bytes() == whole


@pytest.mark.usefixtures("here")
def test_a_run_that_another_process_does_is_taken_up_at_the_end(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = runs(load(file))
    asked: list[bool] = []

    def held_once(run: Run, root: Path, *, waits: bool = False) -> Any:
        asked.append(waits)
        if run.key.digest != first.key.digest or waits:
            return perform(run, root, waits=waits)
        with RunStore(root).open(run.key):
            return perform(run, root)

    monkeypatch.setattr("verify.campaigns.perform", held_once)
    assert main(["campaign", str(file), "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert asked == [False, False, True]
    assert said[1] == "hmm, root seed 3: another process does it; taken up again at the end"
    assert [line.split(":")[0] for line in said[2:]] == ["hmm, root seed 4", "hmm, root seed 3"]


@pytest.mark.usefixtures("here")
def test_error_a_run_that_fails_lets_the_others_go_on(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unlucky(Cohort):
        def end(self, name: str) -> Any:
            if self.seeds("language", again=True) == seeds:
                raise ArithmeticError("no such number")
            return super().end(name)

    run = runs(load(file))[0]
    seeds = Cohort(run.family, run.scale, run.root_seed).seeds("language", again=True)
    monkeypatch.setattr(work, "Cohort", Unlucky)
    assert main(["campaign", str(file), "--store", str(tmp_path / "store")]) == 1
    said = capsys.readouterr()
    assert "hmm, root seed 3: failed: ArithmeticError: no such number; 1 of 2" in said.err
    assert said.out.splitlines() == [
        f"tiny: 1 of 2 runs finished, kept in {tmp_path / 'store'}",
        "failed: hmm, root seed 3: ArithmeticError: no such number",
    ]
    monkeypatch.undo()
    assert perform(run, tmp_path / "store").status == "finished"


def test_ctrl_c_keeps_what_is_done(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pressed(ThreadPoolExecutor):
        def submit(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
            if made:
                raise KeyboardInterrupt
            made.append(1)
            return super().submit(function, *arguments, **options)

    made: list[int] = []
    table = tmp_path / "rows.csv"
    monkeypatch.setattr(Workers, "open", lambda self: Pressed(1))
    assert main(["campaign", str(file), "--store", str(tmp_path / "store"), "--rows", str(table)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("interrupted; what is done is kept, and the same command goes on\n")
    assert table.read_bytes().count(b"\n") == 1 + 2 * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "0"], "expected --jobs of at least 1, got 0"),
        (["--executor", "threads"], "expected --executor processes, dask or tcp://HOST:PORT, got 'threads'"),
        (["--rows", "rows.txt"], "expected --rows FILE.csv or FILE.parquet, got rows.txt"),
        (["--device", "cuda:99"], "expected a CUDA device for --device cuda:99"),
    ],
)
def test_error_wrong_words(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["campaign", str(file), "--store", str(tmp_path / "store"), *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"flatproof: error: {message}")


def test_error_a_file_that_is_not_there_or_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", str(tmp_path / "none.toml")]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["campaign", str(written(tmp_path, ('"small"', '"tall"')))]) == 2
    assert "scale: expected one of small, " in capsys.readouterr().err
