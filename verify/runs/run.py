"""One stored run, open: its record, checkpoints and result, under its lock."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from verify.runs.checkpoint import (
    Checkpoint,
    checkpoint_numbers,
    drop_checkpoint,
    json_path,
    not_finite,
    pack,
    read_checkpoint,
    tensor_path,
    unpack,
    write_checkpoint,
)
from verify.runs.failures import STATUSES, DivergedRunError, ImmutableResultError, status_of
from verify.runs.keys import RunKey, parts_digest
from verify.runs.lock import RunLock
from verify.runs.sealed import (
    TEMPORARY,
    CorruptFileError,
    read_sealed,
    set_aside,
    sha256,
    write_atomically,
    write_sealed,
)

KEPT_CHECKPOINTS = 2
"""Checkpoints kept: the newest and one to fall back on should it be corrupt."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a finished run found: JSON data and tensors by name."""

    content: dict[str, Any]
    tensors: dict[str, Tensor]


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check the record of a run.

    Raises:
        CorruptFileError: `run.json` is not what was written, or belongs to another run.
    """
    path = folder / "run.json"
    record = read_sealed(path)
    if record.get("status") not in STATUSES or not isinstance(record.get("key"), dict):
        raise CorruptFileError(path, f"expected a key and a status among {STATUSES}, got {record.get('status')!r}")
    if parts_digest(record["key"]) != folder.name:
        raise CorruptFileError(path, f"expected the key of run {folder.name[:12]}, got another run's")
    return record


def read_result(folder: Path) -> RunResult | None:
    """Read and check the result of a run, None if it has none.

    Raises:
        CorruptFileError: `result.json` or `result.safetensors` is not what was written.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    body = read_sealed(path)
    if body.keys() != {"content", "tensors_sha256"}:
        raise CorruptFileError(path, f"expected content and tensors_sha256, got {sorted(body)}")
    return RunResult(body["content"], unpack(folder / "result.safetensors", body["tensors_sha256"]))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run under its lock; a context manager, made by `RunStore.open`.

    Entering takes the lock, removes what a kill left half-written and sets corrupt files aside. Leaving by an error
    records how the run ended (`status_of`), with its checkpoints kept; leaving by Ctrl-C records nothing.

    Attributes:
        key: what determines the run.
        folder: where it is stored.
        record: the content of `run.json`.
        result: what it found, None until it is finished.
    """

    def __init__(self, key: RunKey, folder: Path, lock: Path) -> None:
        self.key = key
        self.folder = folder
        self.record: dict[str, Any] = {}
        self.result: RunResult | None = None
        self._lock = RunLock(lock)

    def __enter__(self) -> Run:
        self._lock.__enter__()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tidy()
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            status = None if error is None or self.status == "finished" else status_of(error)
            if status is not None:
                with contextlib.suppress(OSError):  # a full disk: the error itself matters more than its record
                    self.fail(status, f"{type(error).__name__}: {error}")
        finally:
            self._lock.release()

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return str(self.record["status"])

    def latest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, None if there is none; corrupt ones are set aside and recorded."""
        for number in reversed(checkpoint_numbers(self.folder)):
            try:
                return read_checkpoint(self.folder, number)
            except CorruptFileError as error:
                self._quarantine(error, json_path(self.folder, number), tensor_path(self.folder, number))
        return None

    def save(
        self,
        progress: float | int,
        tensors: dict[str, Tensor],
        meta: dict[str, Any],
        history: list[dict[str, Any]],
        *,
        require_finite: bool = True,
    ) -> int:
        """Write a checkpoint, then drop all but the last two; return its number.

        Raises:
            DivergedRunError: a floating tensor is not finite; nothing is written, so the last good checkpoint stays.
            ImmutableResultError: the run is finished.
        """
        self._require_unfinished("checkpoint")
        bad = not_finite(tensors) if require_finite else []
        if bad:
            raise DivergedRunError(
                f"expected a finite state at progress {progress:g}, got: {'; '.join(bad)}; "
                "use a smaller learning rate, or start again from the last checkpoint with another one"
            )
        numbers = checkpoint_numbers(self.folder)
        number = 1 + max(numbers, default=-1)
        write_checkpoint(self.folder, Checkpoint(number, progress, tensors, meta, history))
        self._write(status="running", progress=progress, history=history, report="")
        for old in [*numbers, number][:-KEPT_CHECKPOINTS]:
            drop_checkpoint(self.folder, old)
        return number

    def finish(self, content: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> RunResult:
        """Store the result, once and for all; JSON data, and tensors such as the final parameters.

        Raises:
            ImmutableResultError: there is a result already.
        """
        self._require_unfinished("result")
        packed = pack(tensors or {})
        write_atomically(self.folder / "result.safetensors", packed)
        path = self.folder / "result.json"
        write_sealed(path, {"content": content, "tensors_sha256": sha256(packed)})
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
        """Record that the run ended without a result; its checkpoints stay.

        Raises:
            ValueError: `status` is not one of the failures.
        """
        if status not in STATUSES[2:]:
            raise ValueError(f"expected a status among {STATUSES[2:]}, got {status!r}; `finish` records a result")
        numbers = checkpoint_numbers(self.folder)
        kept = f"checkpoint {numbers[-1]} is kept" if numbers else "it has no checkpoint"
        self._write(status=status, report=f"{reason} [{status} after progress {self.record['progress']:g}; {kept}]")

    def _require_unfinished(self, what: str) -> None:
        if not self._lock.held:
            raise RuntimeError(f"expected an open run to take a {what}; use `with store.open(key) as run:`")
        if self.result is not None:
            raise ImmutableResultError(
                f"run {self.folder.name[:12]} is finished and takes no {what}; change its key, or remove the run"
            )

    def _tidy(self) -> None:
        """Remove files that a kill left half-written, and tensors whose JSON was never written."""
        for path in self.folder.glob(f"*{TEMPORARY}"):
            path.unlink()
        for path in self.folder.glob("checkpoint-*.safetensors"):
            if not path.with_suffix(".json").exists():
                path.unlink()

    def _read(self) -> None:
        now = _now()
        fresh = {"key": self.key.parts(), "status": "running", "progress": 0, "report": "", "history": []}
        fresh |= {"incidents": [], "created": now, "updated": now}
        try:
            self.record = read_record(self.folder)
        except FileNotFoundError:
            self.record = fresh
        except CorruptFileError as error:
            self.record = fresh
            self._quarantine(error, error.path)
        try:
            self.result = read_result(self.folder)
        except CorruptFileError as error:
            self._write(status="running")
            self._quarantine(error, self.folder / "result.json", self.folder / "result.safetensors")
        if self.result is None and self.status == "finished":
            self._write(status="running")
        elif self.result is not None and self.status != "finished":
            self._write(status="finished", report="")
        elif not (self.folder / "run.json").exists():
            self._write()

    def _quarantine(self, error: CorruptFileError, *paths: Path) -> None:
        aside = [set_aside(path).name for path in paths if path.exists()]
        incident = {"file": error.path.name, "reason": error.reason, "set_aside": aside, "date": _now()}
        self._write(incidents=[*self.record["incidents"], incident])

    def _write(self, **changes: Any) -> None:
        self.record = {**self.record, **changes, "updated": _now()}
        write_sealed(self.folder / "run.json", self.record)
