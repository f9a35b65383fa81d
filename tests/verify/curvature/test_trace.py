"""The finite sums against dense matrices, F = H on Γ and their difference off it, blocks, sharing, cost, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    by_tensor,
    filled,
    fisher_by_scores,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    seeded,
    transformer,
    vectors,
)
from verify.curvature.data import Batch, Data, Examples, Population, softmax_of_model
from verify.curvature.estimate import TraceEstimate
from verify.curvature.hutchinson import dense_hessian
from verify.curvature.invariant import invariant_sharpness
from verify.curvature.problem import Problem, label_excess
from verify.curvature.products import HessianProducts
from verify.curvature.trace import EXACT_LIMIT, METHODS, fisher_gap, trace
from verify.statistics import Interval


class Convolution(nn.Module):
    """A channel at a time, normalised in groups, whose double backward torch cannot batch."""

    def __init__(self) -> None:
        super().__init__()
        self.filter, self.norm, self.head = nn.Conv1d(1, 4, 2), nn.GroupNorm(2, 4), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.head(torch.tanh(self.norm(self.filter(x[:, None]))).flatten(1)), -1)


class Tied(nn.Module):
    """One matrix used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.second(torch.tanh(self.first(x))), -1)


class OneParameter(nn.Module):
    """log p(1) = log σ(θ²x), log p(0) = log σ(−θ²x)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        logit = self.theta**2 * x[:, 0]
        return nn.functional.logsigmoid(torch.stack([-logit, logit], -1))


MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, vectors()),
    "layer norm": (
        lambda: filled(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3), nn.LogSoftmax(-1))),
        vectors(),
    ),
    "group norm": (lambda: filled(Convolution()), vectors()),
    "tied": (lambda: filled(Tied()), vectors()),
    "transformer": (transformer, CONTEXTS),
}


def rounding(estimate: TraceEstimate, expected: float) -> float:
    """A sum of n terms of both signs by two orders of operations: a few hundred ε of what is added up."""
    return 512 * EPS * (abs(expected) + sum(abs(block.estimate) for block in estimate.blocks.values()))


@cache
def dense(name: str) -> tuple[nn.Module, Population, Tensor]:
    """A model of the table, its population off Γ, and its Hessian there."""
    make, inputs = MODELS[name]
    model = make()
    population = off_gamma(model, inputs)
    return model, population, hessian_by_autograd(model, population)


@pytest.mark.parametrize("name", MODELS)
def test_cross_library_exact_is_the_trace_of_the_hessian_of_autograd(name: str) -> None:
    model, population, H = dense(name)
    blocks = {tensor: tensor for tensor in Problem(model, lambda m, x: m(x)).parameters}
    found = trace(model, population, "exact", generator=seeded(), blocks=blocks)
    assert found.estimate == pytest.approx(float(H.trace()), abs=rounding(found, float(H.trace())))
    for tensor, value in by_tensor(model, H.diagonal()).items():
        assert found.blocks[tensor].estimate == pytest.approx(value, abs=rounding(found, value))
    rows = dense_hessian(Problem(model, lambda m, x: m(x)), population.whole())
    torch.testing.assert_close(rows, H, rtol=0, atol=512 * EPS * float(H.abs().max()))


@pytest.mark.parametrize("name", MODELS)
def test_closed_form_f_is_h_on_gamma_for_every_finite_sum(name: str) -> None:
    make, inputs = MODELS[name]
    model = make()
    population = on_gamma(model, inputs)
    F = fisher_by_scores(model, population)
    expected = float(F.trace())
    hessian = trace(model, population, "exact", generator=seeded())
    fisher = trace(model, population, "gauss-newton", generator=seeded())
    assert hessian.measures == "hessian"
    assert fisher.measures == "fisher"
    assert hessian.estimate == pytest.approx(expected, rel=1024 * EPS)
    assert fisher.estimate == pytest.approx(expected, rel=1024 * EPS)
    assert fisher.low <= hessian.estimate <= fisher.high
    theta = Problem(model, lambda m, x: m(x)).flat([p.detach() for p in model.parameters()])
    sharp = invariant_sharpness(model, population, exact=True, generator=seeded())
    assert sharp.estimate == pytest.approx(float(theta.square() @ F.diagonal()), rel=1024 * EPS)
    n = len(theta)
    wide = trace(model, population, "hutch++", generator=seeded(), batches=max(32, n))
    # the sketch spans the range of H: what is left of a probe is rounding, through a QR decomposition of n columns
    assert wide.estimate == pytest.approx(expected, rel=64 * n * EPS)


@pytest.mark.parametrize("name", MODELS)
def test_closed_form_the_hessian_of_the_label_excess_is_h_minus_f(name: str) -> None:
    model, population, H = dense(name)
    F = fisher_by_scores(model, population)
    products = HessianProducts(Problem(model, lambda m, x: m(x)), population.whole(), label_excess)
    gap = products(torch.eye(len(H), dtype=torch.float64))
    torch.testing.assert_close(gap, H - F, rtol=0, atol=1024 * EPS * float(H.abs().max() + F.abs().max()))
    fisher = trace(model, population, "gauss-newton", generator=seeded())
    assert fisher.estimate == pytest.approx(float(F.trace()), rel=1024 * EPS)


def test_closed_form_softmax_regression() -> None:
    model = filled(nn.Linear(3, 4, bias=False))
    population = off_gamma(model, vectors(), softmax_of_model)
    p = softmax_of_model(model, vectors()).detach().exp()
    expected = float(population.prob @ (vectors().square().sum(-1) * (1 - p.square().sum(-1))))
    for method in ("exact", "gauss-newton"):  # the logits are linear: F = H everywhere
        found = trace(model, population, method, log_prob=softmax_of_model, generator=seeded())
        assert found.estimate == pytest.approx(expected, rel=256 * EPS)


def test_closed_form_the_gap_of_one_parameter_needs_no_luck() -> None:
    model, x = OneParameter(), vectors(4, 1)
    population = off_gamma(model, x)
    logit = model.theta.detach() ** 2 * x[:, 0]
    slope, p = 2 * model.theta.detach() * x[:, 0], torch.sigmoid(logit)
    gap = float(population.prob @ ((p - population.conditional[:, 1]) * 2 * x[:, 0]))
    found = fisher_gap(model, population, generator=seeded())
    assert found.estimate == pytest.approx(gap, rel=256 * EPS)  # one sign squared is 1
    fisher = trace(model, population, "gauss-newton", generator=seeded()).estimate
    assert fisher == pytest.approx(float(population.prob @ (p * (1 - p) * slope**2)), rel=256 * EPS)
    assert trace(model, population, "exact", generator=seeded()).estimate == pytest.approx(fisher + gap, rel=256 * EPS)


@pytest.mark.parametrize("whole", [True, False])
def test_property_the_gap_is_zero_on_gamma_and_seen_off_it(whole: bool) -> None:
    model = mlp()
    level = 1 - 1e-6

    def gap(population: Population) -> TraceEstimate:
        data: Data = population if whole else Drawn(population)
        return fisher_gap(model, data, generator=seeded(), level=level, batches=400 if whole else 150, probes=8)

    on, off = gap(on_gamma(model, vectors())), gap(off_gamma(model, vectors()))
    assert abs(on.estimate) < 1e-12
    H = hessian_by_autograd(model, off_gamma(model, vectors()))
    F = fisher_by_scores(model, off_gamma(model, vectors()))
    expected = float(H.trace() - F.trace())
    assert off.low <= expected <= off.high
    assert not off.low <= 0 <= off.high


class Drawn:
    """A population that does not say it is one."""

    def __init__(self, population: Population) -> None:
        self.population = population

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self.population.draw(n, generator)


def test_property_anything_that_draws_is_data() -> None:
    assert isinstance(Drawn(on_gamma(mlp(), vectors())), Data)
    assert not isinstance(vectors(), Data)


@pytest.mark.parametrize("method", METHODS)
def test_property_blocks_sum_to_the_whole(method: str) -> None:
    blocks = {"in": "0.", "out": ("2.weight",)}
    for data in (off_gamma(mlp(), vectors()), Drawn(off_gamma(mlp(), vectors()))):
        found = trace(mlp(), data, method, generator=seeded(), batches=32, blocks=blocks)
        assert list(found.blocks) == ["in", "out", "rest"]
        total = sum(block.estimate for block in found.blocks.values())
        assert found.estimate == pytest.approx(total, abs=rounding(found, total))
        plain = trace(mlp(), data, method, generator=seeded(), batches=32)
        assert plain.blocks == {}
        assert plain.interval == found.interval


@pytest.mark.parametrize("method", METHODS)
def test_property_a_shared_parameter_is_counted_once(method: str) -> None:
    model = filled(Tied())
    population = on_gamma(model, vectors())
    expected = float(hessian_by_autograd(model, population).trace())
    found = trace(model, population, method, generator=seeded(), batches=64, level=1 - 1e-6)
    assert found.low <= expected <= found.high
    assert len(Problem(model, lambda m, x: m(x)).parameters) == 3


def test_property_frozen_parameters_are_left_out() -> None:
    model = mlp()
    population = on_gamma(model, vectors())
    whole = trace(model, population, "exact", generator=seeded(), blocks={"weight": "0.weight"})
    assert isinstance(model, nn.Sequential)
    for parameter in (model[0].bias, model[2].weight, model[2].bias):
        parameter.requires_grad_(False)
    for method in ("exact", "gauss-newton"):
        part = trace(model, population, method, generator=seeded())
        assert part.estimate == pytest.approx(whole.blocks["weight"].estimate, rel=512 * EPS)


# Gradient-equivalents by hand. A forward pass is 1/3, a backward pass 2/3, through activations alone 1/3, a product 2.
COSTS: dict[str, tuple[float, float]] = {
    # method: on the population of 5 with 31 parameters, on 32 batches of 2 with 3 probes
    "exact": (5 * (1 + 2 * 31), 64 * (1 + 2 * 31)),
    "fisher": (64 * (1 / 3 + 2 / 3 * 3),) * 2,
    "fisher-per-sample": (64 * (1 / 3 + 1 / 3 * 3),) * 2,
    "gauss-newton": (5 * (1 / 3 + 2 / 3 * 3), 64 * (1 / 3 + 2 / 3 * 3)),
    "hutchinson": (5 * (1 + 2 * 32), 64 * (1 + 2 * 3)),
    "hutch++": (5 * (1 + 2 * (32 + 2 * 31)), 64 * (1 + 2 * 9)),
}


@pytest.mark.parametrize("method", METHODS)
def test_closed_form_cost(method: str) -> None:
    population = on_gamma(mlp(), vectors())
    sources: tuple[Data, Data] = (population, Drawn(population))
    for data, expected in zip(sources, COSTS[method], strict=True):
        found = trace(mlp(), data, method, generator=seeded(7), batches=32, batch_size=2, probes=3)
        assert found.cost.gradients == pytest.approx(expected, rel=64 * EPS)
        assert found.cost.seconds > 0
        assert (found.method, found.seed, found.dtype, found.device) == (method, 7, "float64", "cpu")
    assert (found.batches, found.batch_size, found.probes, found.pilot) == (32, 2, 3, 0)


def test_closed_form_cost_of_scores_that_are_formed() -> None:
    tied, population = filled(Tied()), on_gamma(filled(Tied()), vectors())
    found = trace(tied, population, "fisher-per-sample", generator=seeded(), batches=32, probes=2)
    assert found.cost.gradients == pytest.approx(32 * 32 * ((1 + 2) / 3 + (1 + 2 * 2) / 3), rel=64 * EPS)


def test_property_inputs_of_probability_zero_are_not_taken() -> None:
    population = on_gamma(mlp(), vectors())
    prob = torch.tensor([0.5, 0.0, 0.25, 0.25, 0.0], dtype=torch.float64)
    some = Population(vectors(), prob, population.conditional)
    used = Population(vectors()[prob > 0], prob[prob > 0], population.conditional[prob > 0])
    for method in ("exact", "gauss-newton", "hutchinson"):
        found = [trace(mlp(), data, method, generator=seeded()) for data in (some, used)]
        assert found[0] == found[1]  # cost is not compared
        assert found[0].cost.gradients == found[1].cost.gradients
        assert found[0].batch_size == 3


@pytest.mark.parametrize("method", METHODS)
def test_property_the_same_seed_gives_the_same_estimate(method: str) -> None:
    data = Drawn(on_gamma(mlp(), vectors()))
    first, second, other = (trace(mlp(), data, method, generator=seeded(seed), batches=32) for seed in (1, 1, 2))
    assert first == second
    assert first.estimate != other.estimate


def test_property_float32_agrees_to_its_precision() -> None:
    population = on_gamma(mlp(), vectors())
    single = Population(vectors().float(), population.prob.float(), population.conditional.float())
    for method in ("exact", "gauss-newton"):
        double = trace(mlp(), population, method, generator=seeded())
        found = trace(mlp().float(), single, method, generator=seeded())
        assert found.dtype == "float32"
        assert found.estimate == pytest.approx(double.estimate, rel=256 * 2.0**-23)


def test_closed_form_the_estimate_says_what_it_is() -> None:
    population = on_gamma(mlp(), vectors())
    hessian = trace(mlp(), population, "exact", generator=seeded())
    fisher = trace(mlp(), population, "fisher", generator=seeded())
    assert hessian.equals_hessian == "always"
    assert "fisher_gap" in fisher.equals_hessian
    assert hessian._repr_latex_().startswith(r"$\operatorname{tr}H=")
    assert fisher._repr_latex_().startswith(r"$\operatorname{tr}F=")
    assert fisher.relative_error == (fisher.high - fisher.low) / 2 / fisher.estimate


def test_closed_form_relative_error_of_zero() -> None:
    still = nn.Linear(3, 1).double()  # one token: log p = 0
    certain = trace(still, Examples(vectors()), "fisher", log_prob=softmax_of_model, generator=seeded(), batches=32)
    assert (certain.estimate, certain.relative_error) == (0.0, 0.0)
    assert replace(certain, interval=Interval(0.0, -1.0, 1.0, 0.05, 32, "hall-t")).relative_error == math.inf


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match=r"expected a method among \['exact', .*got 'hutch'"):
        trace(mlp(), Examples(vectors()), "hutch", generator=seeded())


def test_too_many_parameters_for_unit_vectors() -> None:
    model = nn.Linear(EXACT_LIMIT, 1)
    with pytest.raises(ValueError, match=f"at most {EXACT_LIMIT} parameters .* got {EXACT_LIMIT + 1}; use 'fisher'"):
        trace(model, Examples(torch.zeros(1, EXACT_LIMIT)), "exact", generator=seeded())


def test_inputs_alone_have_no_hessian() -> None:
    with pytest.raises(ValueError, match="got inputs alone; the Hessian of the loss needs labels"):
        trace(mlp(), Examples(vectors()), "hutchinson", generator=seeded())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": 31}, "at least 32 independent batches"),
        ({"batch_size": 0}, "batch_size >= 1"),
        ({"probes": 0}, "probes >= 1"),
        ({"level": 1.0}, "alpha"),
        ({"relative_error": 0.0}, "expected relative_error > 0"),
        ({"relative_error": 1e-4, "max_batches": 1000}, "within max_batches = 1000, got a pilot mean of"),
    ],
)
@pytest.mark.parametrize("method", ["fisher", "hutchinson"])
def test_sizes_out_of_range(method: str, arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(mlp(), Drawn(on_gamma(mlp(), vectors())), method, generator=seeded(), **arguments)  # type: ignore[arg-type]


def test_a_weighted_example_makes_one_row() -> None:
    model = mlp()
    doubled = Population(vectors(), torch.full((5,), 0.2, dtype=torch.float64), on_gamma(model, vectors()).conditional)
    with pytest.raises(ValueError, match="one row for each weighted input, got 2"):
        trace(model, doubled, "gauss-newton", log_prob=lambda m, x: m(x).repeat_interleave(2, 0), generator=seeded())
