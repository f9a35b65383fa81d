"""Enumeration and mutant: whoever is killed, and however many work on it, a campaign's rows come out the same."""

import csv
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.verify.campaigns.examples import command, until, written
from verify.campaigns import RowsFile, Run, Workers, load, perform, runs
from verify.cli.main import main
from verify.runs import CorruptFileError, RunStore

HOW = ("seconds", "date", "whole")


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file without when they were made, and how fast."""
    with path.open(newline="") as file:
        return [{name: cell for name, cell in row.items() if name not in HOW} for row in csv.DictReader(file)]


def status(store: Path, run: Run) -> str:
    try:
        return str(RunStore(store).record(run.key.digest)["status"])
    except CorruptFileError:  # not there yet
        return ""


def children(process: int) -> list[int]:
    """Processes of Python that a process has started to work in."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return sorted(found)


def finished_files(store: Path) -> dict[str, tuple[int, int]]:
    """Of every result that is stored: which file it is, and when it was written."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in store.glob("*/result.safetensors")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The rows of a campaign that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    plan = runs(load(written(folder)))
    RowsFile(folder / "rows.csv", plan, folder).add({run: perform(run, folder / "store") for run in plan})
    return rows(folder / "rows.csv")


def test_every_replicate_has_a_row_for_each_condition(expected: list[dict[str, str]]) -> None:
    told = {(row["root_seed"], row["scale.noisy_rate"], row["condition"], row["member"]) for row in expected}
    assert len(told) == len(expected) == 2 * 2 * 2 * 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_a_dask_worker_that_is_killed_takes_no_run_with_it(tmp_path: Path, expected: list[dict[str, str]]) -> None:
    pytest.importorskip("distributed")
    file, store = written(tmp_path), tmp_path / "store"
    plan = runs(load(file))
    process = command(file, "--store", store, "--rows", tmp_path / "rows.csv", "--executor", "dask", "--jobs", 3)
    until(lambda: process.poll() is not None or sum(status(store, run) == "running" for run in plan) == 3)
    stored = finished_files(store)
    os.kill(children(process.pid)[0], signal.SIGKILL)  # all three have a run in hand
    out, said = process.communicate()
    assert process.returncode == 0, said
    assert "4 of 4 runs finished" in out
    assert rows(tmp_path / "rows.csv") == expected
    assert stored.items() <= finished_files(store).items()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_a_command_that_is_killed_leaves_no_worker_and_two_go_on_at_once(
    tmp_path: Path, expected: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, store = written(tmp_path), tmp_path / "store"
    plan = runs(load(file))
    first = command(file, "--store", store, "--rows", tmp_path / "rows.csv")
    until(lambda: first.poll() is not None or (tmp_path / "rows.csv").exists())
    workers = children(first.pid)
    first.kill()
    first.communicate()
    assert len(workers) == 1
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    kept = rows(tmp_path / "rows.csv")
    assert kept
    assert all(row in expected for row in kept)
    stored, done = finished_files(store), sum(status(store, run) == "finished" for run in plan)
    assert 1 <= done < 4

    second = command(file, "--store", store, "--rows", tmp_path / "rows.csv")
    until(lambda: second.poll() is not None or any(status(store, run) == "running" for run in plan))
    monkeypatch.setattr(Workers, "open", lambda self: ThreadPoolExecutor(1))  # of a third, in this process
    assert main(["campaign", str(file), "--store", str(store), "--rows", str(tmp_path / "other.csv")]) == 0
    _, said = second.communicate()
    assert second.returncode == 0, said
    assert f"4 runs, {done} of them done before" in said
    assert rows(tmp_path / "rows.csv") == rows(tmp_path / "other.csv") == expected
    assert stored.items() <= finished_files(store).items()
    assert not list(store.glob("*/*.corrupt-*"))
