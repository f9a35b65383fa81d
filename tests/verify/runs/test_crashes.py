"""Enumeration and mutant: a run killed by SIGKILL at any moment and resumed ends bit for bit as if it never was."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKER = Path(__file__).with_name("crash_worker.py")
COHORT_WORKER = Path(__file__).with_name("cohort_worker.py")


def run_worker(worker: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", str(worker), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def outcome(store: Path) -> tuple[bytes, bytes, str]:
    """The result's two files, and the history in the record."""
    (folder,) = [path for path in store.iterdir() if path.name != "locks"]
    assert not list(folder.glob("*.partial"))
    assert not list(folder.glob("*.corrupt-*")), "a kill must not look like corruption"
    record = (folder / "run.json").read_text()
    history = record[record.index('"history"') : record.index('"incidents"')]
    return (folder / "result.json").read_bytes(), (folder / "result.safetensors").read_bytes(), history


@pytest.mark.parametrize(("mode", "least"), [("operation", 150), ("torn", 15), ("clock", 8)])
def test_a_killed_run_ends_bit_identically(tmp_path: Path, mode: str, least: int) -> None:
    kills = int(run_worker(WORKER, mode, str(tmp_path)))
    assert kills >= least
    outcomes = {outcome(folder) for folder in tmp_path.iterdir()}
    # The last k of `operation` and `torn` is the uninterrupted run itself; for `clock` run one beside it.
    if mode == "clock":
        run_worker_uninterrupted = tmp_path / "whole"
        subprocess.run(
            [sys.executable, "-c", _WHOLE, str(run_worker_uninterrupted)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{WORKER.parent}"},
            check=True,
        )
        outcomes.add(outcome(run_worker_uninterrupted))
    assert len(outcomes) == 1


def test_a_killed_cohort_ends_bit_identically(tmp_path: Path) -> None:
    run_worker(COHORT_WORKER, str(tmp_path))
    killed, whole = (
        {(path.parent.name, path.name): path.read_bytes() for path in (tmp_path / name).glob("*/result.*")}
        for name in ("killed", "whole")
    )
    assert len({run for run, _ in whole}) == 3  # the minimum, SGD from there, and its way down
    assert killed == whole


_WHOLE = """
import sys
from pathlib import Path
from crash_worker import KEY, Descent, complete, RunStore
complete(RunStore(Path(sys.argv[1])), KEY, Descent, every_seconds=1e9)
"""
