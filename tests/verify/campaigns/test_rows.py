"""Property: a file of rows holds whole runs of its campaign in the order of the grid, whoever wrote them and when."""

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.verify.campaigns.examples import written
from verify.campaigns import Outcome, RowsError, RowsFile, Run, load, runs
from verify.environment import hardware, versions


def outcome(run: Run) -> Outcome:
    """What a run of two members might have found."""
    numbers: list[dict[str, Any]] = [
        {"member": member, "condition": name, "labels": "soft", "excess": 0.1 * run.root_seed, "momentum": None}
        for name in run.conditions
        for member in range(2)
    ]
    when = {"seconds": 1.25, "whole": True, "date": "2026-01-01T00:00:00+00:00"}
    return Outcome("finished", {"rows": numbers, "hardware": hardware("cpu"), "versions": versions(), **when})


@pytest.fixture
def plan(tmp_path: Path) -> list[Run]:
    return runs(load(written(tmp_path, ("members = 2\n", "members = 2\nlabels = 8\n"))))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_runs_come_in_the_order_of_the_grid_however_they_are_added(tmp_path: Path, plan: list[Run]) -> None:
    path = tmp_path / "rows.csv"
    first, second = RowsFile(path, plan, tmp_path / "store"), RowsFile(path, plan, tmp_path / "store")
    assert not path.exists()
    first.add({plan[3]: outcome(plan[3])})
    second.add({plan[0]: outcome(plan[0]), plan[2]: outcome(plan[2])})
    first.add({plan[3]: outcome(plan[3])})
    found = read(path)
    assert [row["run"] for row in found] == [run.key.digest[:12] for run in (plan[0], plan[2], plan[3]) for _ in "abcd"]
    whole = path.read_bytes()
    second.add({})
    assert path.read_bytes() == whole


def test_a_row_has_what_was_set_found_and_run_on(tmp_path: Path, plan: list[Run]) -> None:
    path = tmp_path / "rows.csv"
    RowsFile(path, plan, tmp_path).add({plan[1]: outcome(plan[1])})
    row = read(path)[3]
    assert (row["family"], row["scale"], row["root_seed"], row["member"]) == ("hmm", "small", "4", "1")
    assert (row["condition"], row["labels"], row["scale.labels"], row["scale.noisy_rate"]) == (
        *("sampled", "soft", "8", "0.1"),
    )
    assert (float(row["excess"]), row["momentum"], row["seconds"], row["device"]) == (0.4, "", "1.2", "cpu")
    assert row["torch"] == versions()["torch"]
    assert len(row["sources"]) == 12


def test_error_rows_of_other_runs_are_not_written_over(tmp_path: Path, plan: list[Run]) -> None:
    path, others = tmp_path / "rows.csv", runs(load(written(tmp_path)))
    RowsFile(path, others, tmp_path).add({others[0]: outcome(others[0])})
    whole = path.read_bytes()
    with pytest.raises(RowsError, match=f"got run {others[0].key.digest[:12]}, of another campaign.*; name another"):
        RowsFile(path, plan, tmp_path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", None, "expected --rows FILE.csv or FILE.parquet, got .*rows.json"),
        ("rows.csv", b"a,b\n1,2\n", "expected .*rows.csv to hold rows of runs, got something else; name another file"),
        ("rows.csv", b"\xff\xfe\x00", "expected .*rows.csv to hold rows of runs, got .*; name another file"),
    ],
)
def test_error_a_file_that_is_none_of_rows(
    tmp_path: Path, plan: list[Run], name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(RowsError, match=message):
        RowsFile(tmp_path / name, plan, tmp_path)


def test_error_parquet_without_pyarrow(tmp_path: Path, plan: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RowsError, match=r"expected the package pyarrow .*; pip install pyarrow, or write .csv"):
        RowsFile(tmp_path / "rows.parquet", plan, tmp_path)


def test_cross_library_parquet_has_the_same_rows(tmp_path: Path, plan: list[Run]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for ending in ("csv", "parquet"):
        for number in (3, 1):
            file = RowsFile(tmp_path / f"rows.{ending}", plan, tmp_path)
            file.add({plan[number]: outcome(plan[number])})
    table = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    shown = [{name: "" if cell is None else str(cell) for name, cell in row.items()} for row in table]
    assert shown == read(tmp_path / "rows.csv")
