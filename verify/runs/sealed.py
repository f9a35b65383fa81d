"""Files that are either whole or absent and know their own hash: JSON, and tensors with JSON beside them.

A file is written beside its final name, forced to disk, renamed over it, and the folder forced to disk: a process
killed at any moment, or a machine that loses power, leaves the old file or the new one and nothing between. Nothing
that is read is executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

LAYOUT = 2
"""Version of the stored files and of what a key means, part of every key and of every file.

It is raised when the sources that keys hash move, or a field changes its meaning. Runs of another layout are not found
again: `flatproof runs list` calls them outdated, and `flatproof runs prune --outdated` removes them. Layout 1 hashed
the sources of the flat folders of before, and kept tensors and JSON in two files.
"""

TEMPORARY = ".partial"
"""Ending of a file that is being written; what is left of one after a kill is never read."""

_FLOAT = "$float"


class CorruptFileError(ValueError):
    """A stored file is not what was written; `path` says which, `reason` what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is corrupt: {reason}; it is set aside and what it held is computed again")
        self.path = path
        self.reason = reason


class OutdatedFileError(CorruptFileError):
    """The file was written in another layout."""


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
    with partial.open("wb") as file:
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


def digest(body: Any, tensors: Iterable[Tensor] = ()) -> str:
    """Return the SHA-256, in hexadecimal digits, of JSON data and of types, shapes and bits of tensors."""
    found = hashlib.sha256(canonical_json(body))
    for tensor in tensors:
        found.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _seal(body: dict[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    names = sorted(tensors)
    found = digest([LAYOUT, names, body], (tensors[name] for name in names))
    return {"layout": LAYOUT, "sha256": found, "body": plain(body)}


def _opened(path: Path, text: str | bytes, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the body of a seal, of which everything is checked."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(path, f"expected JSON, got {error}") from error
    if not (isinstance(whole, dict) and isinstance(whole.get("body"), dict)):
        raise CorruptFileError(path, "expected an object with layout, sha256 and body")
    layout = whole.get("layout", whole.get("schema"))
    if layout != LAYOUT:
        raise OutdatedFileError(path, f"expected layout {LAYOUT}, got {layout!r}")
    body: dict[str, Any] = restored(whole["body"])
    expected = _seal(body, tensors)
    if whole != expected:
        raise CorruptFileError(path, f"expected sha256 {whole.get('sha256')!r}, got {expected['sha256']!r}")
    return body


def write_json(path: Path, body: dict[str, Any]) -> None:
    """Write {layout, sha256, body} as JSON, atomically."""
    write_atomically(path, json.dumps(_seal(body, {}), ensure_ascii=False, indent=1, allow_nan=False).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of `write_json` and return its body.

    Raises:
        CorruptFileError: it is missing, of another layout (OutdatedFileError), or not what was written.
    """
    try:
        return _opened(path, path.read_bytes(), {})
    except FileNotFoundError as error:
        raise CorruptFileError(path, "expected a file, it is missing") from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], body: dict[str, Any]) -> None:
    """Write tensors as a safetensors file whose metadata hold the seal; views and shared memory are copied apart."""
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    seal = json.dumps(_seal(body, own), ensure_ascii=False, allow_nan=False)
    write_atomically(path, safetensors.torch.save(own, {"flatproof": seal}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file of `write_tensors`: tensors by name, and the body. Raises CorruptFileError as `read_json` does."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            seal = (file.metadata() or {}).get("flatproof", "")
    except (safetensors.SafetensorError, OSError) as error:
        raise CorruptFileError(path, f"expected a safetensors file: {error}") from error
    return tensors, _opened(path, seal, tensors)
