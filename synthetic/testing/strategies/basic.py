"""Pair, bracket and table languages, and nested brackets."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.testing.strategies.steady import steady


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
    return shapes.flatmap(lambda shape: tables_of(*shape))


def nested_brackets_languages(max_T: int = 6, max_k: int = 3) -> st.SearchStrategy[NestedBrackets]:
    """Draw nested brackets of even length 2 ≤ T ≤ max_T with 1 to max_k types, with or without a depth limit."""
    T = st.integers(1, max_T // 2).map(lambda half: 2 * half)
    return st.builds(NestedBrackets, T, st.integers(1, max_k), st.none() | st.integers(1, max_T // 2 + 1))


def tables_of(n_tokens: int, length: int, varying: bool) -> st.SearchStrategy[TableLanguage]:
    """Draw a table over n_tokens tokens with sentences of one length, or `varying` up to it."""
    weight = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)
    token = st.integers(0, n_tokens - 1)
    row = st.lists(token, min_size=1 if varying else length, max_size=length).map(tuple)
    vocabulary = tuple(f"w{v}" for v in range(n_tokens))
    table = st.dictionaries(row, weight, min_size=1, max_size=12)
    return table.map(steady(lambda weights: TableLanguage(vocabulary, weights)))
