"""Graph languages from networkx graphs and tables: what goes where, and refusals."""

import math

import networkx as nx
import numpy as np
import pytest

from synthetic.graphs import (
    PottsGraph,
    TokenGraph,
    from_networkx,
    hypergraph,
    pair_language_graph,
    parity_graph,
    potts_from_networkx,
)
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
    potts = potts_from_networkx(graph, 3, "J", lambda g: g.random(), np.random.default_rng(7))
    flat = [h for row in potts.fields for h in row]
    assert flat == np.random.default_rng(7).random(6).tolist()
    assert potts.couplings == (-2.0,)
    nx.set_node_attributes(graph, {"a": [1, 2, 3], "b": (0, 0, 0.5)}, "h")
    assert potts_from_networkx(graph, 3, "J", "h").fields == ((0.0, 0.0, 0.5), (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="expected an attribute 'k' on node 'b'"):
        potts_from_networkx(graph, 3, 1.0, "k")


def test_states_rebuild_equal_languages() -> None:
    graph = TokenGraph(3, ((0, 1), (2,)), (0.5, -1), (1,), "gibbs")
    potts = PottsGraph(("a", "b"), 2, ((0, 1),), (1.5,), ((0.0, 1.0), (2.0, 3.0)), (0,), "coupling")
    assert TokenGraph.from_state(graph.state()) == graph
    assert PottsGraph.from_state(potts.state()) == potts
    # Files give lists back.
    assert TokenGraph.from_state({**graph.state(), "interactions": [[0, 1], [2]], "weights": [0.5, -1]}) == graph


@pytest.mark.parametrize(
    "graph",
    [nx.path_graph(6), nx.cycle_graph(6), nx.grid_2d_graph(2, 3), nx.random_regular_graph(3, 6, 0), nx.empty_graph(1)],
)
def test_standard_graphs_conform(graph: nx.Graph) -> None:
    language = from_networkx(graph, lambda g: g.normal(), lambda g: g.normal(), np.random.default_rng(0))
    assert not conformance(language, n=2000).skipped


def test_a_table_of_interactions() -> None:
    assert hypergraph({(0, 2): 1.0, (1,): 2}) == TokenGraph(3, ((0, 2), (1,)), (1.0, 2))
    assert hypergraph({}, 4, (1,), "gibbs") == TokenGraph(4, (), (), (1,), "gibbs")


def test_parity_graphs() -> None:
    assert parity_graph(2, 3, 1.0) == pair_language_graph(3, 1.0) == TokenGraph(4, ((0, 1, 3),), (0.5,), (3,))
    # The floor is the entropy of the noise at every k.
    assert parity_graph(1, 1, 0.8).entropy_floor() == pytest.approx(parity_graph(5, 6, 0.8).entropy_floor(), rel=1e-13)


@pytest.mark.parametrize(("k", "d", "alpha"), [(0, 3, 1.0), (4, 3, 1.0), (1, 2, math.nan)])
def test_bad_parities_are_refused(k: int, d: int, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"expected (1 <= k <= d, got k = |a finite noise parameter)"):
        parity_graph(k, d, alpha)


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
    with pytest.raises(ValueError, match=message):
        potts_from_networkx(graph, 2, coupling)
