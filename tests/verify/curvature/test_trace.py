"""The finite sums against dense matrices; F = H on Γ, and their difference off it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    Convolution,
    Drawn,
    Tied,
    by_tensor,
    filled,
    fisher_by_scores,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    rounding,
    seeded,
    transformer,
    vectors,
)
from verify.curvature.data import Data, Population, softmax_of_model
from verify.curvature.estimate import FisherIsNotHessianWarning, TraceEstimate
from verify.curvature.hutchinson import dense_hessian
from verify.curvature.invariant import invariant_sharpness
from verify.curvature.problem import Problem, label_excess
from verify.curvature.products import HessianProducts
from verify.curvature.trace import fisher_gap, trace
from verify.statistics.intervals import Interval


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


FISHERS = ("fisher", "fisher-per-sample", "gauss-newton")
WHERE = "tr F; equals tr H only where the model's conditionals are the data's, on Γ"


@pytest.mark.parametrize("method", FISHERS)
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_property_on_gamma_the_gap_is_rounding_and_warns_of_nothing(method: str, whole: bool, single: bool) -> None:
    model, x = (mlp().float(), vectors().float()) if single else (mlp(), vectors())
    population = on_gamma(model.double(), x.double())
    if single:
        model.float()
        population = Population(x, population.prob, population.conditional)
    data: Data = population if whole else Drawn(population)
    with warnings.catch_warnings(action="error"):
        found = trace(model, data, method, generator=seeded(), gap=True, batches=32)
    assert found.gap is not None
    assert not found.not_hessian
    assert abs(found.gap.estimate) < (1e-5 if single else 1e-12) * found.estimate
    assert "no difference seen" in str(found)
    plain = trace(model, data, method, generator=seeded(), batches=32)
    assert plain.gap is None
    assert plain.interval == found.interval
    assert WHERE in str(plain)
    assert WHERE in repr(plain)
    assert "seen" not in str(plain)


@pytest.mark.parametrize("method", FISHERS)
def test_property_off_gamma_the_gap_warns(method: str) -> None:
    model, population = mlp(), off_gamma(mlp(), vectors())
    expected = float(hessian_by_autograd(model, population).trace() - fisher_by_scores(model, population).trace())
    with pytest.warns(
        FisherIsNotHessianWarning, match=r"expected tr F to be tr H, got tr H − tr F = Interval\(.*hutch"
    ):
        found = trace(model, population, method, generator=seeded(), gap=True, level=1 - 1e-6, batches=1500)
    assert found.gap is not None
    assert found.gap.interval.contains(expected)
    assert found.not_hessian
    assert "tr F is NOT tr H here" in repr(found)


def test_closed_form_a_gap_is_seen_when_its_interval_is_beyond_rounding() -> None:
    population = off_gamma(OneParameter(), vectors(4, 1))
    with pytest.warns(FisherIsNotHessianWarning):
        found = trace(OneParameter(), population, "gauss-newton", generator=seeded(), gap=True)
    assert found.gap is not None
    slack = EPS**0.5 * found.estimate
    for low, high, seen in (
        (-1.0, 1.0, False),
        (0.9 * slack, 1.0, False),
        (1.1 * slack, 1.0, True),
        (-1.0, -1.1 * slack, True),
    ):
        gap = replace(found.gap, interval=Interval((low + high) / 2, low, high, 0.05, 64, "hall-t"))
        assert replace(found, gap=gap).not_hessian is seen


def test_a_gap_is_of_tr_f() -> None:
    with pytest.raises(ValueError, match="a method that gives tr F for gap=True, got 'hutchinson', which gives tr H"):
        trace(mlp(), on_gamma(mlp(), vectors()), "hutchinson", generator=seeded(), gap=True)


def test_closed_form_printed_numbers_say_what_they_are() -> None:
    model, population = mlp(), on_gamma(mlp(), vectors())
    hessian = trace(model, population, "exact", generator=seeded())
    assert str(hessian).endswith("[exact: tr H]")
    gap = fisher_gap(model, population, generator=seeded())
    assert "tr H − tr F; is 0 on Γ" in str(gap)
    sharp = invariant_sharpness(model, population, exact=True, generator=seeded())
    assert "Σ θ_i² F_ii; equals Σ θ_i² H_ii only where" in str(sharp)
    for other in (gap, sharp):
        assert other.equals_hessian.startswith("never: it is ")
        assert r"\operatorname{tr}H=" not in other._repr_latex_()
