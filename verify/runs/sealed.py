"""Files that are either whole or absent, and JSON that knows its own hash.

A file is written beside its final name, forced to disk, renamed over it, and the folder forced to disk: a process
killed at any moment, or a machine that loses power, leaves the old file or the new one and nothing between.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

SCHEMA = 1
"""Version of the layout of the stored files; raised when a field changes its meaning."""

TEMPORARY = ".partial"
"""Ending of a file that is being written; what is left of one after a kill is never read."""

_FLOAT = "$float"


class CorruptFileError(ValueError):
    """A stored file is not what was written; `path` says which, `reason` what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is corrupt: {reason}; it is set aside and what it held is computed again")
        self.path = path
        self.reason = reason


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a kill at any moment, sees all of it or none of it."""
    partial = path.with_name(path.name + TEMPORARY)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def plain(value: Any, where: str = "value") -> Any:
    """Return `value` as JSON data that reads back equal: tuples become lists, NaN and ±∞ a marked name.

    Raises:
        TypeError: something else than None, bool, int, float, str, list, tuple or a dict with text keys.
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and _FLOAT not in value:
        return {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    kind = f"a dict with keys {list(value)[:3]}" if isinstance(value, dict) else type(value).__name__
    raise TypeError(
        f"expected JSON data (None, bool, int, float, str, list, dict with text keys) at {where}, got {kind}; "
        "convert it, or put an array among the tensors"
    )


def restored(value: Any) -> Any:
    """Undo `plain`."""
    if isinstance(value, dict):
        if value.keys() == {_FLOAT} and value[_FLOAT] in {"nan", "inf", "-inf"}:
            return float(value[_FLOAT])
        return {key: restored(item) for key, item in value.items()}
    return [restored(item) for item in value] if isinstance(value, list) else value


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: keys sorted, no spaces, UTF-8, floats by their shortest exact decimals.

    >>> canonical_json({"b": 0.1, "a": (1, None)})
    b'{"a":[1,null],"b":0.1}'
    """
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_sealed(path: Path, body: dict[str, Any]) -> None:
    """Write a JSON file {schema, sha256 of the canonical body, body}, atomically."""
    whole = {"schema": SCHEMA, "sha256": sha256(canonical_json(body)), "body": plain(body)}
    write_atomically(path, json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False).encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a file of `write_sealed` and return its body.

    Raises:
        CorruptFileError: no JSON, another schema, or a body that does not have the recorded hash.
        FileNotFoundError: there is no such file.
    """
    try:
        whole = json.loads(path.read_bytes().decode())
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"expected JSON, got {error}") from error
    if not (isinstance(whole, dict) and whole.keys() == {"schema", "sha256", "body"}):
        raise CorruptFileError(path, "expected an object with schema, sha256 and body")
    if whole["schema"] != SCHEMA:
        raise CorruptFileError(path, f"expected schema {SCHEMA}, got {whole['schema']!r}")
    body = restored(whole["body"])
    if not isinstance(body, dict):
        raise CorruptFileError(path, "expected an object as body")
    found = sha256(canonical_json(body))
    if found != whole["sha256"]:
        raise CorruptFileError(path, f"expected sha256 {whole['sha256']!r}, got {found!r}")
    return body


def set_aside(path: Path) -> Path:
    """Rename a corrupt file to the first free `NAME.corrupt-N` and return that path; a missing file is left missing."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        sync_folder(path.parent)
    return aside
