"""Token graphs."""

from __future__ import annotations

from hypothesis import strategies as st

from synthetic.graphs import TokenGraph
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


def _masked(length: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.sets(st.integers(0, length - 1)).map(lambda chosen: tuple(sorted(chosen)))
