"""What there is by name: the families that files know, and ready-made languages with their parameters.

Both are found by being there. A family is a subclass of `Language` with a `family` of its own in a package of
`synthetic`. A ready-made language is a public function of the module `ready_made` of such a package: it takes a numpy
generator for what is random and keyword parameters with defaults, its docstring says in one line what it is, and its
name with `-` for `_` is the language's.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

import synthetic
from synthetic.language import Language

_KINDS: Mapping[str, Callable[[str], Any]] = {"int": int, "float": float}


class CatalogueError(ValueError):
    """An unknown language or parameter, or a value of the wrong kind."""


@dataclass(frozen=True)
class Entry:
    """A ready-made language: its name, what it is in one line, and the function that builds it."""

    name: str
    about: str
    build: Callable[..., Language]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        return {p.name: p for p in inspect.signature(self.build).parameters.values() if p.kind is p.KEYWORD_ONLY}

    def describe(self) -> str:
        """Return the parameters as `name=default`, in one line."""
        return " ".join(f"{p.name}={p.default}" for p in self.parameters.values())

    def parse(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of parameters given as text.

        Raises:
            CatalogueError: a name is unknown or a value does not parse; the message lists the parameters.
        """
        values = {}
        for name, text in texts.items():
            if name not in self.parameters:
                raise CatalogueError(f"{self.name} has no parameter {name!r}; its parameters are {self.describe()}")
            kind = str(self.parameters[name].annotation)
            try:
                values[name] = _KINDS[kind](text)
            except ValueError as error:
                raise CatalogueError(f"{name} = {text!r} is no {kind}; for example {self.describe()}") from error
        return values

    def __call__(self, seed: int, **values: Any) -> Language:
        """Build the language; `seed` decides what is random in it."""
        return self.build(np.random.default_rng(seed), **values)


def families() -> dict[str, type[Language]]:
    """Return the class of each family by its name in files."""
    list(_modules())
    found: dict[str, type[Language]] = {}
    waiting: list[type[Language]] = Language.__subclasses__()
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if vars(cls).get("family") and cls.__module__.startswith("synthetic."):
            found[cls.family] = cls
    return dict(sorted(found.items()))


def entries() -> dict[str, Entry]:
    """Return the ready-made languages by name."""
    found = []
    for module in _modules():
        if module.__name__.endswith(".ready_made"):
            for build in vars(module).values():
                if inspect.isfunction(build) and build.__module__ == module.__name__ and build.__name__[0] != "_":
                    about = (inspect.getdoc(build) or "").rstrip(".")
                    found.append(Entry(build.__name__.replace("_", "-"), about[:1].lower() + about[1:], build))
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def ready_made(name: str) -> Entry:
    """Return the ready-made language of that name.

    Raises:
        CatalogueError: there is none; the message lists the names.
    """
    known = entries()
    if name not in known:
        raise CatalogueError(f"there is no ready-made language {name!r}; there are {', '.join(known)}")
    return known[name]


def _modules() -> Iterator[ModuleType]:
    """Import and yield the modules of the packages that hold families."""
    for package in pkgutil.iter_modules(synthetic.__path__, "synthetic."):
        if package.ispkg and package.name not in {"synthetic.catalogue", "synthetic.testing"}:
            yield from (
                import_module(info.name)
                for info in pkgutil.iter_modules(import_module(package.name).__path__, f"{package.name}.")
            )
