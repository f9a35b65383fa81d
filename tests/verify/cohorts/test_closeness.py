"""Distances of minima: the law of one residual on a real network, what they do not depend on, and clear errors."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from synthetic import Language
from synthetic.combinators import Mixture
from synthetic.hmm import HMM
from verify.cohorts import FAMILIES, Family
from verify.cohorts.closeness import End, Task, TaskDivergedError, end_of
from verify.cohorts.families import LEARNABLE, MIXTURES
from verify.networks import Transformer, TransformerConfig
from verify.networks.rescaling import norm_factors, rescale
from verify.training import SGD, Training, table_if_small

FLOW = Training(rate=0.1, batch=1, labels="soft", optimiser=SGD(), precision="float64")
"""Gradient flow nearly: with a single context every batch has the whole gradient."""
SEEDS = (1, 2)


def coin(logit: float) -> HMM:
    """A language of one token, 0 or 1, whose log-odds are given."""
    emission = torch.tensor([[logit, 0.0]], dtype=torch.float64).softmax(1)
    one = torch.ones(1, dtype=torch.float64)
    return HMM.normalised(one[None], emission, one, 1)


def coins(*logits: float) -> Task:
    return Task.of([coin(logit) for logit in logits], 2, SEEDS[: len(logits)])


def networks(*seeds: int) -> Transformer:
    config = TransformerConfig(2, 1, width=4, layers=1, heads=1, mlp_ratio=2)
    return Transformer(config, (len(seeds),), [torch.Generator().manual_seed(seed) for seed in seeds]).double()


def residuals_and_traces(network: Transformer) -> tuple[list[float], list[float]]:
    """The log-odds of every member and tr F = σ' ‖∇ log-odds‖², one gradient at a time."""
    odds, traces = [], []
    for member in range(network.stack[0]):
        own = network.member(member)
        own.fast = False
        log_prob = own(torch.tensor([[-1]]))[0]
        value = log_prob[0] - log_prob[1]
        gradient = torch.autograd.grad(value, list(own.parameters()), retain_graph=True)
        slope = float(log_prob.detach().exp().prod())
        odds.append(float(value.detach()))
        traces.append(slope * float(sum(part.square().sum() for part in gradient)))
    return odds, traces


def moved(network: Transformer, delta: float) -> tuple[Tensor, Tensor]:
    """‖θ₁ − θ₂‖² for tasks of log-odds δ above and below the network's; ‖θ₁ − θ₂‖² tr F / (4σ'δ²) − 1."""
    odds, traces = residuals_and_traces(network)
    middle = torch.tensor(odds, dtype=torch.float64)
    tasks = [coins(*(value + sign * delta for value in odds)) for sign in (1, -1)]
    first, second = (end_of(network, task, FLOW, 100, SEEDS) for task in tasks)
    assert float(torch.stack([first.left, second.left]).max()) < 1e-10
    squared = first.distance(second).square()
    contrast = 4 * middle.sigmoid() * (-middle).sigmoid() * delta**2
    return squared, squared * torch.tensor(traces, dtype=torch.float64) / contrast - 1


def test_closed_form_squared_distance_times_trace_is_the_contrast_of_the_tasks_for_one_residual() -> None:
    errors = [moved(networks(0, 1), delta)[1] for delta in (0.2, 0.1)]
    # The next order is δ², relatively: half of δ leaves a quarter of it, up to δ² once more.
    assert torch.allclose(errors[1] / errors[0], torch.full((2,), 0.25, dtype=torch.float64), rtol=0, atol=0.2**2)
    assert float(errors[0].abs().max()) < 0.2**2


def test_closed_form_rescaling_one_function_moves_the_distance_against_the_trace() -> None:
    network = networks(0, 1)
    scaled = rescale(network, norm_factors(network, "norm", torch.full((2, 4), 0.75, dtype=torch.float64)))
    (odds, traces), (same, rescaled) = residuals_and_traces(network), residuals_and_traces(scaled)
    assert same == pytest.approx(odds, rel=1e-12)
    sharper = torch.tensor(rescaled, dtype=torch.float64) / torch.tensor(traces, dtype=torch.float64)
    assert bool(((sharper - 1).abs() > 0.05).all())
    nearer = moved(network, 0.1)[0] / moved(scaled, 0.1)[0]
    assert torch.allclose(nearer, sharper, rtol=0.1**2)


