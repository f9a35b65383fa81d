"""The table of a campaign: one row per replicate and condition, in CSV or Parquet, always whole on disk."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from verify.campaigns.grid import Run
from verify.campaigns.work import Outcome
from verify.runs.sealed import digest, reaching, write_atomically

Row = dict[str, Any]


class RowsError(ValueError):
    """A file of rows that cannot be written, or that holds other rows."""


def rows_of(run: Run, outcome: Outcome) -> Iterator[Row]:
    """Give the rows of a finished run, with its settings in front and what it ran on behind."""
    content = outcome.content
    hardware, versions = content["hardware"], content["versions"]
    front = {"run": run.key.digest[:12], "family": run.family, "scale": run.scale.name, "root_seed": run.root_seed}
    # A tuple, such as the names of evaluations, is one cell.
    cells = {k: ";".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in run.settings.items()}
    front |= {f"scale.{name}": cell for name, cell in cells.items()}  # a scale and a condition both have `labels`
    behind = {
        "seconds": round(content["seconds"], 1),
        "device": hardware.get("gpu", hardware["device"]),
        "processor": hardware["processor"],
        "cores": hardware["cores"],
        **{name: versions[name] for name in ("flatproof", "python", "numpy", "torch")},
        "sources": digest(dict(run.key.sources))[:12],
        "date": content["date"],
    }
    for row in content["rows"]:
        yield {**front, **row, **behind}


class RowsFile:
    """A file of the rows of one campaign, run by run in the order of its grid.

    It is written anew at every finished run, so that a reader or a kill at any moment sees whole runs only; two
    commands that do the same campaign may write to it at once.

    Args:
        path: `.csv`, or `.parquet` where pyarrow is installed.
        runs: of the campaign.
        root: folder of the store, where the file's lock is.

    Raises:
        RowsError: the ending is another one, pyarrow is missing, or the file holds rows of other runs.
    """

    def __init__(self, path: Path, runs: Sequence[Run], root: Path) -> None:
        if path.suffix not in (".csv", ".parquet"):
            raise RowsError(f"expected --rows FILE.csv or FILE.parquet, got {path}; name it by what it is to be")
        if path.suffix == ".parquet":
            _pyarrow()
        self.path, self._order = path, {run.key.digest[:12]: number for number, run in enumerate(runs)}
        with reaching(root):
            (root / "locks").mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(root / "locks" / digest(["rows", str(path.resolve())]))
        self.add({})

    def add(self, found: Mapping[Run, Outcome]) -> None:
        """Write the rows of finished runs among those that the file has.

        Raises:
            RowsError: it holds rows of other runs, or something else.
            StoreError: it cannot be written.
        """
        with self._lock:
            by_run: dict[str, list[Row]] = {}
            for row in self._read():
                by_run.setdefault(str(row["run"]), []).append(row)
            if others := by_run.keys() - self._order.keys():
                raise RowsError(
                    f"expected {self.path} to hold rows of this campaign, got run {min(others)}, of another campaign, "
                    "or of other sources or versions; name another file, or move it away"
                )
            by_run |= {run.key.digest[:12]: list(rows_of(run, outcome)) for run, outcome in found.items()}
            if by_run:
                self._write([row for run in sorted(by_run, key=self._order.__getitem__) for row in by_run[run]])

    def _read(self) -> list[Row]:
        if not self.path.exists() or not self.path.stat().st_size:
            return []
        read: list[Row]
        try:
            if self.path.suffix == ".parquet":
                read = _pyarrow().parquet.read_table(self.path).to_pylist()
            else:
                with self.path.open(encoding="utf-8", newline="") as file:
                    read = list(csv.DictReader(file))
            if all("run" in row for row in read):
                return read
            what = "something else"
        except (ValueError, csv.Error) as error:
            what = str(error)
        raise RowsError(f"expected {self.path} to hold rows of runs, got {what}; name another file, or move it away")

    def _write(self, rows: Sequence[Row]) -> None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.suffix == ".parquet":
            pyarrow, buffer = _pyarrow(), io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), buffer)
            return write_atomically(self.path, buffer.getvalue())
        text = io.StringIO()
        table = csv.DictWriter(text, names, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        return write_atomically(self.path, text.getvalue().encode())


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise RowsError(
            f"expected the package pyarrow for a file .parquet, got: {error}; pip install pyarrow, or write .csv"
        ) from error
    return pyarrow
