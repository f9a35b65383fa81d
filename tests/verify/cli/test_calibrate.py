"""`flatproof calibrate`: one real root seed, going on after an interruption, bad lines and wrong words."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.verify.trial.test_calibration import trials
from verify.claims.transfer.test_transfer_pairs import designs
from verify.cli import calibrate as cli
from verify.cli.main import main
from verify.trial import Evidence, read
from verify.trial.evidence import append

ROOT = Path(__file__).parents[3]
CLAIM = "transfer-pairs"


def test_a_root_seed_is_measured_by_the_suites_own_tests_and_shown(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    command = [*(sys.executable, "-m", "verify", "calibrate", CLAIM), "--root-seeds", "5", "5", f"--evidence={path}"]
    environment = {**os.environ, "PYTEST_ADDOPTS": "--no-such-option"}
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "root seed 5, 1 of 1: 1 supported; 0 min left\n"
    (found,) = read(path)
    assert (found.claim, found.root_seed, found.profile) == (CLAIM, 5, "quick")
    content = json.loads(done.stdout)["calibrate"]
    assert content["claims"][0]["root_seeds"] == [5]
    assert content["failed"] == []


class Runs:
    """Stands for the suite: sound evidence at once, Ctrl-C or an error at chosen root seeds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seeds: list[int] = []
        self.interrupted: int | None = None
        self.broken: int | None = None
        monkeypatch.setattr(cli, "_run", self)

    def __call__(self, files: Sequence[Path], seed: int) -> list[Evidence]:
        assert [file.name for file in files] == ["test_transfer_pairs.py"]
        if seed == self.interrupted:
            raise KeyboardInterrupt
        self.seeds.append(seed)
        return [] if seed == self.broken else trials(designs=designs("quick"), seeds=[seed])


def words(path: Path, first: int, last: int) -> list[str]:
    return ["calibrate", CLAIM, "--root-seeds", str(first), str(last), "--evidence", str(path)]


def test_it_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, runs = tmp_path / "evidence.jsonl", Runs(monkeypatch)
    runs.interrupted = 4
    assert main(words(path, 1, 6)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "root seed 3, 3 of 6: 1 supported" in printed.err
    assert "interrupted; what is finished is in the file, and the same command goes on" in printed.err
    runs.interrupted = None
    assert main(words(path, 1, 6)) == 0
    assert runs.seeds == [1, 2, 3, 4, 5, 6]
    assert [item.root_seed for item in read(path)] == runs.seeds
    assert "root seed 4, 1 of 3" in capsys.readouterr().err


def test_evidence_of_another_design_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, runs = tmp_path / "evidence.jsonl", Runs(monkeypatch)
    first, *others = designs("quick")
    object.__setattr__(first, "alpha", first.alpha / 2)
    append(path, trials(designs=(first, *others), seeds=[1])[0])
    append(path, trials(designs=designs("quick"), seeds=[2])[0])
    assert main(words(path, 1, 2)) == 0
    assert runs.seeds == [1]


def test_a_trial_without_verdict_is_said_and_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, runs = tmp_path / "evidence.jsonl", Runs(monkeypatch)
    runs.broken = 2
    append(path, trials(seeds=[2])[0])
    assert main(words(path, 1, 3)) == 1
    printed = capsys.readouterr()
    assert "no verdict of transfer-pairs: pytest verify/ --profile quick --root-seed 2 shows why" in printed.err
    assert "NO VERDICT: transfer-pairs at 1 root seeds, the first 2." in printed.out


def test_good_lines_of_a_damaged_file_are_kept_and_the_others_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evidence.jsonl"
    for item in trials(seeds=range(3)):
        append(path, item)
    path.write_bytes(path.read_bytes()[:-300])
    assert main(["calibrate", "--evidence", str(path), "--markdown"]) == 2
    printed = capsys.readouterr()
    assert "| `slow-flow` | 2 | 2 | 0 | 0 |" in printed.out
    assert f"left out: {path}, line 3: expected a JSON document" in printed.err


def test_a_promise_that_does_not_hold_is_exit_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evidence.jsonl"
    for item in trials(seeds=range(10), off=0.0):
        append(path, item)
    assert main(["calibrate", "--evidence", str(path)]) == 1
    assert "FAILS: slow-flow, control: off: refuted with probability at least 0.95: 0 of 10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("own", "remedy"),
    [
        (["no-such-claim"], "the claims are"),
        (["--root-seeds", "1", "2"], "got no file; name a file that may grow"),
        (["--root-seeds", "2", "1", "--evidence", "FILE"], "got 2 to 1; name a file"),
        (["algorithm", "--root-seeds", "1", "2", "--evidence", "FILE"], "got algorithm: it trains no networks"),
        (["--evidence", "FILE"], "No such file"),
    ],
)
def test_wrong_words_are_one_clear_error(
    own: list[str], remedy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [str(tmp_path / "missing.jsonl") if word == "FILE" else word for word in own]
    assert main(["calibrate", *own]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert remedy in printed.err
    assert not (tmp_path / "missing.jsonl").exists()
