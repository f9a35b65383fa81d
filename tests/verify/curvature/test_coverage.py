"""Every random method: unbiased, its interval covering what it claims, its variance split as it is.

The model is as small as can be, so that 400 runs are cheap and everything is known in closed form: two tokens, one
feature, log p(1 | x) = log σ(w x).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config
from scipy import stats
from torch import nn

from tests.verify.curvature.examples import (
    EPS,
    Drawn,
    filled,
    fisher_by_scores,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    seeded,
    vectors,
)
from tests.verify.curvature.test_interval import FALSE_ALARM, coverage_is_within
from verify.curvature.data import Batch, Examples, call_model, softmax_of_model
from verify.curvature.invariant import invariant_sharpness
from verify.curvature.problem import Problem
from verify.curvature.sampling import Plan, Source, estimate_trace
from verify.curvature.trace import METHODS, trace

LEVEL = 0.95
RUNS = 400
STOPPED = 2000


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without checks of shapes, which other tests make, and which take most of the time of models this small."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


class Coin(nn.Module):
    """Logits ∓ w x / 2."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1, bias=False).double()
        nn.init.constant_(self.linear.weight, weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logit = self.linear(x)
        return nn.functional.logsigmoid(torch.cat([-logit, logit], -1))


FEATURES = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)


class Uniform:
    """The three features, equally likely; their labels are the model's business."""

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return Batch(FEATURES[torch.randint(3, (n,), generator=generator)])


class Labelled(Uniform):
    """The same with the model's own conditionals, so that H = F."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        inputs = super().draw(n, generator).inputs
        return Batch(inputs, lambda: self.model(inputs).detach())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("method", ["fisher", "fisher-per-sample", "gauss-newton"])
def test_rate_first_order_intervals_cover(method: str) -> None:
    model, generator = Coin(1.2), seeded(10)
    p = torch.sigmoid(1.2 * FEATURES[:, 0])
    expected = float((p * (1 - p) * FEATURES[:, 0] ** 2).mean())
    hits = 0
    for _ in range(RUNS):
        found = trace(model, Uniform(), method, generator=generator, level=LEVEL, batches=32, batch_size=3)
        hits += found.interval.contains(expected)
    assert coverage_is_within(hits, RUNS, 0.93, 0.97), hits / RUNS


@pytest.mark.usefixtures("unchecked")
def test_rate_coverage_after_stopping_and_the_error_that_is_reached() -> None:
    """Both stages as every method takes them, on units whose law is known: χ²₄/4, the trace of rank four, mean 1."""

    def observe(problem: Problem, batch: Batch, probes: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(probes, 4, generator=generator, dtype=torch.float64).square().mean(-1, keepdim=True)

    population = on_gamma(Coin(1.2), FEATURES)
    source = Source(Problem(Coin(1.2), call_model), population, observe, whole=True)
    plan, generator, hits, missed = Plan(1, 1, 64, relative_error=0.05), seeded(20), 0, 0
    for _ in range(STOPPED):
        found = estimate_trace(
            source, plan, None, generator, method="known", measures="fisher", passes=lambda probes: 1.0
        )
        hits += found.interval.contains(1.0)
        missed += found.relative_error > 0.05
    assert coverage_is_within(hits, STOPPED, 0.94, 0.96), hits / STOPPED
    assert coverage_is_within(missed, STOPPED, 0.03, 0.07), missed / STOPPED


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("probes_apart", [False, True])
def test_rate_hutchinson_covers_on_drawn_data(probes_apart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: probes of one batch taken for independent units, which leaves out the variance of data."""
    if probes_apart:
        monkeypatch.setattr("verify.curvature.sampling.as_units", lambda samples: samples.flatten(0, 1))
    model = Coin(1.2)
    p = torch.sigmoid(1.2 * FEATURES[:, 0])
    expected = float((p * (1 - p) * FEATURES[:, 0] ** 2).mean())
    data, generator, hits, runs = Labelled(model), seeded(21), 0, 120
    monkeypatch.setattr("verify.curvature.trace.canary", lambda *arguments: 0.0)  # its own tests; most of the time
    for _ in range(runs):
        found = trace(model, data, "hutchinson", generator=generator, batches=32, batch_size=2, probes=4)
        hits += found.interval.contains(expected)
    assert coverage_is_within(hits, runs, 0.92, 0.97) is not probes_apart, hits / runs


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_rate_second_order_intervals_cover(method: str) -> None:
    # more eigenvalues than the 32 columns of the sketch, so that hutch++ has something left to probe
    model = filled(nn.Linear(16, 4, bias=False))
    population = off_gamma(model, vectors(24, 16), softmax_of_model)
    expected = float(hessian_by_autograd(model, population, softmax_of_model).trace())
    generator, hits, widths = seeded(11), 0, 0.0
    for _ in range(RUNS):
        found = trace(
            model, population, method, log_prob=softmax_of_model, generator=generator, level=LEVEL, batches=32
        )
        hits += found.interval.contains(expected)
        widths += found.relative_error
    assert widths / RUNS > 1e-4
    assert coverage_is_within(hits, RUNS, 0.93, 0.97), hits / RUNS


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "exact"])
def test_rate_estimates_of_blocks_are_unbiased(method: str, whole: bool) -> None:
    """Off Γ, an interval of false-alarm rate 1e-6 for each block, around what dense matrices give."""
    model = mlp()
    population = off_gamma(model, vectors())
    matrix = (hessian_by_autograd if METHODS[method].measures == "hessian" else fisher_by_scores)(model, population)
    names = list(Problem(model, lambda m, x: m(x)).parameters)
    found = trace(
        model,
        population if whole else Drawn(population),
        method,
        generator=seeded(12),
        level=1 - FALSE_ALARM,
        batches=200,
        batch_size=4,
        blocks={name: name for name in names},
    )
    sizes = [value.numel() for value in model.parameters()]
    for name, part in zip(names, torch.split(matrix.diagonal(), sizes), strict=True):
        assert found.blocks[name].contains(float(part.sum())), name
    assert found.interval.contains(float(matrix.trace()))


