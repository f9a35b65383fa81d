"""How a run can end without a result, and what is recorded about it."""

from __future__ import annotations

from pathlib import Path

import torch

STATUSES = ("running", "finished", "diverged", "out-of-memory", "failed")
"""What a run's record may say; a run that says `running` while nobody holds its lock was interrupted."""

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class DivergedRunError(RuntimeError):
    """A loss or a state is not finite any more; any error whose `run_status` is "diverged" is recorded the same way."""

    run_status = "diverged"


class RecordedFailureError(RuntimeError):
    """The run is recorded as failed and was not tried again; `status`, one of `STATUSES`, says how."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class StoreError(OSError):
    """A folder of runs cannot be read or written; what was stored before is still there."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"expected to reach {path}, got: {error.strerror or error}; make room or give the right to write, or name "
            "another folder in FLATPROOF_RUNS (--root for `flatproof runs`)"
        )


class ImmutableResultError(RuntimeError):
    """The run has a result already; results are never overwritten."""


class RunLockedError(RuntimeError):
    """Another process, or another part of this one, is working on the run."""


def status_of(error: BaseException) -> str | None:
    """Return the status to record for an error that ends a run; None for an interruption, after which it goes on.

    An error says so itself by an attribute `run_status`; FloatingPointError is a divergence; the errors of Python and
    torch about memory are out-of-memory; any other `Exception` is a failure; KeyboardInterrupt is an interruption.
    RecordedFailureError changes nothing, what it tells is on record; nor does StoreError: the run goes on once there is
    room.
    """
    if isinstance(error, RecordedFailureError | StoreError):
        return None
    stated = getattr(error, "run_status", None)
    if stated in STATUSES:
        return str(stated)
    if isinstance(error, FloatingPointError):
        return "diverged"
    no_memory = isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _NO_MEMORY)
    if no_memory or isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "out-of-memory"
    return "failed" if isinstance(error, Exception) else None
