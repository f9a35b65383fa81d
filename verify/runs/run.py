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
from verify.runs.sealed import TEMPORARY, CorruptFileError, digest, reaching, read_sealed, sync_folder, write_sealed

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


def read_checkpoint(folder: Path, number: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read `number`, `progress`, `meta` and `history`, and tensors; CorruptFileError when they are not as written."""
    body, tensors = read_sealed(checkpoint_path(folder, number))
    if body.get("number") != number:
        reason = f"expected checkpoint {number}, got {body.get('number')!r}"
        raise CorruptFileError(checkpoint_path(folder, number), reason)
    return body, tensors


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a run. Raises CorruptFileError when it is missing, not as written, or another run's."""
    record, _ = read_sealed(folder / "run.json")
    if record.get("status") not in STATUSES or digest(record.get("key")) != folder.name:
        raise CorruptFileError(folder / "run.json", f"expected run {folder.name[:12]}, got another run's record")
    return record


def read_result(folder: Path) -> RunResult | None:
    """Read the result of a run, None if it has none. Raises CorruptFileError when it is not as written."""
    path = folder / "result.safetensors"
    return RunResult(*read_sealed(path)) if path.exists() else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run under its lock, from `with RunStore.open(key) as run:`; what was corrupt has been set aside.

    Attributes:
        key: what determines the run.
        folder: where it is stored.
        record: the content of `run.json`: for people, but for the status.
        result: what it found, None until it is finished.
    """

    def __init__(self, key: RunKey, folder: Path, lock: BaseFileLock) -> None:
        self.key, self.folder, self._lock = key, folder, lock
        self.record: dict[str, Any] = {"key": key.parts(), "status": "running", "progress": 0, "report": ""}
        self.record |= {"history": [], "incidents": [], "created": _now()}
        self.result: RunResult | None = None
        with reaching(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob(f"*{TEMPORARY}"):
                path.unlink()  # half-written when a kill came
        written = (folder / "run.json").exists()
        try:
            if written:
                self.record = read_record(folder)
        except CorruptFileError as error:
            self._set_aside(error)
        try:
            self.result = read_result(folder)
        except CorruptFileError as error:
            self._set_aside(error)
        # A kill may have come between the result and its record.
        if not written or (self.result is not None) != (self.status == "finished"):
            self.note(status="running" if self.result is None else "finished", report="")

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return str(self.record["status"])

    def latest(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return the newest whole checkpoint (`read_checkpoint`), if any; corrupt ones are set aside and recorded."""
        for number in reversed(checkpoint_numbers(self.folder)):
            try:
                return read_checkpoint(self.folder, number)
            except CorruptFileError as error:
                self._set_aside(error)
        return None

    def save(
        self, progress: float | int, tensors: Mapping[str, Tensor], meta: dict[str, Any], history: list[dict[str, Any]]
    ) -> None:
        """Write a checkpoint, then drop all but the last two."""
        self._require_unfinished("checkpoint")
        numbers = checkpoint_numbers(self.folder)
        numbers.append(1 + max(numbers, default=-1))
        body = {"number": numbers[-1], "progress": progress, "meta": meta, "history": history}
        write_sealed(checkpoint_path(self.folder, numbers[-1]), body, tensors)
        self.note(status="running", progress=progress, history=history, report="")
        for old in numbers[:-KEPT_CHECKPOINTS]:
            checkpoint_path(self.folder, old).unlink()

    def finish(self, content: dict[str, Any], tensors: Mapping[str, Tensor]) -> RunResult:
        """Store the result, once and for all; JSON data, and tensors such as the final parameters."""
        self._require_unfinished("result")
        write_sealed(self.folder / "result.safetensors", content, tensors)
        self.note(status="finished", report="")
        self.result = read_result(self.folder)
        assert self.result is not None
        return self.result

    def note(self, **changes: Any) -> None:
        """Update the record; what a resumed run reads is in its checkpoints."""
        self.record = {**self.record, **changes, "updated": _now()}
        write_sealed(self.folder / "run.json", self.record)

    def fail(self, status: str, reason: str) -> None:
        """Record that the run ended without a result, as one of the last three of `STATUSES`; its checkpoints stay."""
        numbers = checkpoint_numbers(self.folder)
        kept = f"checkpoint {numbers[-1]} is kept" if numbers else "it has no checkpoint"
        self.note(status=status, report=f"{reason} [{status} after progress {self.record['progress']:g}; {kept}]")

    def _require_unfinished(self, what: str) -> None:
        """Raise RuntimeError where the run is closed, ImmutableResultError where it has a result."""
        if not self._lock.is_locked:
            raise RuntimeError(f"expected an open run to take a {what}; use `with store.open(key) as run:`")
        if self.result is not None:
            raise ImmutableResultError(
                f"run {self.folder.name[:12]} is finished and takes no {what}; change its key, or remove the run"
            )

    def _set_aside(self, error: CorruptFileError) -> None:
        with reaching(error.path):
            aside = error.path.rename(error.path.with_name(f"{error.path.name}.corrupt-{time.time_ns()}"))
            sync_folder(self.folder)
        incident = {"file": error.path.name, "reason": error.reason, "set_aside": aside.name, "date": _now()}
        self.note(incidents=[*self.record["incidents"], incident])
