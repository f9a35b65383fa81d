"""The search for the flattest minimiser: closed forms, certificates and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from verify.minimisers import NotOnManifoldError, minimise_trace, random_minimiser, retract
from verify.models import FiniteModel, PairModel, ProductModel, exact_excess, trace_hessian


def starts(model: FiniteModel, n: int, seed: int = 0) -> Tensor:
    return random_minimiser(model, torch.Generator().manual_seed(seed), n, scale=0.6).theta


def around_flattest(model: PairModel, n: int, spread: float) -> Tensor:
    noise = torch.randn(n, model.n_parameters, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return retract(model, model.flattest() + spread * noise)


@pytest.mark.parametrize("alpha", [1.5, -0.7])
def test_closed_form_product_model(alpha: float) -> None:
    model = ProductModel(alpha)
    found = minimise_trace(model, starts(model, 3))
    expected = float(trace_hessian(model, model.flattest()))
    assert found.value == pytest.approx(expected, rel=1e-12)
    assert found.value - expected <= found.error_bound + 1e-14
    assert found.converged.all()


@pytest.mark.parametrize(("d", "m"), [(2, 3), (3, 4), (4, 8)])
def test_closed_form_flattest_pairs_from_random_starts(d: int, m: int) -> None:
    model = PairModel(d, m, 1.5)
    found = minimise_trace(model, starts(model, 16))
    assert found.value == pytest.approx(float(trace_hessian(model, model.flattest())), rel=1e-8)
    assert float(exact_excess(model, found.theta)) <= 1e-26
    assert float(trace_hessian(model, found.theta)) == pytest.approx(found.value, rel=1e-13)
    assert found.residual <= 1e-13


def test_closed_form_pairs_of_width_twelve_to_eight_digits() -> None:
    model = PairModel(4, 12, 1.5)
    found = minimise_trace(model, around_flattest(model, 3, 0.2))
    expected = float(trace_hessian(model, model.flattest()))
    assert abs(found.value / expected - 1) <= 1e-8
    assert abs(found.value - expected) <= found.error_bound + 1e-13
    assert found.error_bound <= 1e-9


def test_closed_form_local_minima_are_uneven_splits_of_the_neurons() -> None:
    # n₊ neurons along ±(e₁+e₂) and n₋ along ±(e₁−e₂): tr H ∝ n₊^{−1/3} + n₋^{−1/3}; sign a_j decides the class
    model = PairModel(3, 6, 1.5)
    found = minimise_trace(model, starts(model, 12))

    def cost(plus: int, minus: int) -> float:
        return float(plus ** (-1 / 3) + minus ** (-1 / 3))

    flattest = float(trace_hessian(model, model.flattest()))
    splits = [cost(p, q) / cost(3, 3) for p in range(1, 6) for q in range(1, 7 - p)]
    for value in found.values[found.converged]:
        assert min(abs(float(value) / flattest - split) for split in splits) <= 1e-6
    assert (found.values >= flattest * (1 - 1e-12)).all()


def test_property_more_starts_never_raise_the_minimum() -> None:
    model = PairModel(3, 6, 1.5)
    theta = starts(model, 6)
    few, many = minimise_trace(model, theta[:2]), minimise_trace(model, theta)
    assert many.value <= few.value * (1 + 1e-10)
    assert torch.allclose(many.values[:2], few.values, rtol=1e-8)


def test_closed_form_the_error_bound_is_the_excess_to_leading_order() -> None:
    model = PairModel(3, 6, 1.5)
    flattest = float(trace_hessian(model, model.flattest()))
    found = minimise_trace(model, around_flattest(model, 3, 0.02), tolerance=1e-2)
    excess = found.value - flattest
    assert excess > 1e-12
    assert 0.9 * excess <= found.error_bound <= 1.1 * excess
    assert found.iterations == 1


def test_errors_say_what_to_do() -> None:
    model = PairModel(3, 4, 1.0)
    theta = starts(model, 1)
    for tolerance in (0.5, 0.011, 0.9e-14, -1.0):
        with pytest.raises(ValueError, match="tolerance"):
            minimise_trace(model, theta, tolerance=tolerance)
    with pytest.raises(NotOnManifoldError):
        minimise_trace(model, theta * 1.1)
    with pytest.raises(RuntimeError, match="raise max_iterations"):
        minimise_trace(model, theta, max_iterations=1)
