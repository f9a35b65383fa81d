"""Hypothesis strategies that draw random languages, and contexts of a given language."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from synthetic.brackets import BracketLanguage
from synthetic.language import Language
from synthetic.ngram import NGram
from synthetic.ngram_language import NGramLanguage
from synthetic.pairs import PairLanguage
from synthetic.table import TableLanguage
from synthetic.tokens import mask


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


def ngram_languages(max_tokens: int = 3, max_length: int = 4, max_order: int = 3) -> st.SearchStrategy[NGramLanguage]:
    """Draw the language of a random text: any order, Witten–Bell or a rational weight, 0 (no smoothing) included."""
    weight = st.none() | st.just(Fraction(0)) | st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)

    def fitted(n_tokens: int) -> st.SearchStrategy[NGramLanguage]:
        sentence = st.lists(st.integers(0, n_tokens - 1), min_size=1, max_size=8)
        text = st.lists(sentence, min_size=1, max_size=4)
        names = tuple(f"w{v}" for v in range(n_tokens))
        return st.tuples(text, st.integers(1, max_order), weight, st.integers(1, max_length)).map(
            lambda drawn: _ngram_language(names, *drawn)
        )

    return st.integers(1, max_tokens).flatmap(fitted)


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    families: list[st.SearchStrategy[Language]] = [
        ngram_languages().map(_as_language),
        pair_languages().map(_as_language),
        bracket_languages().map(_as_language),
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
    # Runtime type checkers spot-check containers with `random`; hypothesis objects to a strategy that moves it.
    state = random.getstate()
    try:
        return TableLanguage(vocabulary, weights)
    finally:
        random.setstate(state)


def _ngram_language(names: Any, text: Any, order: int, weight: Any, length: int) -> NGramLanguage:
    state = random.getstate()
    try:
        return NGramLanguage(NGram.fit(text, len(names), order, weight), names, length)
    finally:
        random.setstate(state)


def _as_language(language: Language) -> Language:
    return language