def test_rate_invariant_is_unbiased() -> None:
    model = mlp()
    population = on_gamma(model, vectors())
    exact = invariant_sharpness(model, population, exact=True, generator=seeded())
    found = invariant_sharpness(
        model, population, generator=seeded(13), level=1 - FALSE_ALARM, batches=300, blocks={"in": "0."}
    )
    assert found.interval.contains(exact.estimate)
    assert found.low > 0


def test_closed_form_data_and_probes_apart() -> None:
    """One example and two labels for each batch: T(x, y) = x²(1 − p_y)² has a known law, so its parts have one too."""
    model, n = Coin(1.2), 1500
    x = FEATURES[:, 0]
    p = torch.sigmoid(1.2 * x)
    prob, value = torch.stack([1 - p, p], -1), x[:, None].square() * torch.stack([p, 1 - p], -1).square()
    mean = (prob * value).sum(-1)
    within = (prob * (value - mean[:, None]) ** 2).sum(-1).mean()
    between = mean.var(correction=0)
    found = trace(model, Uniform(), "fisher", generator=seeded(14), batches=n, batch_size=1, probes=2)
    assert found.data_variance is not None
    assert found.probe_variance is not None
    # each part is a mean of n squares q ≥ 0 of a bounded law: its deviation is at most √(max q · E q / n)
    z = float(stats.norm.isf(FALSE_ALARM))
    largest = float(value.max()) ** 2
    for estimate, expected, slack in (
        (found.probe_variance, within / (2 * n), within / 2),
        (found.data_variance, between / n, between + within),
    ):
        deviation = z * float(largest * slack / n) ** 0.5 / n
        assert estimate == pytest.approx(float(expected), abs=deviation)
    total = found.data_variance + found.probe_variance
    assert total == pytest.approx(float(between + within / 2) / n, rel=0.25)


