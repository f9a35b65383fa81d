"""Hypothesis strategies that draw random languages, and contexts of a given language."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from synthetic.brackets import BracketLanguage
from synthetic.language import Language
from synthetic.pairs import PairLanguage
from synthetic.potts import PottsGraph
from synthetic.table import TableLanguage
from synthetic.token_graph import TokenGraph
from synthetic.tokens import mask

L = TypeVar("L", bound=Language)


def noise_parameters(max_alpha: float = 30.0) -> st.SearchStrategy[float]:
    """Draw α with |α| ≤ max_alpha; both signs, since σ(α) < ½ is a language as well."""
    return st.floats(-max_alpha, max_alpha, allow_nan=False)


def pair_languages(max_d: int = 6, max_alpha: float = 30.0) -> st.SearchStrategy[PairLanguage]:
    """Draw a pair language with 2 ≤ d ≤ max_d."""
    return st.builds(PairLanguage, st.integers(2, max_d), noise_parameters(max_alpha))


def bracket_languages(max_T: int = 8, max_alpha: float = 30.0) -> st.SearchStrategy[BracketLanguage]:
    """Draw a bracket language of even length 2 ≤ T ≤ max_T, with or without noise, balanced or nested."""
    T = st.integers(1, max_T // 2).map(lambda half: 2 * half)
    return st.builds(BracketLanguage, T, st.none() | noise_parameters(max_alpha), st.booleans())


def table_languages(max_tokens: int = 4, max_length: int = 4) -> st.SearchStrategy[TableLanguage]:
    """Draw a language given by a random table: any support, rational weights, fixed or varying length."""
    weight = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)

    def tables(shape: tuple[int, int, bool]) -> st.SearchStrategy[TableLanguage]:
        n_tokens, length, varying = shape
        token = st.integers(0, n_tokens - 1)
        row = st.lists(token, min_size=1 if varying else length, max_size=length).map(tuple)
        vocabulary = tuple(f"w{v}" for v in range(n_tokens))
        table = st.dictionaries(row, weight, min_size=1, max_size=12)
        return table.map(lambda weights: _table(vocabulary, weights))

    return st.tuples(st.integers(1, max_tokens), st.integers(1, max_length), st.booleans()).flatmap(tables)


def token_graph_languages(
    max_length: int = 6, max_order: int = 4, max_weight: float = 5.0
) -> st.SearchStrategy[TokenGraph]:
    """Draw a token graph with up to 8 interactions of any order, fields and isolated positions among them."""
    weight = st.floats(-max_weight, max_weight, allow_nan=False)

    def graphs(length: int) -> st.SearchStrategy[TokenGraph]:
        edge = st.sets(st.integers(0, length - 1), min_size=1, max_size=max_order).map(
            lambda chosen: tuple(sorted(chosen))
        )
        table = st.dictionaries(edge, weight, max_size=8)
        return st.tuples(table, _masked(length)).map(
            lambda drawn: _quietly(TokenGraph, length, tuple(drawn[0]), tuple(drawn[0].values()), drawn[1])
        )

    return st.integers(1, max_length).flatmap(graphs)


def potts_languages(
    max_tokens: int = 4, max_length: int = 4, max_weight: float = 5.0, max_strings: int = 200
) -> st.SearchStrategy[PottsGraph]:
    """Draw a Potts language of at most `max_strings` sentences, with or without fields."""
    weight = st.floats(-max_weight, max_weight, allow_nan=False)

    def graphs(shape: tuple[int, int]) -> st.SearchStrategy[PottsGraph]:
        n_tokens, length = shape
        pairs = [(i, j) for j in range(length) for i in range(j)]
        couplings = st.fixed_dictionaries({}, optional=dict.fromkeys(pairs, weight))
        row = st.tuples(*[weight] * n_tokens)
        fields = st.just(()) | st.tuples(*[row] * length)
        names = tuple(f"w{v}" for v in range(n_tokens))
        return st.tuples(couplings, fields, _masked(length)).map(
            lambda drawn: _quietly(PottsGraph, names, length, tuple(drawn[0]), tuple(drawn[0].values()), *drawn[1:])
        )

    shapes = st.tuples(st.integers(1, max_tokens), st.integers(1, max_length))
    return shapes.filter(lambda shape: shape[0] ** shape[1] <= max_strings).flatmap(graphs)


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    families: list[st.SearchStrategy[Language]] = [
        pair_languages().map(_as_language),
        bracket_languages().map(_as_language),
        table_languages().map(_as_language),
        token_graph_languages().map(_as_language),
        potts_languages().map(_as_language),
    ]
    return st.one_of(families)


def contexts(language: Language, max_size: int = 5) -> st.SearchStrategy[Tensor]:
    """Draw 1 to max_size contexts of positive probability, int64 of shape (context, position).

    Any position may be masked, not only the declared ones. The language must be small enough to be enumerated.
    """
    sentences = language.enumerate().sentences
    maskable = [(row, t) for row, t in (sentences >= 0).nonzero().tolist()]
    return st.lists(st.sampled_from(maskable), min_size=1, max_size=max_size).map(
        lambda picks: mask(sentences[[row for row, _ in picks]], torch.tensor([t for _, t in picks]))
    )


def _masked(length: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, length - 1)).map(lambda chosen: tuple(sorted(chosen)))


def _table(vocabulary: Any, weights: Any) -> TableLanguage:
    return _quietly(TableLanguage, vocabulary, weights)


def _quietly(build: Callable[..., L], *arguments: Any) -> L:
    # Runtime type checkers spot-check containers with `random`; hypothesis objects to a strategy that moves it.
    state = random.getstate()
    try:
        return build(*arguments)
    finally:
        random.setstate(state)


def _as_language(language: Language) -> Language:
    return language
