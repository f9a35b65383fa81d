"""Enumeration and mutant: a run killed by SIGKILL at any moment and resumed ends bit for bit as if it never was."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_worker(name: str, folder: Path) -> str:
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name(name)), str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outcome(store: Path) -> tuple[bytes, str]:
    """The result's file, and the history in the record."""
    (folder,) = [path for path in store.iterdir() if path.name != "locks"]
    assert not list(folder.glob("*.partial"))
    assert not list(folder.glob("*.corrupt-*")), "a kill must not look like corruption"
    record = (folder / "run.json").read_text()
    return (folder / "result.safetensors").read_bytes(), record[record.index('"history"') : record.index('"incidents"')]


def test_a_killed_run_ends_bit_identically(tmp_path: Path) -> None:
    assert int(run_worker("crash_worker.py", tmp_path)) >= 100
    # The last one was not interrupted.
    assert len({outcome(folder) for folder in tmp_path.iterdir()}) == 1


def test_a_killed_cohort_ends_bit_identically(tmp_path: Path) -> None:
    run_worker("cohort_worker.py", tmp_path)
    killed, whole = (
        {path.parent.name: path.read_bytes() for path in (tmp_path / name).glob("*/result.safetensors")}
        for name in ("killed", "whole")
    )
    assert len(whole) == 3  # the minimum, SGD from there, and its anneal
    assert killed == whole
