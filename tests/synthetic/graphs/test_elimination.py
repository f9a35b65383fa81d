"""Variable elimination: orders against known treewidths and networkx, sums and marginals against enumeration."""

import itertools

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networkx.algorithms.approximation import treewidth_min_degree, treewidth_min_fill_in

from synthetic.graphs import TreewidthError
from synthetic.graphs.elimination import TABLE_LIMIT, Bucket, EliminationTree, elimination_order

GRAPHS = {
    "path": (nx.path_graph(50), 1),
    "star": (nx.star_graph(3000), 1),
    "cycle": (nx.cycle_graph(30), 2),
    "ladder": (nx.ladder_graph(20), 2),
    "complete": (nx.complete_graph(9), 8),
    "grid": (nx.convert_node_labels_to_integers(nx.grid_2d_graph(6, 6)), 6),
    "no edge": (nx.empty_graph(4), 0),
}


def width(order: tuple[Bucket, ...]) -> int:
    return max(len(bucket.separator) for bucket in order)


@pytest.mark.parametrize("name", GRAPHS)
def test_known_treewidths_are_found(name: str) -> None:
    graph, treewidth = GRAPHS[name]
    assert width(elimination_order(len(graph), list(graph.edges), 2, TABLE_LIMIT)) == treewidth


@pytest.mark.parametrize("seed", range(5))
def test_orders_are_as_good_as_those_of_networkx(seed: int) -> None:
    graph = nx.gnp_random_graph(25, 0.15, seed=seed)
    mine = width(elimination_order(25, list(graph.edges), 2, TABLE_LIMIT))
    # Ties are broken differently.
    assert mine <= min(treewidth_min_degree(graph)[0], treewidth_min_fill_in(graph)[0]) + 1


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_an_order_names_every_variable_once_with_all_that_it_is_tied_to(n: int, p: float, seed: int) -> None:
    graph = nx.gnp_random_graph(n, p, seed=seed)
    order = elimination_order(n, list(graph.edges), 2, TABLE_LIMIT)
    assert sorted(bucket.variable for bucket in order) == list(range(n))
    gone: set[int] = set()
    for variable, separator in ((bucket.variable, bucket.separator) for bucket in order):
        assert set(graph[variable]) - gone <= set(separator)
        assert not set(separator) & gone
        gone.add(variable)


def test_a_hopeless_graph_is_refused_by_its_degeneracy_alone() -> None:
    graph = nx.gnp_random_graph(400, 0.5, seed=0)
    with pytest.raises(TreewidthError, match=rf"at most {TABLE_LIMIT} entries.*2\^1\d\d"):
        elimination_order(400, list(graph.edges), 2, TABLE_LIMIT)
    with pytest.raises(TreewidthError, match=r"of at most 100 entries, got .* needs one of 2\^"):
        elimination_order(36, list(GRAPHS["grid"][0].edges), 2, limit=100)


@given(st.integers(1, 5), st.integers(1, 3), st.data())
@settings(max_examples=30, deadline=None)
def test_sums_and_marginals_agree_with_enumeration(n: int, c: int, data: st.DataObject) -> None:
    subset = st.sets(st.integers(0, n - 1), min_size=1, max_size=3).map(lambda chosen: tuple(sorted(chosen)))
    scopes = data.draw(st.lists(subset, max_size=6))
    extra = data.draw(st.lists(subset, max_size=2))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    tables = [3 * torch.randn((c,) * len(scope), generator=generator, dtype=torch.float64) for scope in scopes]
    joint = torch.zeros((c,) * n, dtype=torch.float64)
    for values in itertools.product(range(c), repeat=n):
        for scope, table in zip(scopes, tables, strict=True):
            joint[values] += table[tuple(values[i] for i in scope)]
    tree = EliminationTree(n, c, scopes, tables, extra)
    assert tree.log_partition == pytest.approx(float(joint.flatten().logsumexp(0)), rel=1e-13, abs=1e-13)
    prob = joint.flatten().softmax(0).reshape(joint.shape)
    asked = [*scopes, *(tuple(reversed(scope)) for scope in extra)]
    for scope, found in zip(asked, tree.marginals(asked), strict=True):
        others = [i for i in range(n) if i not in scope]
        expected = prob.sum(others) if others else prob
        order = [sorted(scope).index(i) for i in scope]
        torch.testing.assert_close(found, expected.permute(order), rtol=1e-12, atol=1e-15)


def test_samples_of_a_frustrated_clique_have_its_pair_frequencies() -> None:
    generator = torch.Generator().manual_seed(0)
    scopes = list(itertools.combinations(range(5), 2))
    tables = [torch.randn((3, 3), generator=generator, dtype=torch.float64) for _ in scopes]
    tree = EliminationTree(5, 3, scopes, tables, ())
    n = 40_000
    x = tree.sample(n, generator)
    for scope, expected in zip(scopes, tree.marginals(scopes), strict=True):
        found = torch.zeros(9, dtype=torch.float64).index_add(
            0, 3 * x[:, scope[0]] + x[:, scope[1]], torch.full((n,), 1 / n, dtype=torch.float64)
        )
        # Five standard deviations of a frequency, at most ½/√n each; fixed seed.
        assert float((found - expected.flatten()).abs().max()) < 2.5 / n**0.5
