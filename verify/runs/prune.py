"""What may be removed from a store, and why."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from verify.runs.checkpoint import drop_checkpoint
from verify.runs.lock import RunLock, RunLockedError
from verify.runs.sealed import CorruptFileError
from verify.runs.store import RunStore


@dataclass(frozen=True)
class Removal:
    """A run, or some files of it, with the reason to remove it.

    Attributes:
        digest: the run.
        files: the files to remove; empty for the whole run.
        reason: in words.
        bytes: what would be freed.
    """

    digest: str
    files: tuple[Path, ...]
    reason: str
    bytes: int


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 where there is nothing."""
    if path.is_dir():
        return sum(size(child) for child in path.iterdir())
    return path.stat().st_size if path.exists() else 0


def removals(
    store: RunStore, *, unfinished: bool = False, older_than_days: float | int | None = None, corrupt: bool = False
) -> Iterator[Removal]:
    """Find what to remove; runs that a process works on now are left out.

    Args:
        store: where to look.
        unfinished: whole runs without a result.
        older_than_days: only runs not written to for so long; by itself, whole runs, finished or not.
        corrupt: files that are corrupt or were set aside as such; the whole run where it has no whole record.

    Raises:
        ValueError: nothing is selected, or the age is negative.
    """
    if not (unfinished or corrupt or older_than_days is not None):
        raise ValueError(
            "expected at least one of --unfinished, --older-than DAYS, --corrupt, got none; say what to remove"
        )
    if older_than_days is not None and not older_than_days >= 0:
        raise ValueError(
            f"expected --older-than of at least 0 days, got {older_than_days}; give the age of what may go"
        )
    for digest in store.digests():
        if store.is_open(digest):
            continue
        folder = store.folder(digest)
        try:
            record = store.record(digest)
            status, updated = str(record["status"]), datetime.fromisoformat(record["updated"]).timestamp()
        except (CorruptFileError, FileNotFoundError):
            status, updated = "corrupt", folder.stat().st_mtime
        age = (time.time() - updated) / 86400
        if older_than_days is not None and age < older_than_days:
            continue
        if status == "corrupt" and corrupt:
            yield Removal(digest, (), "its record is corrupt", size(folder))
        elif (unfinished and status not in {"finished", "corrupt"}) or not (unfinished or corrupt):
            yield Removal(digest, (), f"{status}, {age:.1f} days old", size(folder))
        elif corrupt:
            problems = store.check(digest)
            files = {problem.path for problem in problems} | set(folder.glob("*.corrupt-*"))
            if files:
                reason = "; ".join(f"{problem.path.name}: {problem.reason}" for problem in problems) or "set aside"
                yield Removal(digest, tuple(sorted(files)), reason, sum(map(size, files)))


def remove(store: RunStore, removal: Removal) -> bool:
    """Carry out a removal; return False where a process has opened the run meanwhile."""
    try:
        if not removal.files:
            store.remove(removal.digest)
            return True
        with RunLock(store.root / "locks" / removal.digest):
            for path in removal.files:
                if path.name.startswith("checkpoint-") and path.suffix in {".json", ".safetensors"}:
                    drop_checkpoint(path.parent, int(path.stem.removeprefix("checkpoint-")))
                elif path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
    except RunLockedError:
        return False
    return True
