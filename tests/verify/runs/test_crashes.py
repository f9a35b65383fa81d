"""Enumeration and mutant: a run killed by SIGKILL at any moment and resumed ends bit for bit as if it never was."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def kills(what: str, folder: Path) -> int:
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("crash_worker.py")), what, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob("*.partial"))
    assert not list(folder.rglob("*.corrupt-*")), "a kill must not look like corruption"
    return int(done.stdout)


def results(store: Path) -> frozenset[tuple[str, bytes, str]]:
    """Of each run its key, its result, and the history in its record."""
    records = {path.parent: path.read_text() for path in store.glob("*/run.json")}
    return frozenset(
        (
            run.name,
            (run / "result.safetensors").read_bytes(),
            text.partition('"history"')[2].partition('"incidents"')[0],
        )
        for run, text in records.items()
    )


def test_a_killed_run_ends_bit_identically(tmp_path: Path) -> None:
    assert kills("run", tmp_path) >= 100
    # The last one was not interrupted.
    assert len({results(store) for store in tmp_path.iterdir()}) == 1


def test_a_killed_cohort_ends_bit_identically(tmp_path: Path) -> None:
    assert kills("cohort", tmp_path) >= 3
    whole = results(tmp_path / "whole")
    assert len(whole) == 3  # the minimum, SGD from there, and its anneal
    assert results(tmp_path / "killed") == whole
