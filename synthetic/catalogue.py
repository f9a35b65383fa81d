"""Ready-made languages by name, each with its parameters: what `flatproof language` shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthetic.brackets import BracketLanguage
from synthetic.language import Language
from synthetic.pairs import PairLanguage

_KINDS: Mapping[str, Callable[[str], Any]] = {"int": int, "float": float}


class CatalogueError(ValueError):
    """An unknown language or parameter, or a value of the wrong kind."""


@dataclass(frozen=True)
class Entry:
    """A ready-made language: its name, what it is in one line, and the function that builds it.

    The function takes a generator for its random part and keyword parameters with defaults.
    """

    name: str
    about: str
    build: Callable[..., Language]

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword parameters by name."""
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


def _pairs(_: np.random.Generator, *, d: int = 4, alpha: float = 1.5) -> Language:
    return PairLanguage(d, alpha)


def _brackets(_: np.random.Generator, *, T: int = 6, alpha: float = 1.5) -> Language:
    return BracketLanguage(T, alpha)


_ENTRIES = (
    Entry("pairs", "a noisy product of two of d tokens", _pairs),
    Entry("brackets", "balanced words with a noisy masked bracket", _brackets),
)

CATALOGUE: Mapping[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""The ready-made languages by name."""


def find(name: str) -> Entry:
    """Return the entry of that name.

    Raises:
        CatalogueError: there is none; the message lists the names.
    """
    if name not in CATALOGUE:
        raise CatalogueError(f"there is no ready-made language {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
