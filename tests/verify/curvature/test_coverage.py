"""Every random method: unbiased, its interval covering what it claims.

The model is as small as can be, so that 400 runs are cheap and everything is known in closed form: two tokens, one
feature, log p(1 | x) = log σ(w x).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from jaxtyping import config
from torch import nn

from tests.verify.curvature.examples import (
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
from verify.curvature import METHODS, Examples, Labelled, softmax_of_model, trace
from verify.curvature.likelihood import Likelihood
from verify.curvature.sampling import Sampling, Source, estimate_trace

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

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        return Labelled(FEATURES[torch.randint(3, (n,), generator=generator)])


class OnGamma(Uniform):
    """The same with the model's own conditionals, so that H = F."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def draw(self, n: int, generator: torch.Generator) -> Labelled:
        inputs = super().draw(n, generator).inputs
        return Labelled(inputs, lambda: self.model(inputs).detach())


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

    def observe(likelihood: Likelihood, batch: Labelled, probes: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(probes, 4, generator=generator, dtype=torch.float64).square().mean(-1, keepdim=True)

    population = on_gamma(Coin(1.2), FEATURES)
    source = Source(Likelihood(Coin(1.2)), population, observe, whole=True)
    sampling, generator, hits, missed = Sampling(1, 1, 64, relative_error=0.05), seeded(20), 0, 0
    for _ in range(STOPPED):
        found = estimate_trace(source, sampling, None, generator, method="known", measures="fisher")
        hits += found.interval.contains(1.0)
        missed += found.relative_error > 0.05
    assert coverage_is_within(hits, STOPPED, 0.94, 0.96), hits / STOPPED
    assert coverage_is_within(missed, STOPPED, 0.03, 0.07), missed / STOPPED


@pytest.mark.usefixtures("unchecked")
def test_rate_hutchinson_covers_on_drawn_data(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Coin(1.2)
    p = torch.sigmoid(1.2 * FEATURES[:, 0])
    expected = float((p * (1 - p) * FEATURES[:, 0] ** 2).mean())
    data, generator, hits, runs = OnGamma(model), seeded(21), 0, 120
    monkeypatch.setattr("verify.curvature.methods.canary", lambda *arguments: 0.0)  # its own tests; most of the time
    for _ in range(runs):
        found = trace(model, data, "hutchinson", generator=generator, batches=32, batch_size=2, probes=4)
        hits += found.interval.contains(expected)
    assert coverage_is_within(hits, runs, 0.92, 0.97), hits / runs


@pytest.mark.usefixtures("unchecked")
def test_rate_hutchinson_covers_on_a_population() -> None:
    model = filled(nn.Linear(16, 4, bias=False))
    population = off_gamma(model, vectors(24, 16), softmax_of_model)
    expected = float(hessian_by_autograd(model, population, softmax_of_model).trace())
    generator, hits, widths = seeded(11), 0, 0.0
    for _ in range(RUNS):
        found = trace(
            model, population, "hutchinson", log_prob=softmax_of_model, generator=generator, level=LEVEL, batches=32
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
    names = list(Likelihood(model).parameters)
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


@pytest.mark.parametrize("method", ["fisher", "hutchinson"])
def test_property_a_relative_error_is_reached_with_fresh_units(method: str) -> None:
    population = on_gamma(mlp(), vectors())
    found = trace(mlp(), population, method, generator=seeded(18), relative_error=0.1, batches=64)
    units = found.probes if method == "hutchinson" else found.batches
    assert found.pilot == 64
    assert units > 64
    assert found.relative_error < 0.1  # which the rate test of `units_needed` is about, with this seed


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
