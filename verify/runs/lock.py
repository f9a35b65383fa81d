"""One process per run: a lock that the system releases when its holder dies, however it dies.

The lock is a record lock on a file (`fcntl.lockf`): no lock is ever stale, children of a fork do not inherit it, and it
works on network file systems. As such locks do not exclude threads of one process, a table of held locks does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

_TABLE: set[tuple[int, str]] = set()
_TABLE_GUARD = threading.Lock()


class RunLockedError(RuntimeError):
    """Another process, or another part of this one, is working on the run."""


class RunLock:
    """A context manager that holds the lock of `path` or raises `RunLockedError` at once, without waiting."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def __enter__(self) -> RunLock:
        entry = (os.getpid(), str(self.path.resolve()))
        with _TABLE_GUARD:
            # Opening the file and closing it again would release a lock that this process holds.
            if entry in _TABLE:
                raise RunLockedError(f"{self.path} is held by this process itself; close the open run first")
            while self._descriptor is None:
                self._descriptor = _locked(self.path)
            _TABLE.add(entry)
        holder = {"pid": os.getpid(), "host": platform.node(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        with _TABLE_GUARD:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
            _TABLE.discard((os.getpid(), str(self.path.resolve())))


def _locked(path: Path) -> int | None:
    """Open and lock the file; None if it was removed meanwhile, so that it must be tried again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 4096, 0).decode(errors="replace")
        os.close(descriptor)
        raise RunLockedError(
            f"{path} is held by another process: {holder or 'unknown'}; wait for it, or end it: its lock ends with it"
        ) from error
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


def is_locked(path: Path) -> bool:
    """Whether someone, this process included, holds the lock now."""
    if (os.getpid(), str(path.resolve())) in _TABLE:
        return True
    if not path.exists():
        return False
    try:
        with RunLock(path):
            return False
    except RunLockedError:
        return True