def test_closed_form_an_even_coin_has_no_variance_of_labels() -> None:
    model, data = Coin(0.0), Uniform()
    found = trace(model, data, "fisher", generator=seeded(15), batches=200, batch_size=1, probes=3)
    assert found.probe_variance == 0
    assert found.data_variance is not None
    # T(x) = x²/4 takes three values equally often
    values = FEATURES[:, 0].square() / 4
    assert found.estimate == pytest.approx(float(values.mean()), abs=5.2 * float(values.std()) / 200**0.5)
    generator, drawn = seeded(15), []
    for _ in range(200):  # the same features again, the coins thrown in between
        drawn.append(float(FEATURES[torch.randint(3, (1,), generator=generator)]))
        for _ in range(3):
            torch.multinomial(torch.full((1, 2), 0.5, dtype=torch.float64), 1, generator=generator)
    samples = torch.tensor(drawn, dtype=torch.float64).square() / 4
    assert found.data_variance == pytest.approx(float(samples.var()) / 200, rel=1e3 * EPS)


def test_closed_form_variance_of_one_probe_is_hutchinsons() -> None:
    """2 Σ_{i≠j} H_ij² for each probe, none of it from data where the whole population is taken."""
    model = mlp()
    population = off_gamma(model, vectors())
    H = hessian_by_autograd(model, population)
    one = 2 * float(H.square().sum() - H.diagonal().square().sum())
    n = 4000
    found = trace(model, population, "hutchinson", generator=seeded(16), batches=n)
    assert found.data_variance == 0
    assert found.probe_variance is not None
    # a quadratic form of signs has at most 3^4 times the fourth moment σ⁴ (hypercontractivity)
    z = float(stats.norm.isf(FALSE_ALARM))
    assert found.probe_variance * n == pytest.approx(one, rel=z * (81 / n) ** 0.5)


def test_closed_form_exact_batches_have_no_variance_of_probes() -> None:
    data = Drawn(off_gamma(mlp(), vectors()))
    found = trace(mlp(), data, "exact", generator=seeded(17), batches=32, batch_size=2, probes=2)
    assert found.probe_variance == 0
    assert found.data_variance is not None
    assert found.data_variance > 0
    single = trace(mlp(), data, "exact", generator=seeded(17), batches=32, batch_size=2)
    assert single.data_variance is None
    assert single.probe_variance is None


@pytest.mark.parametrize("method", ["fisher", "hutchinson"])
def test_property_a_relative_error_is_reached_with_fresh_units(method: str) -> None:
    population = on_gamma(mlp(), vectors())
    found = trace(mlp(), population, method, generator=seeded(18), relative_error=0.1, batches=64)
    units = found.probes if method == "hutchinson" else found.batches
    assert found.pilot == 64
    assert units > 64
    assert found.relative_error < 0.1  # which the rate test of `units_needed` is about, with this seed
    plain = trace(mlp(), population, method, generator=seeded(18), batches=64)
    assert found.cost.gradients == pytest.approx(
        plain.cost.gradients * (64 + units) / 64,
        rel=0.01 if method == "hutchinson" else 64 * EPS,  # the gradient, once for each stage
    )


def test_property_a_data_set_is_drawn_from_uniformly() -> None:
    targets = torch.tensor([0, 2, 1, 1, 0])
    model = mlp()
    certain = off_gamma(model, vectors())
    certain.prob[:] = 0.2
    certain.conditional[:] = nn.functional.one_hot(targets, 3)
    expected = float(hessian_by_autograd(model, certain).trace())
    data = Examples(vectors(), targets)
    found = trace(model, data, "hutchinson", generator=seeded(19), level=1 - FALSE_ALARM, batches=100, batch_size=8)
    assert found.interval.contains(expected)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "exact"])
def test_property_the_parts_of_the_variance_are_told_apart_by_default(method: str) -> None:
    data = Drawn(on_gamma(mlp(), vectors()))
    found = trace(mlp(), data, method, generator=seeded(22), batches=32)
    assert found.data_variance is not None
    assert found.probe_variance is not None
    assert found.probe_variance > 0
    assert trace(mlp(), data, method, generator=seeded(22), batches=32, probes=1).probe_variance is None
