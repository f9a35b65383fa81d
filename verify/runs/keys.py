"""What determines a run: source code, configuration, seed and versions, hashed into its name."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from verify.runs.sealed import LAYOUT, digest


def source_digests(modules: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the source of each named module; of a package, of all its Python files by relative path.

    Name what the numbers depend on: a run is found again only while these sources are unchanged, byte by byte.

    Raises:
        ValueError: a name is no importable module with a Python source file.
    """
    found = {}
    for name in modules:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            raise ValueError(f"expected a module with a Python source file, got {name!r}; name it as in an import")
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if spec.submodule_search_locations else [origin]
        found[name] = digest(
            {
                path.relative_to(origin.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
            }
        )
    return found


@lru_cache
def loaded_digests(modules: tuple[str, ...]) -> dict[str, str]:
    """Return `source_digests`, read once: of the sources that this process has loaded, errors as there."""
    return source_digests(modules)


def tensors_digest(*tensors: Tensor) -> str:
    """Return the SHA-256 of the types, shapes and numbers of some tensors, to the bit."""
    return digest(len(tensors), tensors)


def library_versions() -> dict[str, str]:
    """Return the versions that can change a number: Python, numpy and torch."""
    return {"python": platform.python_version(), "numpy": version("numpy"), "torch": version("torch")}


@dataclass(frozen=True, eq=False)
class RunKey:
    """The identity of a run. Equal parts give an equal `digest`, whatever the order of their keys.

    Attributes:
        configuration: JSON data: everything chosen, including the device and the precision.
        seed: root of the run's random streams.
        sources: SHA-256 by name of module.
        versions: version by name of library.
        layout: of the store, `sealed.LAYOUT`.
    """

    configuration: Mapping[str, Any]
    seed: int
    sources: Mapping[str, str]
    versions: Mapping[str, str]
    layout: int = LAYOUT

    @classmethod
    def of(cls, configuration: Mapping[str, Any], seed: int, modules: Iterable[str]) -> RunKey:
        """Return the key of a run of the named modules, as they were when this process first asked for them.

        What it does comes from the modules that it has loaded, whatever becomes of their files meanwhile.
        """
        return cls(dict(configuration), seed, dict(loaded_digests(tuple(modules))), library_versions())

    def parts(self) -> dict[str, Any]:
        """Return the parts by name."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of the parts: the name of the run's folder."""
        return digest(self.parts())
