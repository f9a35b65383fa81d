"""Hypothesis strategies that draw random languages, and contexts of a given language."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from synthetic.brackets import BracketLanguage
from synthetic.grammar import Grammar
from synthetic.grammar_random import layered_grammar, random_grammar
from synthetic.language import Language
from synthetic.pairs import PairLanguage
from synthetic.pcfg import PCFG
from synthetic.table import TableLanguage
from synthetic.tokens import mask

Built = TypeVar("Built")


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


def grammars(max_nonterminals: int = 5, max_terminals: int = 3) -> st.SearchStrategy[Grammar]:
    """Draw a proper grammar: recursive of any shape, or layered with two levels."""

    def recursive(seed: int, nonterminals: int, terminals: int, rules: int, branching: float, unary: int) -> Grammar:
        sizes = {"nonterminals": nonterminals, "terminals": terminals, "unary": min(unary, nonterminals - 1)}
        return random_grammar(np.random.default_rng(seed), rules=rules, branching=branching, **sizes)

    def layered(seed: int, roots: int, size: int, terminals: int, ambiguity: float) -> Grammar:
        sizes = {"roots": roots, "terminals": terminals, "rules": 2, "leaf_words": 2}
        return layered_grammar(np.random.default_rng(seed), levels=(size, 2), ambiguity=ambiguity, **sizes)

    seed, few, tokens = st.integers(0, 2**32), st.integers(1, 3), st.integers(1, max_terminals)
    branching = st.floats(0.05, 0.49)
    shapes = st.builds(
        _undisturbed(recursive), seed, st.integers(1, max_nonterminals), tokens, few, branching, st.integers(0, 2)
    )
    return st.one_of(shapes, st.builds(_undisturbed(layered), seed, few, few, tokens, st.floats(0, 1)))


def pcfg_languages(max_length: int = 4) -> st.SearchStrategy[PCFG]:
    """Draw the language of a random grammar, of lengths up to max_length or of one length that it has."""

    def build(grammar: Grammar, length: int, fixed: bool) -> PCFG:
        # Layered grammars have sentences of one length or few; T = 4 has some in every case.
        possible = PCFG(grammar, max_length).lengths.prob > 0
        if fixed and possible[length - 1]:
            return PCFG(grammar, length, fixed_length=True)
        return PCFG(grammar, length if possible[:length].any() else max_length)

    return st.builds(_undisturbed(build), grammars(), st.integers(1, max_length), st.booleans())


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    families: list[st.SearchStrategy[Language]] = [
        pair_languages().map(_as_language),
        bracket_languages().map(_as_language),
        pcfg_languages().map(_as_language),
        table_languages().map(_as_language),
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


def _table(vocabulary: Any, weights: Any) -> TableLanguage:
    return _undisturbed(TableLanguage)(vocabulary, weights)


def _undisturbed(build: Callable[..., Built]) -> Callable[..., Built]:
    """Runtime type checkers spot-check containers with `random`; hypothesis objects to a strategy that moves it."""

    def built(*arguments: Any) -> Built:
        state = random.getstate()
        try:
            return build(*arguments)
        finally:
            random.setstate(state)

    return built


def _as_language(language: Language) -> Language:
    return language
