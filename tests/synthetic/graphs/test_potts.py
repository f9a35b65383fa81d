"""Potts languages: closed forms, enumeration, symmetries, the two-token case, refusals."""

import itertools
import math
from typing import Any

import mpmath
import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import Language
from synthetic.graphs import CouplingError, PottsGraph, TreewidthError, from_networkx, potts_from_networkx
from synthetic.testing import conformance
from synthetic.testing.strategies import contexts, potts_languages

EPS = torch.finfo(torch.float64).eps
ABC = ("a", "b", "c")


@pytest.mark.parametrize(
    "language",
    [
        PottsGraph(("a",), 3, ((0, 1),), (2.0,)),
        PottsGraph(ABC, 1, (), (), ((1.0, -2.0, 0.5),)),
        PottsGraph(ABC, 3, ((0, 1), (1, 2), (2, 0)), (-700.0, -700.0, -700.0)),
        PottsGraph(ABC, 4, ((0, 1), (3, 1)), (30, -30.0), tuple((0.1 * t, 30.0, -t) for t in range(4)), (0, 2)),
        potts_from_networkx(nx.path_graph(4), 5, 1.0),
    ],
)
def test_conforms(language: PottsGraph) -> None:
    assert not conformance(language, n=2000).skipped


def test_large_ones_conform() -> None:
    for language in (
        potts_from_networkx(nx.path_graph(24), 40, 2.0),
        potts_from_networkx(nx.ladder_graph(12), 5, -1.0),
    ):
        assert "conditionals obey Bayes" in conformance(language, n=2000).passed


