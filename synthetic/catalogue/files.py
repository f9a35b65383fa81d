"""Languages in files: a JSON document and, where the language has arrays, an npz file beside it.

The round trip is exact: floats are written with all their digits, fractions as fractions, arrays as they are. Nothing
that is read is executed, and the constructor of the family checks what it is given as if it came from a user.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.catalogue.arrays import LARGEST_ARRAYS, packed, unpacked
from synthetic.catalogue.registry import families
from synthetic.language import Language
from synthetic.typed import parse_json

FORMAT = "flatproof language"
VERSION = 1
"""Version of the layout of the files; raised when it changes its meaning."""

LARGEST_DOCUMENT = 2**28
"""Bytes of a JSON file that is read."""
DEEPEST = 100
"""Levels of a document inside one another; a language in a language takes two or three."""
LARGEST_SIZE = 2**20
"""Of an integer parameter, such as a length, of the families of `synthetic`: those below allocate as much at once."""

_FRACTION = re.compile(r"-?[0-9]+(/[0-9]*[1-9][0-9]*)?")


class LanguageFileError(ValueError):
    """A file that holds no language, or not one that this version reads."""


def save(language: Language, path: str | Path) -> tuple[Path, ...]:
    """Write a language to `path`, arrays to the npz file of the same stem; return the files written.

    Each file appears whole or not at all; the JSON names the npz by its SHA-256, so that a mixed-up pair is noticed.

    Raises:
        TypeError: if the language, or one inside it, belongs to no family or has a state that files cannot hold, also
            one beyond `DEEPEST` or `LARGEST_SIZE`.
        ValueError: if `path` ends in .npz, the name of the second file, or the arrays are larger than what is read.
        OSError: if a file cannot be written; what was there before is still there.
    """
    path = Path(path)
    if path.suffix == ".npz":
        raise ValueError(f"expected the name of a JSON file, got {path}; arrays go to the npz file of the same stem")
    arrays: dict[str, np.ndarray] = {}
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, **_encoded(language, "", arrays)}
    written: tuple[Path, ...] = (path,)
    if arrays:
        content, beside = packed(arrays), path.with_suffix(".npz")
        document["arrays"] = {"file": beside.name, "sha256": hashlib.sha256(content).hexdigest()}
        _write(beside, content)
        written = (path, beside)
    _write(path, (json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode())
    return written


def load(path: str | Path, own: Iterable[type[Language]] = ()) -> Language:
    """Read a language that `save` wrote.

    Args:
        path: the JSON file.
        own: classes of yours, for languages of families that are not of `synthetic`.

    Raises:
        LanguageFileError: naming the file and what is wrong with it.
        OSError: if a file cannot be read.
    """
    path = Path(path)
    try:
        document = _read_document(path)
        arrays = _read_arrays(path, document["arrays"]) if "arrays" in document else {}
        decoded = _Decoder(arrays, families() | {cls.family: cls for cls in own}).decode(document)
        if not isinstance(decoded, Language):
            raise LanguageFileError('expected a "language", found none')
    except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
        # The reader's own, and what constructors say of parameters of the right types.
        reason = str(error) or type(error).__name__
        remedy = "" if ";" in reason else "; save the language again"
        raise LanguageFileError(f"{path}: {reason}{remedy}") from error
    return decoded


def _write(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _bytes(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise LanguageFileError(f"expected at most {limit} bytes in {path.name}, got more; it is no file of this kind")
    return content


def _read_document(path: Path) -> dict[str, Any]:
    document = parse_json(_bytes(path, LARGEST_DOCUMENT))
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LanguageFileError(f'expected "format": "{FORMAT}"; this file holds no language')
    if document.get("version") != VERSION:
        raise LanguageFileError(
            f"expected version {VERSION}, got {document.get('version')!r:.60}; "
            "use the version of flatproof that wrote it, or save the language again"
        )
    return document


def _read_arrays(path: Path, reference: Any) -> dict[str, np.ndarray]:
    name, digest = (reference.get(part) if isinstance(reference, dict) else None for part in ("file", "sha256"))
    if not isinstance(name, str) or not isinstance(digest, str):
        raise LanguageFileError(f"expected the name of the file of arrays and its sha256, got {reference!r:.60}")
    # Only the name: a file never leads out of its own folder.
    beside = path.parent / Path(name).name
    if len(name) > 255 or not beside.is_file():
        raise LanguageFileError(
            f"expected its arrays in {beside!s:.300}, which is missing; keep the two files together"
        )
    # A file of numbers that do not compress is larger than they are by a header for each array.
    content = _bytes(beside, 2 * LARGEST_ARRAYS)
    if hashlib.sha256(content).hexdigest() != digest:
        raise LanguageFileError(f"{beside} is damaged or belongs to another language; save the language again")
    try:
        return unpacked(content)
    except ValueError as error:
        raise LanguageFileError(f"{beside}: {error}; save the language again") from error


def _encoded(value: Any, place: str, arrays: dict[str, np.ndarray], depth: int = 0) -> Any:
    def inside(name: object, part: Any) -> Any:
        return _encoded(part, f"{place}{name}.", arrays, depth + 1)

    if depth > DEEPEST:
        raise TypeError(f"expected at most {DEEPEST} levels inside one another, got more; save the inner language")
    if isinstance(value, Language):
        if not value.family:
            raise TypeError(f"expected a language of a family, got {value!r}; give its class a name in `family`")
        state = value.state()
        large = _too_large(type(value), state)
        if large:
            raise TypeError(f"expected {large} of {value.family} up to {LARGEST_SIZE} in a file, got {state[large]}")
        return {"language": value.family, "state": {name: inside(name, part) for name, part in state.items()}}
    if isinstance(value, Tensor):
        arrays[place.rstrip(".")] = value.detach().cpu().numpy()
        return {"array": place.rstrip(".")}
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, Mapping):
        return {"map": {str(key): inside(key, part) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        return [inside(number, part) for number, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"a file cannot hold {value!r} of {place.rstrip('.')}; see Language.state for what it can hold")


class _Decoder:
    """The inverse of `_encoded`."""

    def __init__(self, arrays: Mapping[str, np.ndarray], known: Mapping[str, type[Language]]) -> None:
        self.arrays, self.known = arrays, known

    def decode(self, value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise LanguageFileError(f"expected at most {DEEPEST} levels inside one another, got more")
        if isinstance(value, list):
            return [self.decode(part, depth + 1) for part in value]
        if isinstance(value, dict):
            return self._of_dict(value, depth + 1)
        if isinstance(value, float) and not math.isfinite(value):
            raise LanguageFileError(f"expected finite numbers, got {value}")
        if isinstance(value, str):
            value.encode()  # half of a surrogate pair is no text: UnicodeEncodeError, a ValueError
        return value

    def _of_dict(self, value: dict[str, Any], depth: int) -> Any:
        kinds = value.keys() & {"language", "array", "fraction", "map"}
        if len(kinds) != 1:
            raise LanguageFileError(f"expected one of language, array, fraction and map, got {list(value)!r:.60}")
        (kind,) = kinds
        content = value[kind]
        if kind == "language":
            return self._language(content, value.get("state"), depth)
        if kind == "array":
            if not isinstance(content, str) or content not in self.arrays:
                raise LanguageFileError(f"expected an array among {', '.join(self.arrays)}, got {content!r:.60}")
            return torch.from_numpy(self.arrays[content])
        if kind == "fraction":
            if not isinstance(content, str) or not _FRACTION.fullmatch(content):
                raise LanguageFileError(f"expected a fraction such as 2/3, got {content!r:.60}")
            return Fraction(content)
        return self._parts(content, depth)

    def _parts(self, content: Any, depth: int) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise LanguageFileError(f"expected names with values, got {content!r:.60}")
        return {name: self.decode(part, depth) for name, part in content.items()}

    def _language(self, family: Any, state: Any, depth: int) -> Language:
        if not isinstance(family, str) or family not in self.known:
            raise LanguageFileError(
                f"expected a family among {', '.join(self.known)}, got {family!r:.60}; "
                "pass own=[class] to load your own"
            )
        parts = self._parts(state, depth)
        large = _too_large(self.known[family], parts)
        if large:
            raise LanguageFileError(f"expected {large} of {family} up to {LARGEST_SIZE}, got a larger one")
        return self.known[family].from_state(parts)


def _too_large(family: type[Language], state: Mapping[str, Any]) -> str | None:
    """Name the size of a language of `synthetic` that is beyond the limit."""
    ours = family.__module__.startswith("synthetic.")
    return next((k for k, v in state.items() if ours and type(v) is int and abs(v) > LARGEST_SIZE), None)
