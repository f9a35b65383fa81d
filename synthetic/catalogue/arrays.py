"""Arrays in an npz file, read within stated limits: every size is checked before anything is unpacked.

The layout is numpy's (`numpy.lib.format`), of which only what `numpy.savez` writes for plain numbers is read: no
pickles, no header that has to be evaluated.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

LARGEST_ARRAYS = 2**30
"""Bytes that the arrays of a file may unpack to, all together."""

_DTYPES = ("<f8", "<f4", "<f2", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1")
"""Those of torch that numpy knows."""
_START = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(r"{'descr': '([^']+)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\), } *\n")
_FOREIGN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What `zipfile` raises for content that is no archive of a kind that it reads."""


class ArraysError(ValueError):
    """No npz file of arrays of numbers, or one beyond the limits."""


def packed(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of an npz file.

    Raises:
        ArraysError: the arrays are larger than what would be read again.
    """
    total = sum(array.nbytes for array in arrays.values())
    if total > LARGEST_ARRAYS:
        raise ArraysError(f"expected arrays of at most {LARGEST_ARRAYS} bytes, got {total}; keep them elsewhere")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name.

    Raises:
        ArraysError: it is none; the file claims more than `LARGEST_ARRAYS`; a member is no array of numbers, or of
            another size than its header says.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            claimed = sum(member.file_size for member in members)
            if claimed > LARGEST_ARRAYS:
                raise ArraysError(f"expected arrays of at most {LARGEST_ARRAYS} bytes, the file claims {claimed}")
            if len({member.filename for member in members}) < len(members):
                raise ArraysError("expected every array once, got a name twice")
            return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except ArraysError:
        raise
    except _FOREIGN as error:
        raise ArraysError(f"no npz file: {error}") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        start = file.read(len(_START) + 2)
        header = file.read(int.from_bytes(start[-2:], "little")) if start.startswith(_START) else start
        found = _HEADER.fullmatch(header.decode("latin1"))
        if found is None or found[1] not in _DTYPES:
            got = found[1] if found else header[:40]
            raise ArraysError(f"{member.filename}: expected an array of numbers, got {got!r}; pickles are not read")
        dtype, shape = np.dtype(found[1]), tuple(int(side) for side in found[3].split(",") if side.strip())
        n_bytes = member.file_size - len(start) - len(header)
        if math.prod(shape) * dtype.itemsize != n_bytes:
            raise ArraysError(f"{member.filename}: expected {dtype} of shape {shape!s:.60}, got {n_bytes} bytes")
        numbers = np.empty(math.prod(shape), dtype)
        if file.readinto(numbers.view(np.uint8).data) != n_bytes:  # type: ignore[attr-defined]
            raise ArraysError(f"{member.filename}: expected {n_bytes} bytes, got fewer")
        if file.read(1):
            raise ArraysError(f"{member.filename}: expected {n_bytes} bytes, got more")
    return numbers.reshape(shape, order="F" if found[2] == "True" else "C")
