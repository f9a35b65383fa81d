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
from synthetic.channels import Channel
from synthetic.concatenation import Concatenation
from synthetic.language import Language
from synthetic.mixture import Mixture
from synthetic.nested_brackets import NestedBrackets
from synthetic.pairs import PairLanguage
from synthetic.restricted import Restricted
from synthetic.table import TableLanguage
from synthetic.target_noise import TargetNoise
from synthetic.token_noise import TokenNoise
from synthetic.tokens import mask

R = TypeVar("R")


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
    shapes = st.tuples(st.integers(1, max_tokens), st.integers(1, max_length), st.booleans())
    return shapes.flatmap(lambda shape: _tables(*shape))


def nested_brackets_languages(max_T: int = 6, max_k: int = 3) -> st.SearchStrategy[NestedBrackets]:
    """Draw nested brackets of even length 2 ≤ T ≤ max_T with 1 to max_k types, with or without a depth limit."""
    T = st.integers(1, max_T // 2).map(lambda half: 2 * half)
    return st.builds(NestedBrackets, T, st.integers(1, max_k), st.none() | st.integers(1, max_T // 2 + 1))


def channels(n_tokens: int) -> st.SearchStrategy[Channel]:
    """Draw a channel on n_tokens tokens with rational entries, zeros among them."""
    row = st.lists(st.integers(0, 9), min_size=n_tokens, max_size=n_tokens).filter(any)
    exact = row.map(lambda values: tuple(Fraction(value, sum(values)) for value in values))
    return st.lists(exact, min_size=n_tokens, max_size=n_tokens).map(tuple)


def mixture_languages() -> st.SearchStrategy[Mixture]:
    """Draw a mixture of one to three tables of any lengths, of pair languages of one size, or of bracket languages."""
    tables = st.integers(1, 3).flatmap(
        lambda c: _lists(st.tuples(st.just(c), st.integers(1, 3), st.booleans()).flatmap(lambda shape: _tables(*shape)))
    )
    pairs = st.integers(2, 4).flatmap(lambda d: _lists(st.builds(PairLanguage, st.just(d), noise_parameters())))
    T = st.sampled_from((2, 4, 6))
    noise = st.none() | noise_parameters()
    brackets = noise.flatmap(lambda alpha: _lists(st.builds(BracketLanguage, T, st.just(alpha), st.booleans())))
    components: st.SearchStrategy[list[Language]] = st.one_of(tables, pairs, brackets)
    return components.flatmap(
        lambda parts: st.lists(st.integers(1, 9), min_size=len(parts), max_size=len(parts)).map(
            _steady(lambda weights: Mixture(parts, [Fraction(weight, sum(weights)) for weight in weights]))
        )
    )


def concatenation_languages() -> st.SearchStrategy[Concatenation]:
    """Draw a table of fixed length followed by one of any lengths, over the same tokens."""
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans())
    return shapes.flatmap(
        lambda shape: st.tuples(_tables(shape[0], shape[1], False), _tables(shape[0], shape[2], shape[3]))
    ).map(_steady(Concatenation))


def target_noise_languages() -> st.SearchStrategy[TargetNoise]:
    """Draw a small language, perhaps with a target channel of its own, and noise on its target."""
    inner: st.SearchStrategy[Language] = st.one_of(
        table_languages(max_length=3), nested_brackets_languages(4, 2), bracket_languages(6)
    )
    return inner.flatmap(
        _steady(lambda language: channels(language.n_tokens).map(_steady(lambda k: TargetNoise(language, k))))
    )


def token_noise_languages() -> st.SearchStrategy[TokenNoise]:
    """Draw a small language and noise on all its tokens."""
    inner: st.SearchStrategy[Language] = st.one_of(table_languages(3, 3), pair_languages(3))
    return inner.flatmap(
        _steady(lambda language: channels(language.n_tokens).map(_steady(lambda k: TokenNoise(language, k))))
    )


def restricted_languages() -> st.SearchStrategy[Restricted]:
    """Draw a table and some of the lengths of its sentences."""

    def restricted(language: TableLanguage) -> st.SearchStrategy[Restricted]:
        lengths = sorted(set((language.candidates() >= 0).sum(1).tolist()))
        wanted = st.lists(st.sampled_from(lengths), min_size=1, unique=True)
        return wanted.map(_steady(lambda sizes: Restricted(language, sizes)))

    return table_languages().flatmap(_steady(restricted))


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    families: list[st.SearchStrategy[Language]] = [
        pair_languages().map(_as_language),
        bracket_languages().map(_as_language),
        table_languages().map(_as_language),
        nested_brackets_languages().map(_as_language),
        mixture_languages().map(_as_language),
        concatenation_languages().map(_as_language),
        target_noise_languages().map(_as_language),
        token_noise_languages().map(_as_language),
        restricted_languages().map(_as_language),
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


def _tables(n_tokens: int, length: int, varying: bool) -> st.SearchStrategy[TableLanguage]:
    weight = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)
    token = st.integers(0, n_tokens - 1)
    row = st.lists(token, min_size=1 if varying else length, max_size=length).map(tuple)
    vocabulary = tuple(f"w{v}" for v in range(n_tokens))
    table = st.dictionaries(row, weight, min_size=1, max_size=12)
    return table.map(_steady(lambda weights: TableLanguage(vocabulary, weights)))


def _lists(components: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Language]]:
    return st.lists(components, min_size=1, max_size=3)


def _steady(build: Callable[..., R]) -> Callable[..., R]:
    """Return `build` with the global random state put back after each call.

    Runtime type checkers spot-check containers with `random`; hypothesis objects to a strategy that moves it.
    """

    def steadily(*arguments: Any) -> R:
        state = random.getstate()
        try:
            return build(*arguments)
        finally:
            random.setstate(state)

    return steadily


def _as_language(language: Language) -> Language:
    return language
