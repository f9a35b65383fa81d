"""Languages in files: a JSON document and, where the language has arrays, an npz file beside it.

The round trip is exact: floats are written with all their digits, fractions as fractions, arrays as they are. Nothing
that is read is executed, and the constructor of the family checks what it is given as if it came from a user.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthetic.catalogue.registry import families
from synthetic.language import Language

FORMAT = "flatproof language"
VERSION = 1
"""Version of the layout of the files; raised when it changes its meaning."""


class LanguageFileError(ValueError):
    """A file that holds no language, or not one that this version reads."""


def save(language: Language, path: str | Path) -> tuple[Path, ...]:
    """Write a language to `path`, arrays to the npz file of the same stem; return the files written.

    Each file appears whole or not at all; the JSON names the npz by its SHA-256, so that a mixed-up pair is noticed.

    Raises:
        TypeError: if the language, or one inside it, belongs to no family or has a state that files cannot hold.
        ValueError: if `path` ends in .npz, the name of the second file.
    """
    path = Path(path)
    if path.suffix == ".npz":
        raise ValueError(f"expected the name of a JSON file, got {path}; arrays go to the npz file of the same stem")
    arrays: dict[str, np.ndarray] = {}
    document: dict[str, Any] = {"format": FORMAT, "version": VERSION, **_encoded(language, "", arrays)}
    written: tuple[Path, ...] = (path,)
    if arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        beside = path.with_suffix(".npz")
        document["arrays"] = {"file": beside.name, "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
        _write(beside, buffer.getvalue())
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
        document = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise LanguageFileError(f"{path}: expected a JSON document, got {error}; save the language again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise LanguageFileError(f'{path}: expected "format": "{FORMAT}"; this file holds no language')
    if document.get("version") != VERSION:
        raise LanguageFileError(
            f"{path}: expected version {VERSION}, got {document.get('version')!r}; "
            "use the version of flatproof that wrote it, or save the language again"
        )
    try:
        arrays = _read_arrays(path, document["arrays"]) if "arrays" in document else {}
        decoded = _decoded(document, arrays, families() | {cls.family: cls for cls in own})
    except LanguageFileError as error:
        raise LanguageFileError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise LanguageFileError(f"{path}: not the state of a language: {error}; save the language again") from error
    if not isinstance(decoded, Language):
        raise LanguageFileError(f'{path}: expected a "language", found none; save the language again')
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


def _read_arrays(path: Path, reference: Mapping[str, Any]) -> dict[str, np.ndarray]:
    # Only the name: a file never leads out of its own folder.
    beside = path.parent / Path(reference["file"]).name
    if not beside.is_file():
        raise LanguageFileError(f"expected its arrays in {beside}, which is missing; keep the two files together")
    content = beside.read_bytes()
    if hashlib.sha256(content).hexdigest() != reference["sha256"]:
        raise LanguageFileError(f"{beside} is damaged or belongs to another language; save the language again")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except zipfile.BadZipFile as error:
        raise LanguageFileError(f"{beside} is no npz file: {error}; save the language again") from error


def _encoded(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, Language):
        if not value.family:
            raise TypeError(f"expected a language of a family, got {value!r}; give its class a name in `family`")
        state = {name: _encoded(part, f"{place}{name}.", arrays) for name, part in value.state().items()}
        return {"language": value.family, "state": state}
    if isinstance(value, Tensor):
        arrays[place.rstrip(".")] = value.detach().cpu().numpy()
        return {"array": place.rstrip(".")}
    if isinstance(value, Fraction):
        return {"fraction": str(value)}
    if isinstance(value, Mapping):
        return {"map": {str(key): _encoded(part, f"{place}{key}.", arrays) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        return [_encoded(part, f"{place}{number}.", arrays) for number, part in enumerate(value)]
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise TypeError(f"a file cannot hold {value!r} of {place.rstrip('.')}; see Language.state for what it can hold")


def _decoded(value: Any, arrays: Mapping[str, np.ndarray], known: Mapping[str, type[Language]]) -> Any:
    if isinstance(value, list):
        return [_decoded(part, arrays, known) for part in value]
    if not isinstance(value, dict):
        return value
    if "language" in value:
        family = value["language"]
        if family not in known:
            raise LanguageFileError(
                f"expected a family among {', '.join(known)}, got {family!r}; pass own=[class] to load your own"
            )
        state = {name: _decoded(part, arrays, known) for name, part in value["state"].items()}
        return known[family].from_state(state)
    if "array" in value:
        return torch.from_numpy(arrays[value["array"]])
    if "fraction" in value:
        return Fraction(value["fraction"])
    return {key: _decoded(part, arrays, known) for key, part in value["map"].items()}
