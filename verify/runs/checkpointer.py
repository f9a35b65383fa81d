"""Regular checkpoints of work in progress, and a driver that resumes work where its last checkpoint left it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from verify.runs.failures import RecordedFailureError
from verify.runs.keys import RunKey
from verify.runs.run import Run, RunResult
from verify.runs.store import RunStore

State = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and JSON data."""


@runtime_checkable
class Work(Protocol):
    """Work in pieces of a few seconds at most, whose whole state can be taken out and put back.

    `restore(*state())` changes nothing that comes after. Random generators belong to the state (`Generator.get_state()`
    is a tensor), as do an optimiser's moments.
    """

    def state(self) -> State:
        """Return everything that what comes after depends on."""

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Put back what `state` returned."""

    def done(self) -> bool:
        """Whether nothing is left to do."""

    def advance(self) -> Mapping[str, Any]:
        """Do one piece and return its metrics for the history, with `progress` among them; may be empty."""

    def result(self) -> State:
        """Return the result: tensors by name, and JSON data."""


class Checkpointer:
    """Saves work so often that at most `every_seconds` of it are ever lost.

    `tick` is called after every piece of work. It saves when the next piece and the saving, as long as the longest of
    each so far, could end more than `every_seconds` after the last saved moment; so the promise holds while no piece is
    longer than those before. A piece longer than `every_seconds` is saved as soon as it ends.

    Args:
        every_seconds: wall-clock time; 0 saves at every tick.
        clock: seconds from any origin, never going back.
    """

    def __init__(
        self,
        run: Run,
        work: Work,
        every_seconds: float | int = 60,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not every_seconds >= 0:
            raise ValueError(f"expected every_seconds >= 0, got {every_seconds}; it is the most work that may be lost")
        self.run, self.work = run, work
        self.every_seconds = every_seconds
        self.progress: float | int = 0
        self.history: list[dict[str, Any]] = []
        self._clock = clock
        self._saved = self._ticked = clock()
        self._longest_piece = self._longest_save = 0.0

    def resume(self) -> None:
        """Restore the newest whole checkpoint, if there is one."""
        found = self.run.latest()
        if found is not None:
            body, tensors = found
            self.work.restore(tensors, body["meta"])
            self.progress, self.history = body["progress"], body["history"]
        self._saved = self._ticked = self._clock()

    def tick(self, progress: float | int, metrics: Mapping[str, Any] | None = None) -> bool:
        """Report a finished piece of work; return whether it was saved."""
        self.progress = progress
        if metrics:
            self.history.append({"progress": progress, **metrics})
        now = self._clock()
        self._longest_piece = max(self._longest_piece, now - self._ticked)
        self._ticked = now
        if now + self._longest_piece + self._longest_save - self._saved < self.every_seconds:
            return False
        tensors, meta = self.work.state()
        self.run.save(self.progress, tensors, meta, self.history)
        self._saved, self._ticked = now, self._clock()
        self._longest_save = max(self._longest_save, self._ticked - now)
        return True


def at_once(work: Work) -> RunResult:
    """Do all of some work, without a store."""
    while not work.done():
        work.advance()
    tensors, content = work.result()
    return RunResult(content, tensors)


RETRIED = ("failed", "out-of-memory")
"""Recorded failures that are tried again; a divergence is not, as the same key diverges again."""


def complete(
    store: RunStore,
    key: RunKey,
    build: Callable[[], Work],
    every_seconds: float | int = 60,
    waits: Callable[[], bool] = lambda: True,
) -> RunResult:
    """Return the stored result of a run, or do its work from the last whole checkpoint on and store it.

    `build` makes the work at its beginning; it is not called when there is a result. While another process does the
    work, this one waits for it as long as `waits` says so.

    Raises:
        RecordedFailureError: the run is recorded with a failure that is not in `RETRIED`.
    """
    with store.open(key, waits) as run:
        if run.result is not None:
            return run.result
        if run.status not in ("running", *RETRIED):
            message = f"run {run.folder.name[:12]} is recorded as {run.status}: {run.record['report']}"
            raise RecordedFailureError(run.status, f"{message}; change its key, or remove the run")
        run.note(status="running", report="")
        work = build()
        checkpointer = Checkpointer(run, work, every_seconds)
        checkpointer.resume()
        try:
            while not work.done():
                metrics = dict(work.advance())
                checkpointer.tick(metrics.pop("progress", checkpointer.progress + 1), metrics)
            tensors, content = work.result()
        finally:
            run.note(progress=checkpointer.progress, history=checkpointer.history)
        return run.finish(content, tensors)
