"""A folder of runs, each found again by the hash of what determines it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from verify.runs.checkpoint import checkpoint_numbers, read_checkpoint
from verify.runs.keys import RunKey
from verify.runs.lock import RunLock, is_locked
from verify.runs.run import Run, RunResult, read_record, read_result
from verify.runs.sealed import CorruptFileError, sync_folder

_DIGEST = re.compile(r"[0-9a-f]{64}")


def default_root() -> Path:
    """Return `$FLATPROOF_RUNS`, or `flatproof/runs` in the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`)."""
    if chosen := os.environ.get("FLATPROOF_RUNS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flatproof" / "runs"


@dataclass(frozen=True)
class Problem:
    """A corrupt file of a run: its path and what is wrong."""

    path: Path
    reason: str


class RunStore:
    """Runs below one folder, each in a folder named by the digest of its key; their locks in `locks/`.

    Files of a run: `run.json`, `checkpoint-<n>.safetensors` and `.json`, `result.json` and `result.safetensors`.

    Args:
        root: the folder, made when the first run is opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, key: RunKey) -> Run:
        """Return the run of a key, new or stored, to be used in a `with` statement that holds its lock.

        Entering raises RunLockedError while another process works on it.
        """
        return Run(key, self.folder(key.digest), self._lock_path(key.digest))

    def result(self, key: RunKey) -> RunResult | None:
        """Return the result of a finished run without taking its lock; None if there is none.

        Raises CorruptFileError when it is not what was written; opening the run sets it aside.
        """
        return read_result(self.folder(key.digest))

    def folder(self, digest: str) -> Path:
        """Return where a run is stored."""
        return self.root / digest

    def digests(self) -> list[str]:
        """Return the digests of all stored runs, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if _DIGEST.fullmatch(path.name) and path.is_dir())

    def find(self, prefix: str) -> str:
        """Return the one digest that starts with `prefix`.

        Raises:
            KeyError: none does, or several do.
        """
        found = [digest for digest in self.digests() if digest.startswith(prefix)]
        if len(found) != 1:
            what = (
                f"{len(found)} runs start with {prefix!r}" if found else f"no run in {self.root} starts with {prefix!r}"
            )
            raise KeyError(f"{what}; `flatproof runs list` names them")
        return found[0]

    def is_open(self, digest: str) -> bool:
        """Whether a process works on the run now."""
        return is_locked(self._lock_path(digest))

    def record(self, digest: str) -> dict[str, Any]:
        """Return the record of a run, its status `interrupted` where it was running and nobody works on it.

        Raises CorruptFileError or FileNotFoundError where there is no whole record.
        """
        record = read_record(self.folder(digest))
        if record["status"] == "running" and not self.is_open(digest):
            record["status"] = "interrupted"
        return record

    def check(self, digest: str) -> list[Problem]:
        """Read every file of a run, compare all hashes, and name what is corrupt; change nothing."""
        folder = self.folder(digest)
        problems = []
        readers: list[Callable[[], object]] = [partial(read_record, folder), partial(read_result, folder)]
        readers += [partial(read_checkpoint, folder, number) for number in checkpoint_numbers(folder)]
        for reader in readers:
            try:
                reader()
            except CorruptFileError as error:
                problems.append(Problem(error.path, error.reason))
            except FileNotFoundError as error:
                problems.append(Problem(Path(error.filename), "expected a file, it is missing"))
        # A process at work may have dropped a checkpoint between its listing and its reading.
        left = {f"checkpoint-{number}" for number in checkpoint_numbers(folder)}
        return [p for p in problems if not p.path.stem.startswith("checkpoint-") or p.path.stem in left]

    def remove(self, digest: str) -> None:
        """Remove a run with all its files, so that a kill meanwhile leaves it whole or unlisted.

        Raises RunLockedError while a process works on it.
        """
        with RunLock(self._lock_path(digest)):
            trash = self.root / f"{digest}.removed"
            shutil.rmtree(trash, ignore_errors=True)
            self.folder(digest).rename(trash)
            sync_folder(self.root)
            shutil.rmtree(trash)
            self._lock_path(digest).unlink(missing_ok=True)

    def _lock_path(self, digest: str) -> Path:
        return self.root / "locks" / digest
