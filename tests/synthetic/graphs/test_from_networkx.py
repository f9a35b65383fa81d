"""Graph languages from networkx graphs and tables: what goes where, and refusals."""

import networkx as nx
import numpy as np
import pytest

from synthetic.graphs import TokenGraph, from_networkx
from synthetic.graphs.from_networkx import Weight
from synthetic.testing import conformance


def test_constants_attributes_and_draws() -> None:
    graph = nx.Graph()
    graph.add_node("b", h=0.5)
    graph.add_node("a", h=0)
    graph.add_edge("a", "b", J=-2)
    assert from_networkx(graph, 1.5) == TokenGraph(2, ((0, 1),), (1.5,))
    assert from_networkx(graph, "J", "h") == TokenGraph(2, ((0, 1), (0,)), (-2.0, 0.5))
    drawn = [from_networkx(graph, lambda g: g.normal(), generator=np.random.default_rng(7)) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0].weights == (np.random.default_rng(7).normal(),)


def test_states_rebuild_equal_languages() -> None:
    graph = TokenGraph(3, ((0, 1), (2,)), (0.5, -1), (1,))
    assert TokenGraph.from_state(graph.state()) == graph
    # Files give lists back.
    assert TokenGraph.from_state({**graph.state(), "interactions": [[0, 1], [2]], "weights": [0.5, -1]}) == graph


@pytest.mark.parametrize(
    "graph",
    [nx.path_graph(6), nx.cycle_graph(6), nx.grid_2d_graph(2, 3), nx.random_regular_graph(3, 6, 0), nx.empty_graph(1)],
)
def test_standard_graphs_conform(graph: nx.Graph) -> None:
    language = from_networkx(graph, lambda g: g.normal(), lambda g: g.normal(), np.random.default_rng(0))
    assert not conformance(language, n=2000).skipped


@pytest.mark.parametrize(
    ("graph", "coupling", "message"),
    [
        (nx.DiGraph([(0, 1)]), 1.0, "expected an undirected simple graph, got DiGraph"),
        (nx.MultiGraph([(0, 1), (0, 1)]), 1.0, "expected an undirected simple graph, got MultiGraph"),
        (nx.Graph([(0, 0)]), 1.0, "expected no loops, got one at 0"),
        (nx.Graph([(0, 1)]), "J", r"expected an attribute 'J' on edge \(0, 1\), got \[\]"),
        (nx.Graph([(0, 1)]), lambda g: g.normal(), r"expected a generator for the drawn weight of edge \(0, 1\)"),
        (nx.Graph(), 1.0, "expected a length >= 1, got 0"),
    ],
)
def test_unsuitable_graphs_are_refused(graph: nx.Graph, coupling: Weight, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_networkx(graph, coupling)
