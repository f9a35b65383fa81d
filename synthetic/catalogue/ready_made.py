"""Ready-made languages by name, each with its parameters: what `flatproof language` shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np
import torch

from synthetic.autoregressive.corpus import default_language
from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.closed_form.pairs import PairLanguage
from synthetic.combinators.channels import symmetric_channel
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.target_noise import TargetNoise
from synthetic.graphs.from_networkx import from_networkx
from synthetic.hmm.random import block_hmm, sticky_hmm
from synthetic.language import Language
from synthetic.pcfg.language import PCFG
from synthetic.pcfg.random import layered_grammar

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


def _torch(generator: np.random.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(generator.integers(2**63)))


def _pairs(_: np.random.Generator, *, d: int = 4, alpha: float = 1.5) -> Language:
    return PairLanguage(d, alpha)


def _brackets(_: np.random.Generator, *, T: int = 6, alpha: float = 1.5) -> Language:
    return BracketLanguage(T, alpha)


def _nested(_: np.random.Generator, *, T: int = 8, k: int = 2, D: int = 3, keep: float = 0.9) -> Language:
    return TargetNoise(NestedBrackets(T, k, D), symmetric_channel(2 * k, keep))


def _hmm(
    generator: np.random.Generator,
    *,
    states: int = 100,
    tokens: int = 200,
    T: int = 16,
    blocks: int = 5,
    leave: float = 0.1,
    concentration: float = 0.1,
) -> Language:
    return block_hmm(_torch(generator), states, tokens, T, blocks=blocks, leave=leave, concentration=concentration)


def _pcfg(
    generator: np.random.Generator, *, roots: int = 9, size: int = 10, levels: int = 4, tokens: int = 200
) -> Language:
    grammar = layered_grammar(generator, roots=roots, levels=(size,) * levels, terminals=tokens)
    return PCFG(grammar, 2**levels)


def _token_graph(
    generator: np.random.Generator, *, rows: int = 4, columns: int = 4, coupling: float = 0.4, field: float = 0.1
) -> Language:
    return from_networkx(nx.grid_2d_graph(rows, columns), coupling, field)


def _text(_: np.random.Generator, *, tokens: int = 200, order: int = 2, T: int = 16) -> Language:
    return default_language(tokens, order, T)


def _mixture(generator: np.random.Generator, *, states: int = 6, tokens: int = 12, T: int = 8) -> Language:
    parts = [sticky_hmm(_torch(generator), states, tokens, T) for _ in range(2)]
    return Mixture(parts, (0.5, 0.5))


_ENTRIES = (
    Entry("pairs", "a noisy product of two of d tokens", _pairs),
    Entry("brackets", "balanced words with a noisy masked bracket", _brackets),
    Entry(
        "nested",
        "nested brackets of k types, at most D deep, the masked one kept with probability `keep`",
        _nested,
    ),
    Entry("hmm", "a random hidden Markov model with blocks of states, by default of the paper's size", _hmm),
    Entry("pcfg", "a random layered grammar, by default of the size that the paper's authors released", _pcfg),
    Entry("token-graph", "signs on a grid that align with their neighbours, the Ising model", _token_graph),
    Entry("text", "an n-gram model of the documentation that ships with Python", _text),
    Entry("mixture", "an even mixture of two random hidden Markov models", _mixture),
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
