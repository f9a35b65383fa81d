"""Files that are either whole or absent and know their own hash: JSON, and tensors with JSON beside them.

A file is written beside its final name, forced to disk, renamed over it, and the folder forced to disk: a process
killed at any moment, or a machine that loses power, leaves the old file or the new one and nothing between. Nothing
that is read is executed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from verify.runs.failures import StoreError

LAYOUT = 2
"""Version of the stored files and of what a key means, part of every key and of every file.

It is raised when the sources that keys hash move, or a field changes its meaning. Runs of another layout are not found
again: `flatproof runs list` calls them outdated, and `flatproof runs prune --outdated` removes them. Layout 1 hashed
the sources of the flat folders of before, and kept tensors and JSON in two files.
"""

TEMPORARY = ".partial"
"""Ending of a file that is being written; what is left of one after a kill is never read."""


_NOT_NOW = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Refusals that say nothing about what a file holds."""


class CorruptFileError(ValueError):
    """A stored file is not what was written; `path` says which, `reason` what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is corrupt: {reason}; it is set aside and what it held is computed again")
        self.path = path
        self.reason = reason


class OutdatedFileError(CorruptFileError):
    """The file was written in another layout."""


@contextlib.contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Say what to do where the system refuses to read or write `path`.

    Raises:
        StoreError: it did: a full disk, a read-only folder, a file where a folder is expected.
    """
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(path, error) from error


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader, or a kill at any moment, sees all of it or none of it.

    Raises:
        StoreError: it cannot be written; the old file is still there, and nothing of the new one takes room.
    """
    partial = path.with_name(path.name + TEMPORARY)
    with reaching(path):
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: keys sorted, no spaces, UTF-8, floats by their shortest exact decimals.

    >>> canonical_json({"b": 0.1, "a": (1, None)})
    b'{"a":[1,null],"b":0.1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(body: Any, tensors: Iterable[Tensor] = ()) -> str:
    """Return the SHA-256, in hexadecimal digits, of JSON data and of types, shapes and bits of tensors."""
    found = hashlib.sha256(canonical_json(body))
    for tensor in tensors:
        found.update(f"{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _seal(body: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    names = sorted(tensors)
    return digest([LAYOUT, names, body], (tensors[name] for name in names))


def write_sealed(path: Path, body: dict[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
    """Write {layout, sha256, body}, atomically: as JSON, or as the metadata of a safetensors file of the tensors.

    Views and shared memory are copied apart. NaN and ±∞ are JSON as Python writes it.
    """
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in (tensors or {}).items()}
    whole = {"layout": LAYOUT, "sha256": _seal(body, own), "body": body}
    text = json.dumps(whole, ensure_ascii=False, indent=1 if tensors is None else None)
    write_atomically(path, text.encode() if tensors is None else safetensors.torch.save(own, {"flatproof": text}))


def read_sealed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file of `write_sealed`: the body, and the tensors by name.

    Raises:
        CorruptFileError: it is missing, or not what was written.
        OutdatedFileError: it is of another layout.
        StoreError: it may be whole, but cannot be opened now.
    """
    text: str | bytes
    tensors = {}
    try:
        if path.suffix == ".json":
            text = path.read_bytes()
        else:
            with safetensors.safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
                text = (file.metadata() or {}).get("flatproof", "")
        whole = json.loads(text)
    except OSError as error:
        if error.errno in _NOT_NOW:
            raise StoreError(path, error) from error
        raise CorruptFileError(path, f"expected a whole {path.suffix} file: {error}") from error
    except (ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise CorruptFileError(path, f"expected a whole {path.suffix} file: {error}") from error
    if not (isinstance(whole, dict) and isinstance(whole.get("body"), dict)):
        raise CorruptFileError(path, "expected an object with layout, sha256 and body")
    layout = whole.get("layout", whole.get("schema"))
    if layout != LAYOUT:
        raise OutdatedFileError(path, f"expected layout {LAYOUT}, got {layout!r}")
    try:
        found = _seal(whole["body"], tensors)
    except (ValueError, RecursionError) as error:  # half a surrogate pair, or nested too deeply to be written
        raise CorruptFileError(path, f"expected a body that JSON can hold: {error}") from error
    if found != whole.get("sha256"):
        raise CorruptFileError(path, f"expected sha256 {whole.get('sha256')!r}, got {found!r}")
    return whole["body"], tensors
