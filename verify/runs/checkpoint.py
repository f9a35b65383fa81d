"""Checkpoints: tensors in a safetensors file, the rest in a JSON file that holds the hash of both.

The JSON file is written last and removed first, so that its presence means a whole checkpoint: tensors without it are
what a kill left over. Nothing read is executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from verify.runs.sealed import CorruptFileError, read_sealed, sha256, sync_folder, write_atomically, write_sealed

_NAME = re.compile(r"checkpoint-(\d+)\.json")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a run at one moment.

    Attributes:
        number: 0, 1, … in the order of writing.
        progress: how far the run was, in its own unit (steps, tokens, …).
        tensors: by name, on the CPU.
        meta: JSON data.
        history: one dict of metrics for each report up to this moment.
    """

    number: int
    progress: float | int
    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    history: list[dict[str, Any]]


def pack(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors as the bytes of a safetensors file; views and shared memory are copied apart."""
    return safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    )


def unpack(path: Path, digest: str) -> dict[str, Tensor]:
    """Read a safetensors file with a known hash.

    Raises:
        CorruptFileError: it is missing, has another hash, or is no safetensors file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptFileError(path, "expected a file, it is missing") from error
    found = sha256(content)
    if found != digest:
        raise CorruptFileError(path, f"expected sha256 {digest}, got {found} over {len(content)} bytes")
    try:
        loaded: dict[str, Tensor] = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise CorruptFileError(path, f"expected a safetensors file: {error}") from error
    return {name: tensor.clone() for name, tensor in loaded.items()}


def tensor_path(folder: Path, number: int) -> Path:
    """Return the path of a checkpoint's tensors."""
    return folder / f"checkpoint-{number}.safetensors"


def json_path(folder: Path, number: int) -> Path:
    """Return the path of a checkpoint's JSON."""
    return folder / f"checkpoint-{number}.json"


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint so that a kill at any moment leaves it whole or absent."""
    content = pack(checkpoint.tensors)
    write_atomically(tensor_path(folder, checkpoint.number), content)
    body = {
        "number": checkpoint.number,
        "progress": checkpoint.progress,
        "tensors_sha256": sha256(content),
        "meta": checkpoint.meta,
        "history": checkpoint.history,
    }
    write_sealed(json_path(folder, checkpoint.number), body)


def read_checkpoint(folder: Path, number: int) -> Checkpoint:
    """Read a checkpoint and check both of its hashes.

    Raises:
        CorruptFileError: either file is not what was written.
    """
    path = json_path(folder, number)
    body = read_sealed(path)
    if body.keys() != {"number", "progress", "tensors_sha256", "meta", "history"} or body["number"] != number:
        raise CorruptFileError(path, f"expected the fields of checkpoint {number}, got those of {body.get('number')!r}")
    tensors = unpack(tensor_path(folder, number), body["tensors_sha256"])
    return Checkpoint(number, body["progress"], tensors, body["meta"], body["history"])


def checkpoint_numbers(folder: Path) -> list[int]:
    """Return the numbers of the committed checkpoints, in increasing order."""
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def drop_checkpoint(folder: Path, number: int) -> None:
    """Remove a checkpoint, its JSON first."""
    json_path(folder, number).unlink(missing_ok=True)
    sync_folder(folder)
    tensor_path(folder, number).unlink(missing_ok=True)


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Describe every floating tensor that holds a NaN or an infinity."""
    found = []
    for name, tensor in tensors.items():
        if tensor.is_floating_point() or tensor.is_complex():
            bad = int((~torch.isfinite(tensor)).sum())
            if bad:
                found.append(f"{name!r} has {bad} of {tensor.numel()} entries not finite")
    return found