@given(potts_languages())
@settings(max_examples=20, deadline=None)
def test_enumeration_agrees_with_the_definition(language: PottsGraph) -> None:
    rows = list(itertools.product(range(language.n_tokens), repeat=language.length))
    fields = language.fields or ((0.0,) * language.n_tokens,) * language.length
    with mpmath.workdps(50):
        exponents = [
            sum(mpmath.mpf(J) for (i, j), J in zip(language.pairs, language.couplings, strict=True) if row[i] == row[j])
            + sum(mpmath.mpf(fields[i][v]) for i, v in enumerate(row))
            for row in rows
        ]
        total = mpmath.fsum(map(mpmath.exp, exponents))
        expected = torch.tensor([float(mpmath.exp(e) / total) for e in exponents], dtype=torch.float64)
        assert language.log_partition == pytest.approx(float(mpmath.log(total)), rel=1e-12, abs=1e-12)
    torch.testing.assert_close(language.log_prob(torch.tensor(rows)).exp(), expected, rtol=1e-12, atol=0.0)
    exact = torch.tensor([float(language.prob_exact(row)) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(exact, expected, rtol=4 * EPS, atol=0.0)
    log_weight = language.log_weight(torch.tensor(rows)).tolist()
    assert log_weight == pytest.approx(list(map(float, exponents)), rel=1e-12, abs=1e-12)


@given(potts_languages(max_weight=30.0), st.data())
@settings(max_examples=20, deadline=None)
def test_local_conditionals_and_floor_agree_with_the_general_rules(language: PottsGraph, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    bayes = Language.log_masked_conditional(language, batch)
    # Bayes subtracts logarithms of size up to 10 · 2 · 30, with as many roundings.
    torch.testing.assert_close(language.log_masked_conditional(batch), bayes, rtol=4 * EPS, atol=16 * 600 * EPS)
    assert language.entropy_floor() == pytest.approx(Language.entropy_floor(language), abs=1e-12)


@pytest.mark.parametrize("c", [1, 2, 3, 200])
def test_closed_form_partition_functions(c: int) -> None:
    J, T = 0.7, 9
    chain = c * (math.exp(J) + c - 1) ** (T - 1)
    assert potts_from_networkx(nx.path_graph(T), c, J).log_partition == pytest.approx(math.log(chain), rel=1e-13)
    # Eigenvalues of the transfer matrix: e^J + c − 1 once, e^J − 1 otherwise.
    cycle = (math.exp(J) + c - 1) ** T + (c - 1) * (math.exp(J) - 1) ** T
    if c < 200:
        assert potts_from_networkx(nx.cycle_graph(T), c, J).log_partition == pytest.approx(math.log(cycle), rel=1e-13)


def test_two_tokens_are_a_token_graph_of_half_the_coupling() -> None:
    graph = nx.gnp_random_graph(7, 0.5, seed=1)
    potts, ising = potts_from_networkx(graph, 2, 1.4), from_networkx(graph, 0.7)
    every = ising.candidates()
    torch.testing.assert_close(potts.log_prob(every), ising.log_prob(every), rtol=1e-13, atol=0.0)
    torch.testing.assert_close(potts.log_masked_conditionals(every), ising.log_masked_conditionals(every))


@given(potts_languages(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_symmetry_renaming_the_tokens(language: PottsGraph, random: Any) -> None:
    order = list(range(language.n_tokens))
    random.shuffle(order)
    fields = tuple(tuple(row[order.index(v)] for v in range(language.n_tokens)) for row in language.fields)
    renamed = PottsGraph(language.tokens, language.T, language.pairs, language.couplings, fields)
    every = language.candidates()
    there = torch.tensor(order)[every]
    torch.testing.assert_close(renamed.log_prob(there), language.log_prob(every), rtol=1e-13, atol=1e-13)
    both = renamed.log_masked_conditionals(there)[:, :, order], language.log_masked_conditionals(every)
    torch.testing.assert_close(*both, rtol=1e-13, atol=1e-13)


def test_no_perfect_sampling_beyond_small_treewidth() -> None:
    wide = potts_from_networkx(nx.complete_graph(12), 12, 0.01)
    with pytest.raises(TreewidthError, match=r"needs one of 12\^12"):
        wide.sample(1, torch.Generator())
    with pytest.raises(CouplingError, match="expected pairs of two tokens without a frustrated cycle"):
        wide.sample(1, torch.Generator(), sampler="coupling")
    assert wide.gibbs(3, torch.Generator().manual_seed(0), 8).sentences.shape == (3, 12)


def test_one_token_leaves_nothing_to_predict() -> None:
    trivial = potts_from_networkx(nx.complete_graph(20), 1, 3.0)
    assert trivial.log_prob(torch.zeros((2, 20), dtype=torch.int64)).tolist() == [0.0, 0.0]
    assert trivial.entropy_floor() == 0.0
    with pytest.raises(TreewidthError):
        potts_from_networkx(nx.complete_graph(100), 1, 3.0).sample(1, torch.Generator())


def test_graph_shows_the_couplings() -> None:
    graph = PottsGraph(ABC, 3, ((0, 1),), (-2.0,)).graph()
    assert list(graph) == [0, 1, 2]
    assert dict(graph.edges[0, 1]) == {"weight": 1.0, "label": "-2"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), 2, (), ()), r"expected distinct tokens, at least one, got \(\)"),
        ((("a", "a"), 2, (), ()), r"expected distinct tokens, at least one, got \('a', 'a'\)"),
        ((ABC, 0, (), ()), "expected a length >= 1, got 0"),
        ((ABC, 3, ((0, 1, 2),), (1.0,)), r"expected 2 position\(s\) in an interaction, got \(0, 1, 2\)"),
        ((ABC, 2, ((0, 1),), (math.inf,)), "expected finite weights, got inf"),
        ((ABC, 2, (), (), ((0.0, 0.0, 0.0),)), r"expected fields of 2 positions by 3 tokens, got 1 rows of \[3\]"),
        ((ABC, 1, (), (), ((0.0, 0.0),)), r"expected fields of 1 positions by 3 tokens, got 1 rows of \[2\]"),
        ((ABC, 1, (), (), ((0.0, 0.0, math.nan),)), r"expected finite fields, got .* at position 0"),
    ],
)
def test_malformed_graphs_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PottsGraph(*arguments)
