"""A folder of runs, each found again by the hash of what determines it, each worked on by one process at a time."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from filelock import BaseFileLock, FileLock, Timeout

from verify.runs.failures import RunLockedError, status_of
from verify.runs.keys import RunKey
from verify.runs.run import Run, checkpoint_numbers, read_checkpoint, read_record, read_result
from verify.runs.sealed import CorruptFileError, OutdatedFileError, reaching, sync_folder

PATIENCE = 0.2
"""Seconds to wait for a lock: longer than another process needs to look whether it is held."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def default_root() -> Path:
    """Return `$FLATPROOF_RUNS`, or `flatproof/runs` in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`)."""
    if chosen := os.environ.get("FLATPROOF_RUNS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatproof" / "runs"


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 where there is nothing."""
    if path.is_dir():
        return sum(size(child) for child in path.iterdir())
    return path.stat().st_size if path.exists() else 0


class Removal(NamedTuple):
    """A run, or some files of it (none: the whole run), with the reason to remove it and what would be freed."""

    digest: str
    files: tuple[Path, ...]
    reason: str
    bytes: int


class RunStore:
    """Runs below one folder, each in a folder named by the digest of its key; their locks in `locks/`.

    Files of a run: `run.json`, `checkpoint-<n>.safetensors`, `result.safetensors`. The system releases a lock when its
    holder dies, however it dies.

    Args:
        root: the folder, made when the first run is opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def open(self, key: RunKey, waits: Callable[[], bool] = lambda: False) -> Iterator[Run]:
        """Hold the lock of a run, new or stored, and give the run.

        While another process has it, wait as long as `waits` says so, and say so once.

        Leaving by an error records how the run ended (`status_of`), with its checkpoints kept; leaving by Ctrl-C
        records nothing.

        Raises:
            RunLockedError: another process works on it, and `waits` says no.
            StoreError: the folder cannot be written to.
        """
        with self._locked(key.digest, waits) as lock:
            run = Run(key, self.folder(key.digest), lock)
            try:
                yield run
            except BaseException as error:
                status = None if run.status == "finished" else status_of(error)
                if status is not None:
                    with contextlib.suppress(OSError):  # a full disk: the error itself matters more than its record
                        run.fail(status, f"{type(error).__name__}: {error}")
                raise

    @contextlib.contextmanager
    def _locked(self, digest: str, waits: Callable[[], bool] = lambda: False) -> Iterator[BaseFileLock]:
        # Never removed: a process that waits for a lock has its file open.
        path = self.root / "locks" / digest
        held = f"run {digest[:12]} is held by another process or thread"
        said = False
        with reaching(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path, timeout=PATIENCE)
            while not lock.is_locked:
                try:
                    lock.acquire()
                except Timeout as error:
                    if not waits():
                        raise RunLockedError(f"{held}; wait for it, or end it: its lock ends with it") from error
                    if not said:
                        logging.getLogger("flatproof").warning("%s: waiting for it", held)
                    said = True
        try:
            yield lock
        finally:
            lock.release()

    def is_open(self, digest: str) -> bool:
        """Whether a process works on the run now."""
        try:
            with self._locked(digest):
                return False
        except RunLockedError:
            return True

    def folder(self, digest: str) -> Path:
        """Return where a run is stored."""
        return self.root / digest

    def digests(self) -> list[str]:
        """Return the digests of all stored runs, sorted; none where nothing was stored yet.

        Raises:
            StoreError: the folder cannot be read, or is none.
        """
        with reaching(self.root):
            if not self.root.exists():
                return []
            return sorted(path.name for path in self.root.iterdir() if _DIGEST.fullmatch(path.name) and path.is_dir())

    def find(self, prefix: str) -> str:
        """Return the one digest that starts with `prefix`.

        Raises:
            KeyError: none does, or several do.
        """
        found = [digest for digest in self.digests() if digest.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        raise KeyError(
            f"{len(found) or 'no'} runs in {self.root} start with {prefix!r}, expected one; `flatproof runs list` "
            "names them"
        )

    def record(self, digest: str) -> dict[str, Any]:
        """Return the record of a run, its status `interrupted` where it was running and nobody works on it.

        Raises CorruptFileError where there is no whole record.
        """
        record = read_record(self.folder(digest))
        if record["status"] == "running" and not self.is_open(digest):
            record["status"] = "interrupted"
        return record

    def check(self, digest: str) -> list[CorruptFileError]:
        """Read every file of a run, compare all hashes, and return what is corrupt; change nothing."""
        folder = self.folder(digest)
        found = []
        readers: list[Callable[[], object]] = [partial(read_record, folder), partial(read_result, folder)]
        readers += [partial(read_checkpoint, folder, number) for number in checkpoint_numbers(folder)]
        for read in readers:
            try:
                read()
            except CorruptFileError as error:
                found.append(error)
        # A process at work may have dropped a checkpoint between its listing and its reading.
        return [error for error in found if error.path.exists() or error.path.name == "run.json"]

    def removals(
        self,
        *,
        unfinished: bool = False,
        older_than_days: float | int | None = None,
        corrupt: bool = False,
        outdated: bool = False,
    ) -> Iterator[Removal]:
        """Find what may be removed; runs that a process works on now are left out.

        Whole runs: the `unfinished` and the `outdated` ones, of another layout. `corrupt`: files that are corrupt or
        were set aside as such; the whole run where it has no whole record. `older_than_days` leaves only runs not
        written to for so long; by itself, whole runs, finished or not.

        Raises:
            ValueError: nothing is selected, or the age is negative.
        """
        every = not (unfinished or corrupt or outdated)
        if every and older_than_days is None:
            raise ValueError("expected --unfinished, --older-than DAYS, --corrupt or --outdated; say what to remove")
        if older_than_days is not None and not older_than_days >= 0:
            raise ValueError(f"expected --older-than of at least 0 days, got {older_than_days}; give the age in days")
        chosen = {"corrupt": corrupt, "outdated": outdated, "finished": False}
        for digest in self.digests():
            if self.is_open(digest):
                continue
            folder = self.folder(digest)
            try:
                record = self.record(digest)
                status, updated = str(record["status"]), datetime.fromisoformat(record["updated"]).timestamp()
            except CorruptFileError as error:
                status = "outdated" if isinstance(error, OutdatedFileError) else "corrupt"
                updated = folder.stat().st_mtime
            age = (time.time() - updated) / 86400
            if older_than_days is not None and age < older_than_days:
                continue
            if every or chosen.get(status, unfinished):
                yield Removal(digest, (), f"{status}, {age:.1f} days old", size(folder))
            elif corrupt and status != "outdated":
                bad = {error.path: error.reason for error in self.check(digest)}
                bad |= dict.fromkeys(folder.glob("*.corrupt-*"), "set aside")
                if bad:
                    reason = "; ".join(f"{path.name}: {bad[path]}" for path in sorted(bad))
                    yield Removal(digest, tuple(sorted(bad)), reason, sum(map(size, bad)))

    def remove(self, removal: Removal) -> bool:
        """Carry out a removal; return False where a process has opened the run meanwhile.

        A kill meanwhile leaves a whole run whole, or unlisted.
        """
        try:
            with self._locked(removal.digest):
                for path in removal.files:
                    path.unlink(missing_ok=True)
                if not removal.files:
                    trash = self.root / f"{removal.digest}.removed"
                    shutil.rmtree(trash, ignore_errors=True)
                    self.folder(removal.digest).rename(trash)
                    sync_folder(self.root)
                    shutil.rmtree(trash)
        except RunLockedError:
            return False
        return True
