"""Markov random fields: token graphs and Potts languages."""

from __future__ import annotations

from hypothesis import strategies as st

from synthetic.graphs import PottsGraph, TokenGraph
from synthetic.testing.strategies.steady import steady


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
            lambda drawn: steady(TokenGraph)(length, tuple(drawn[0]), tuple(drawn[0].values()), drawn[1])
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
            lambda drawn: steady(PottsGraph)(names, length, tuple(drawn[0]), tuple(drawn[0].values()), *drawn[1:])
        )

    shapes = st.tuples(st.integers(1, max_tokens), st.integers(1, max_length))
    return shapes.filter(lambda shape: shape[0] ** shape[1] <= max_strings).flatmap(graphs)


def _masked(length: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, length - 1)).map(lambda chosen: tuple(sorted(chosen)))
