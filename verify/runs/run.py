"""One stored run, open: its record, checkpoints and result."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import BaseFileLock
from torch import Tensor

from verify.runs.failures import STATUSES, ImmutableResultError
from verify.runs.keys import RunKey
from verify.runs.sealed import (
    TEMPORARY,
    CorruptFileError,
    digest,
    read_json,
    read_tensors,
    sync_folder,
    write_json,
    write_tensors,
)

KEPT_CHECKPOINTS = 2
"""Checkpoints kept: the newest and one to fall back on should it be corrupt."""

_CHECKPOINT = re.compile(r"checkpoint-(\d+)\.safetensors")


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a finished run found: JSON data and tensors by name."""

    content: dict[str, Any]
    tensors: dict[str, Tensor]


def checkpoint_path(folder: Path, number: int) -> Path:
    """Return where checkpoint 0, 1, … is kept."""
    return folder / f"checkpoint-{number}.safetensors"


def checkpoint_numbers(folder: Path) -> list[int]:
    """Return the numbers of the checkpoints, in increasing order."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _CHECKPOINT.fullmatch(path.name)))


def read_checkpoint(folder: Path, number: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors, and `number`, `progress`, `meta` and `history`; CorruptFileError when they are not as written."""
    path = checkpoint_path(folder, number)
    tensors, body = read_tensors(path)
    if body.get("number") != number:
        raise CorruptFileError(path, f"expected checkpoint {number}, got {body.get('number')!r}")
    return tensors, body


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a run. Raises CorruptFileError when it is missing, not what was written, or another run's."""
    path = folder / "run.json"
    record = read_json(path)
    if record.get("status") not in STATUSES or digest(record.get("key")) != folder.name:
        raise CorruptFileError(path, f"expected the record of run {folder.name[:12]}, got another run's")
    return record


def read_result(folder: Path) -> RunResult | None:
    """Read the result of a run, None if it has none. Raises CorruptFileError when it is not what was written."""
    path = folder / "result.safetensors"
    if not path.exists():
        return None
    tensors, content = read_tensors(path)
    return RunResult(content, tensors)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run under its lock, from `with RunStore.open(key) as run:`; what was corrupt has been set aside.

    Attributes:
        key: what determines the run.
        folder: where it is stored.
        record: the content of `run.json`.
        result: what it found, None until it is finished.
    """

    def __init__(self, key: RunKey, folder: Path, lock: BaseFileLock) -> None:
        self.key = key
        self.folder = folder
        self.record: dict[str, Any] = {}
        self.result: RunResult | None = None
        self._lock = lock
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"*{TEMPORARY}"):
            path.unlink()  # half-written when a kill came
        self._read()

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return str(self.record["status"])

    def latest(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Return the newest whole checkpoint (`read_checkpoint`), if any; corrupt ones are set aside and recorded."""
        for number in reversed(checkpoint_numbers(self.folder)):
            try:
                return read_checkpoint(self.folder, number)
            except CorruptFileError as error:
                self._quarantine(error)
        return None

    def save(
        self, progress: float | int, tensors: Mapping[str, Tensor], meta: dict[str, Any], history: list[dict[str, Any]]
    ) -> None:
        """Write a checkpoint, then drop all but the last two. Raises ImmutableResultError if the run is finished."""
        self._require_unfinished("checkpoint")
        numbers = checkpoint_numbers(self.folder)
        numbers.append(1 + max(numbers, default=-1))
        body = {"number": numbers[-1], "progress": progress, "meta": meta, "history": history}
        write_tensors(checkpoint_path(self.folder, numbers[-1]), tensors, body)
        self._write(status="running", progress=progress, history=history, report="")
        for old in numbers[:-KEPT_CHECKPOINTS]:
            checkpoint_path(self.folder, old).unlink()

    def finish(self, content: dict[str, Any], tensors: Mapping[str, Tensor] | None = None) -> RunResult:
        """Store the result, once and for all; JSON data, and tensors such as the final parameters.

        Raises ImmutableResultError if there is one.
        """
        self._require_unfinished("result")
        write_tensors(self.folder / "result.safetensors", tensors or {}, content)
        self._write(status="finished", report="")
        self.result = read_result(self.folder)
        assert self.result is not None
        return self.result

    def begin(self) -> None:
        """Record that the run is being worked on, whatever it ended with before."""
        self._require_unfinished("work")
        self._write(status="running", report="")

    def note(self, progress: float | int, history: list[dict[str, Any]]) -> None:
        """Update the record that people read; what a resumed run reads is in its checkpoints."""
        self._write(progress=progress, history=history)

    def fail(self, status: str, reason: str) -> None:
        """Record that the run ended without a result, as one of the last three of `STATUSES`; its checkpoints stay."""
        numbers = checkpoint_numbers(self.folder)
        kept = f"checkpoint {numbers[-1]} is kept" if numbers else "it has no checkpoint"
        self._write(status=status, report=f"{reason} [{status} after progress {self.record['progress']:g}; {kept}]")

    def _require_unfinished(self, what: str) -> None:
        if not self._lock.is_locked:
            raise RuntimeError(f"expected an open run to take a {what}; use `with store.open(key) as run:`")
        if self.result is not None:
            raise ImmutableResultError(
                f"run {self.folder.name[:12]} is finished and takes no {what}; change its key, or remove the run"
            )

    def _read(self) -> None:
        now, written = _now(), (self.folder / "run.json").exists()
        self.record = {"key": self.key.parts(), "status": "running", "progress": 0, "report": "", "history": []}
        self.record |= {"incidents": [], "created": now, "updated": now}
        try:
            if written:
                self.record = read_record(self.folder)
        except CorruptFileError as error:
            self._quarantine(error)
        try:
            self.result = read_result(self.folder)
        except CorruptFileError as error:
            self._quarantine(error)
        # A kill may have come between the result and its record.
        if (self.result is not None) != (self.status == "finished"):
            self._write(status="running" if self.result is None else "finished", report="")
        elif not written:
            self._write()

    def _quarantine(self, error: CorruptFileError) -> None:
        aside = error.path.rename(error.path.with_name(f"{error.path.name}.corrupt-{time.time_ns()}"))
        sync_folder(self.folder)
        incident = {"file": error.path.name, "reason": error.reason, "set_aside": aside.name, "date": _now()}
        self._write(incidents=[*self.record["incidents"], incident])

    def _write(self, **changes: Any) -> None:
        self.record = {**self.record, **changes, "updated": _now()}
        write_json(self.folder / "run.json", self.record)