def test_one_language_twice_has_distance_zero_and_other_examples_do_not() -> None:
    language, _ = FAMILIES["hmm"].draw(3)
    task = Task.of([language], 8, [0])
    config = TransformerConfig(6, 5, width=4, layers=1, heads=1, mlp_ratio=2)
    network = Transformer(config, (1,), [torch.Generator().manual_seed(0)])
    training = Training(rate=1e-3, batch=4, labels="soft")
    first, again, other = (end_of(network, task, training, 5, [seed]) for seed in (5, 5, 6))
    assert float(first.distance(again)) == 0
    assert float(first.distance(other)) > 0
    assert first.distance(other).equal(other.distance(first))


def test_a_distance_is_the_euclidean_one_and_relative_to_where_both_begin() -> None:
    start = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    shift = torch.tensor([[0.3, 0.4], [1.0, 0.0]], dtype=torch.float64)
    first, second = (End(theta, start, torch.ones(2)) for theta in (start + shift, start))
    expected = torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert torch.allclose(first.distance(second), expected, rtol=1e-14)
    assert torch.allclose(first.relative_distance(second), expected / torch.tensor([5.0, 2.0]), rtol=1e-14)


def test_an_end_remembers_where_it_began_and_leaves_the_network_there() -> None:
    network = networks(0, 1)
    begun = torch.cat([parameter.detach().reshape(2, -1) for parameter in network.parameters()], 1)
    end = end_of(network, coins(0.3, -0.8), FLOW, 5, SEEDS)
    assert end.start.equal(begun)
    assert not end.theta.equal(begun)
    assert begun.equal(torch.cat([parameter.detach().reshape(2, -1) for parameter in network.parameters()], 1))


def test_a_member_ends_where_it_would_end_alone() -> None:
    together = end_of(networks(0, 1), coins(0.3, -0.8), FLOW, 20, SEEDS)
    alone = end_of(networks(1), Task.of([coin(-0.8)], 2, SEEDS[1:]), FLOW, 20, SEEDS[1:])
    # Twenty steps, of sums of fewer than 64 terms of order one each, in another order.
    assert torch.allclose(together.theta[1], alone.theta[0], rtol=0, atol=20 * 64 * torch.finfo(torch.float64).eps)


def test_components_of_mixtures_are_tasks_in_order() -> None:
    mixtures = [Mixture((coin(a), coin(b)), (0.5, 0.5)) for a, b in ((0.1, 0.2), (0.3, 0.4))]
    first, second = Task.components(mixtures, 4, SEEDS)
    for place in range(2):
        assert first.languages[place] is mixtures[place].components[0]
        assert second.languages[place] is mixtures[place].components[1]
    assert first.reference.contexts.shape == (2, 4, 1)


@pytest.mark.parametrize(
    "languages", [[coin(0.0)], [Mixture((coin(0.0), coin(1.0)), (0.5, 0.5)), Mixture((coin(0.0),), (1,))]]
)
def test_tasks_of_what_is_no_mixture_are_an_error(languages: list[Language]) -> None:
    with pytest.raises(ValueError, match=r"expected mixtures of equally many components.*family of mixtures"):
        Task.components(languages, 4, SEEDS)


def test_a_member_that_diverges_is_an_error() -> None:
    wild = Training(rate=(1e9, 1e-3), batch=1, labels="soft", optimiser=SGD())
    with pytest.raises(TaskDivergedError, match=r"seed 1.*lower the rate"):
        end_of(networks(0, 1), coins(9.0, 0.0), wild, 8, SEEDS)
    with pytest.raises(TaskDivergedError, match=r"seed 1.*lower the learning rate"):
        end_of(networks(0), coins(9.0), replace(wild, rate=1e9), 8, SEEDS[:1])


@pytest.mark.parametrize("family", MIXTURES, ids=lambda family: family.name)
def test_mixture_families_are_two_languages_of_their_family_at_even_odds(family: Family) -> None:
    mixture, table = family.draw(905)
    assert isinstance(mixture, Mixture)
    assert table is not None
    assert [float(weight) for weight in mixture.weights] == [0.5, 0.5]
    first, second = mixture.components
    assert first.vocabulary == second.vocabulary == tuple(sorted(first.vocabulary))
    sentences = mixture.sample(64, torch.Generator().manual_seed(0))
    assert not torch.allclose(first.log_prob(sentences), second.log_prob(sentences))
    for part in (first, second):
        own = table_if_small(part)
        assert own is not None
        assert own.unigram_entropy - own.entropy_floor >= LEARNABLE
    assert family.task_of(mixture).label_values == (0.0, 1.0)
    assert family.draw(906)[0].entropy_floor() != table.entropy_floor
