"""Languages made of others: mixtures, concatenations, noise and restrictions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from synthetic.closed_form import BracketLanguage, PairLanguage, TableLanguage
from synthetic.combinators import Concatenation, Mixture, Restricted, TargetNoise, TokenNoise
from synthetic.combinators.channels import Channel
from synthetic.language import Language
from synthetic.testing.strategies.basic import (
    bracket_languages,
    nested_brackets_languages,
    noise_parameters,
    pair_languages,
    table_languages,
    tables_of,
)
from synthetic.testing.strategies.steady import steady


def channels(n_tokens: int) -> st.SearchStrategy[Channel]:
    """Draw a channel on n_tokens tokens with rational entries, zeros among them."""
    row = st.lists(st.integers(0, 9), min_size=n_tokens, max_size=n_tokens).filter(any)
    exact = row.map(lambda values: tuple(Fraction(value, sum(values)) for value in values))
    return st.lists(exact, min_size=n_tokens, max_size=n_tokens).map(tuple)


def mixture_languages() -> st.SearchStrategy[Mixture]:
    """Draw a mixture of one to three tables of any lengths, of pair languages of one size, or of bracket languages."""
    tables = st.integers(1, 3).flatmap(
        lambda c: _lists(
            st.tuples(st.just(c), st.integers(1, 3), st.booleans()).flatmap(lambda shape: tables_of(*shape))
        )
    )
    pairs = st.integers(2, 4).flatmap(lambda d: _lists(st.builds(PairLanguage, st.just(d), noise_parameters())))
    T = st.sampled_from((2, 4, 6))
    noise = st.none() | noise_parameters()
    brackets = noise.flatmap(lambda alpha: _lists(st.builds(BracketLanguage, T, st.just(alpha), st.booleans())))
    components: st.SearchStrategy[list[Language]] = st.one_of(tables, pairs, brackets)
    return components.flatmap(
        lambda parts: st.lists(st.integers(1, 9), min_size=len(parts), max_size=len(parts)).map(
            steady(lambda weights: Mixture(parts, [Fraction(weight, sum(weights)) for weight in weights]))
        )
    )


def concatenation_languages() -> st.SearchStrategy[Concatenation]:
    """Draw a table of fixed length followed by one of any lengths, over the same tokens."""
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans())
    return shapes.flatmap(
        lambda shape: st.tuples(tables_of(shape[0], shape[1], False), tables_of(shape[0], shape[2], shape[3]))
    ).map(steady(Concatenation))


def target_noise_languages() -> st.SearchStrategy[TargetNoise]:
    """Draw a small language, perhaps with a target channel of its own, and noise on its target."""
    inner: st.SearchStrategy[Language] = st.one_of(
        table_languages(max_length=3), nested_brackets_languages(4, 2), bracket_languages(6)
    )
    return inner.flatmap(
        steady(lambda language: channels(language.n_tokens).map(steady(lambda k: TargetNoise(language, k))))
    )


def token_noise_languages() -> st.SearchStrategy[TokenNoise]:
    """Draw a small language and noise on all its tokens."""
    inner: st.SearchStrategy[Language] = st.one_of(table_languages(3, 3), pair_languages(3))
    return inner.flatmap(
        steady(lambda language: channels(language.n_tokens).map(steady(lambda k: TokenNoise(language, k))))
    )


def restricted_languages() -> st.SearchStrategy[Restricted]:
    """Draw a table and some of the lengths of its sentences."""

    def restricted(language: TableLanguage) -> st.SearchStrategy[Restricted]:
        lengths = sorted(set((language.candidates() >= 0).sum(1).tolist()))
        wanted = st.lists(st.sampled_from(lengths), min_size=1, unique=True)
        return wanted.map(steady(lambda sizes: Restricted(language, sizes)))

    return table_languages().flatmap(steady(restricted))


def _lists(components: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Language]]:
    return st.lists(components, min_size=1, max_size=3)
