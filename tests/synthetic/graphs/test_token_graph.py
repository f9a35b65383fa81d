"""Token graphs: closed forms, enumeration in Fractions, multiple precision, symmetries, planted errors, refusals."""

import itertools
import math
from typing import Any

import mpmath
import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import synthetic.graphs.elimination
from synthetic import MASK, Language, mask
from synthetic.closed_form import PairLanguage
from synthetic.graphs import TokenGraph, TreewidthError, from_networkx, hypergraph, pair_language_graph, parity_graph
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.strategies import contexts, token_graph_languages
from synthetic.tokens import fill

EPS = torch.finfo(torch.float64).eps
BINARY = {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies"}


def complete(T: int, theta: float) -> TokenGraph:
    return from_networkx(nx.complete_graph(T), theta)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


INSTANCES = {
    "nothing": TokenGraph(3, (), ()),
    "one free token": TokenGraph(1, (), ()),
    "one field": TokenGraph(1, ((0,),), (-0.7,)),
    "extreme field": TokenGraph(1, ((0,),), (700,)),
    "zero couplings": TokenGraph(4, ((0, 1), (1, 2)), (0.0, 0)),
    "disconnected": hypergraph({(0, 1): 1.0, (3, 4): -2.0, (5,): 0.3}),
    "frustrated": complete(4, -30.0),
    "frustrated and extreme": complete(3, -700.0),
    "extreme chain": from_networkx(nx.path_graph(6), 700.0),
    "cancelling": hypergraph({(0, 1): 700.0, (0, 2): -700.0, (0,): 1e-3, (1, 2, 3): 30.0}),
    "mixed orders": hypergraph({(0, 1, 2, 3): 1.1, (1, 2): -0.4, (0, 2, 4): 0.8, (3,): 0.2}),
    "masked in part": hypergraph({(0, 1, 2): 0.9, (2, 3): 0.4}, masked_positions=(2, 0)),
    "parity": parity_graph(3, 5, -1.2),
    "large interactions": hypergraph({tuple(range(9)): 0.8, (1, 3): -0.5, tuple(range(1, 8)): -1.1}),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_conforms(name: str) -> None:
    assert not conformance(INSTANCES[name], n=2000).skipped


@pytest.mark.parametrize(
    "language",
    [
        from_networkx(nx.path_graph(64), 0.6, 0.1),
        from_networkx(nx.grid_2d_graph(6, 6), -0.35),
        from_networkx(nx.star_graph(60), 0.4),
        parity_graph(30, 40, 1.5),
    ],
)
def test_large_ones_conform(language: TokenGraph) -> None:
    assert BINARY <= set(conformance(language, n=2000).skipped) <= BINARY | {"entropy floor"}


@given(token_graph_languages())
@settings(max_examples=20, deadline=None)
def test_enumeration_agrees_with_the_definition(language: TokenGraph) -> None:
    rows = list(itertools.product((0, 1), repeat=language.length))
    with mpmath.workdps(50):
        weights = [
            mpmath.exp(sum(mpmath.mpf(w) * math.prod(2 * row[i] - 1 for i in edge) for edge, w in zip(
                language.interactions, language.weights, strict=True)))
            for row in rows
        ]  # fmt: skip
        total = mpmath.fsum(weights)
        expected = torch.tensor([float(weight / total) for weight in weights], dtype=torch.float64)
        assert language.log_partition == pytest.approx(float(mpmath.log(total)), rel=1e-12, abs=1e-12)
        log_weights = [float(mpmath.log(weight)) for weight in weights]
    torch.testing.assert_close(language.log_prob(torch.tensor(rows)).exp(), expected, rtol=1e-12, atol=0.0)
    exact = [float(language.prob_exact(row)) for row in rows]
    torch.testing.assert_close(torch.tensor(exact, dtype=torch.float64), expected, rtol=4 * EPS, atol=0.0)
    assert language.log_weight(torch.tensor(rows)).tolist() == pytest.approx(log_weights, rel=1e-12, abs=1e-12)


@given(token_graph_languages(max_weight=30.0), st.data())
@settings(max_examples=20, deadline=None)
def test_local_conditionals_agree_with_bayes(language: TokenGraph, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    bayes = Language.log_masked_conditional(language, batch)
    # Bayes subtracts logarithms of size up to 8 · 2 · 30, with as many roundings.
    torch.testing.assert_close(language.log_masked_conditional(batch), bayes, rtol=4 * EPS, atol=16 * 480 * EPS)


@pytest.mark.parametrize("theta", [0.0, 0.5, -2.0, 30.0, -700.0])
@pytest.mark.parametrize("T", [1, 2, 300])
def test_closed_form_partition_function_of_chains(T: int, theta: float) -> None:
    found = from_networkx(nx.path_graph(T), theta).log_partition
    expected = T * math.log(2) + (T - 1) * (abs(theta) + math.log1p(math.exp(-2 * abs(theta))) - math.log(2))
    assert found == pytest.approx(expected, rel=4 * math.sqrt(T) * EPS)


def test_closed_form_partition_function_of_cycles_by_the_transfer_matrix() -> None:
    theta, h, T = 0.4, 0.3, 17
    transfer = torch.tensor(
        [[math.exp(theta * a * b + h * (a + b) / 2) for b in (-1, 1)] for a in (-1, 1)], dtype=torch.float64
    )
    expected = float(torch.linalg.matrix_power(transfer, T).trace().log())
    assert from_networkx(nx.cycle_graph(T), theta, h).log_partition == pytest.approx(expected, rel=1e-13)


def test_closed_form_floor_of_chains() -> None:
    # Inside a chain the two neighbours agree with probability (1 + tanh² θ)/2; a disagreement leaves a fair coin.
    theta, T = 0.8, 10
    keep = (1 + math.tanh(theta) ** 2) / 2

    def coin(logit: float) -> float:
        p = 1 / (1 + math.exp(-logit))
        return -p * math.log(p) - (1 - p) * math.log(1 - p)

    inner = keep * coin(4 * theta) + (1 - keep) * math.log(2)
    expected = (2 * coin(2 * theta) + (T - 2) * inner) / T
    chain = from_networkx(nx.path_graph(T), theta)
    assert chain.entropy_floor() == pytest.approx(expected, rel=1e-13)
    assert chain.entropy_floor() == pytest.approx(Language.entropy_floor(chain), rel=1e-13)


def test_floor_in_parts_where_one_elimination_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = from_networkx(nx.grid_2d_graph(3, 4), 0.7, 0.2)
    whole = grid.entropy_floor()
    # All neighbourhoods at once take 766 entries, a half of them 310, a quarter 206; one alone at most 142.
    monkeypatch.setattr(synthetic.graphs.elimination, "TABLE_LIMIT", 300)
    with monkeypatch.context() as without_enumeration:
        without_enumeration.setattr(Language, "entropy_floor", None)
        assert grid.entropy_floor() == pytest.approx(whole, rel=1e-13)
    monkeypatch.setattr(synthetic.graphs.elimination, "TABLE_LIMIT", 140)
    assert grid.entropy_floor() == pytest.approx(whole, rel=1e-13)


@given(token_graph_languages(max_weight=30.0))
@settings(max_examples=20, deadline=None)
def test_floor_by_elimination_agrees_with_enumeration(language: TokenGraph) -> None:
    assert language.entropy_floor() == pytest.approx(Language.entropy_floor(language), abs=1e-12)


def test_the_pair_language_is_a_token_graph() -> None:
    graph, pair = pair_language_graph(4, 1.7), PairLanguage(4, 1.7)
    every = pair.enumerate().sentences
    torch.testing.assert_close(graph.log_prob(every), pair.log_prob(every), rtol=8 * EPS, atol=0.0)
    for t in range(5):
        masked = mask(every, torch.full((len(every),), t))
        torch.testing.assert_close(
            graph.log_masked_conditional(masked), pair.log_masked_conditional(masked), rtol=8 * EPS, atol=0.0
        )
    assert graph.masked_positions == pair.masked_positions
    assert graph.entropy_floor() == pytest.approx(pair.entropy_floor(), rel=8 * EPS)
    task, original = graph.downstream["parity-of-0-1"], pair.downstream["pair-product"]
    mine, theirs = task.enumerate(), original.enumerate()
    assert torch.equal(mine.inputs, theirs.inputs)
    assert torch.equal(mine.labels, theirs.labels)


@given(token_graph_languages(), st.data())
@settings(max_examples=20, deadline=None)
def test_symmetry_flipping_positions_flips_the_weights(language: TokenGraph, data: st.DataObject) -> None:
    flips = data.draw(st.lists(st.booleans(), min_size=language.length, max_size=language.length))
    weights = tuple(
        w * (-1) ** sum(flips[i] for i in edge) for edge, w in zip(language.interactions, language.weights, strict=True)
    )
    flipped = TokenGraph(language.length, language.interactions, weights)
    every = language.candidates()
    there = torch.where(torch.tensor(flips), 1 - every, every)
    assert torch.equal(language.log_weight(every), flipped.log_weight(there))
    torch.testing.assert_close(flipped.log_prob(there), language.log_prob(every), rtol=1e-13, atol=1e-13)


@given(token_graph_languages(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_symmetry_renaming_the_positions(language: TokenGraph, random: Any) -> None:
    order = list(range(language.length))
    random.shuffle(order)
    renamed = TokenGraph(
        language.length, tuple(tuple(order[i] for i in edge) for edge in language.interactions), language.weights
    )
    every = language.candidates()
    there = torch.empty_like(every)
    there[:, order] = every
    torch.testing.assert_close(renamed.log_prob(there), language.log_prob(every), rtol=1e-13, atol=1e-13)
    both = renamed.log_masked_conditionals(there)[:, order], language.log_masked_conditionals(every)
    torch.testing.assert_close(*both, rtol=1e-13, atol=1e-13)


def test_a_graph_of_any_width_has_exact_conditionals_and_weights() -> None:
    wide = from_networkx(nx.complete_graph(100), 0.01, 0.1)
    x = torch.randint(0, 2, (7, 100), generator=generator())
    every = wide.log_masked_conditionals(x)
    t = torch.tensor([0, 1, 20, 50, 90, 98, 99])
    masked = mask(x, t)
    torch.testing.assert_close(every[torch.arange(7), t], wide.log_masked_conditional(masked), rtol=1e-13, atol=0.0)
    log_weights = wide.log_weight(fill(masked, t, 2).flatten(0, 1)).reshape(7, 2)
    torch.testing.assert_close(every[torch.arange(7), t], log_weights.log_softmax(1), rtol=1e-10, atol=1e-12)
    with pytest.raises(TreewidthError, match=r"elimination tables of at most 16777216 entries.*2\^100.*width >= 99"):
        wide.log_prob(x)
    with pytest.raises(TreewidthError, match=r'conditionals and log_weight work.*or "gibbs"'):
        _ = wide.log_partition
    parity = parity_graph(40, 50, 1.0)
    context = torch.ones((1, 51), dtype=torch.int64).index_fill(1, torch.tensor([50]), MASK)
    assert parity.masked_conditional(context)[0, 1].item() == pytest.approx(1 / (1 + math.exp(-1)), rel=4 * EPS)


@pytest.mark.parametrize("k", [5, 6, 7, 11, 12, 40])
def test_closed_form_parities_of_any_order(k: int) -> None:
    language, alpha = parity_graph(k, k + 2, 1.3), 1.3
    x = language.sample(500, generator())
    assert x.shape == (500, k + 3)
    product = (2 * x[:, [*range(k), k + 2]] - 1).prod(1).double()
    expected = torch.nn.functional.logsigmoid(alpha * product) - (k + 2) * math.log(2)
    torch.testing.assert_close(language.log_prob(x), expected, rtol=1e-13, atol=0.0)
    # Five standard deviations; the seed is fixed.
    assert float((product > 0).double().mean()) == pytest.approx(1 / (1 + math.exp(-alpha)), abs=2.5 / 500**0.5)


def test_empty_batches() -> None:
    chain = from_networkx(nx.path_graph(3), 1.0)
    none = torch.empty((0, 3), dtype=torch.int64)
    assert chain.log_prob(none).shape == chain.log_weight(none).shape == (0,)
    assert chain.log_masked_conditional(none).shape == (0, 2)
    assert chain.log_masked_conditionals(none).shape == (0, 3, 2)
    assert chain.sample(0, generator()).shape == (0, 3)


def test_long_batches_are_cut_without_a_seam() -> None:
    language = from_networkx(nx.path_graph(700), 0.5)
    x = torch.randint(0, 2, (900, 700), generator=generator())
    t = torch.arange(900) % 700
    every = language.log_masked_conditionals(x)
    assert torch.equal(every[torch.arange(900), t], language.log_masked_conditional(mask(x, t)))
    assert torch.equal(language.log_prob(x)[880:], language.log_prob(x[880:]))


def test_graph_shows_fields_pairs_and_larger_interactions() -> None:
    graph = hypergraph({(0,): -0.5, (0, 1): 1.0, (1, 2, 3): -2.0}).graph()
    assert dict(graph.nodes[0]) == {"label": "0: -0.5", "group": 0, "weight": 0.25}
    assert dict(graph.edges[0, 1]) == {"weight": 0.5, "label": "+1"}
    assert dict(graph.nodes[1, 2, 3]) == {"label": "-2", "weight": 1.0, "group": 1}
    assert sorted(graph.edges, key=str) == [(0, 1), (1, (1, 2, 3)), (2, (1, 2, 3)), (3, (1, 2, 3))]
    assert len(TokenGraph(2, ((0, 1),), (0.0,)).graph().edges) == 1


class StalePartition(TokenGraph):
    """The partition function of slightly weaker couplings."""

    @property
    def _tree(self) -> Any:
        return TokenGraph(self.T, self.interactions, tuple(0.999 * w for w in self.weights))._tree


class ForgetsATerm(TokenGraph):
    def _log_weights_at(self, contexts: Tensor, positions: Tensor, around: Any) -> Tensor:
        return super()._log_weights_at(contexts, positions, type(around)(around.positions, around.place, ()))


class IgnoresTheField(TokenGraph):
    def sample(self, n: int, generator: torch.Generator, device: Any = None, sampler: Any = None) -> Tensor:
        return TokenGraph(self.T, self.interactions[:-1], self.weights[:-1]).sample(n, generator, device)


@pytest.mark.parametrize(
    ("mutant", "property_name"),
    [
        (StalePartition, "probabilities sum to one"),
        (ForgetsATerm, "conditionals obey Bayes"),
        (IgnoresTheField, "sampling frequencies"),
    ],
)
def test_mutants_are_caught(mutant: type[TokenGraph], property_name: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        conformance(mutant(3, ((0, 1), (1, 2), (0,)), (0.5, -0.8, 0.9)))
    assert caught.value.property_name == property_name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (), ()), "expected a length >= 1, got 0"),
        ((2, ((0, 2),), (1.0,)), r"expected distinct positions 0\.\.1 in an interaction, got \(0, 2\)"),
        ((2, ((-1, 0),), (1.0,)), r"expected distinct positions 0\.\.1"),
        ((2, ((0, 0),), (1.0,)), r"expected distinct positions 0\.\.1 in an interaction, got \(0, 0\)"),
        ((2, ((),), (1.0,)), r"expected at least one position\(s\) in an interaction, got \(\)"),
        ((2, ((0, 1), (1, 0)), (1.0, 2.0)), r"expected each interaction once, got \(1, 0\) again; add up"),
        ((2, ((0, 1),), (1.0, 2.0)), "expected one weight for each of 1 interactions, got 2"),
        ((2, ((0, 1),), (math.nan,)), r"expected finite weights, got nan on \(0, 1\)"),
        ((2, ((0, 1),), (-math.inf,)), r"expected finite weights, got -inf"),
        ((2, (), (), (0, 2)), r"expected distinct masked positions among 0\.\.1, got \(0, 2\)"),
        ((2, (), (), (1, 1)), r"expected distinct masked positions"),
    ],
)
def test_malformed_graphs_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenGraph(*arguments)


def test_malformed_sentences_are_refused() -> None:
    chain = from_networkx(nx.path_graph(3), 1.0)
    with pytest.raises(ValueError, match=r"expected tokens 0\.\.1, got -1"):
        chain.log_masked_conditionals(torch.tensor([[0, MASK, 1]]))
    for sentence in ((0, 2, 1), (0, 1)):
        with pytest.raises(ValueError, match=r"expected (tokens 0\.\.1, got 2|shape \(sentence, 3\))"):
            chain.prob_exact(sentence)
    with pytest.raises(ValueError, match=r"expected shape \(sentence, 3\)"):
        chain.log_weight(torch.tensor([[0, 1]]))
    with pytest.raises(ValueError, match="exactly one position"):
        chain.log_masked_conditional(torch.tensor([[0, 1, 1]]))
