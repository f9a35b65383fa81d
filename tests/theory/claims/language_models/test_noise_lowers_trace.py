"""Noise and the trace: what is proved, the share of soft labels and the product model."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import quad

from theory.claims.language_models.noise_lowers_trace import (
    CLAIM,
)
from theory.claims.language_models.noise_lowers_trace import slope as mean_square
from theory.claims.language_models.noise_lowers_trace import start as first_trace
from theory.claims.language_models.noise_lowers_trace import tau as slow_time
from theory.claims.noise import plateau


@pytest.mark.parametrize("tokens", [2, 5])
def test_enumeration_soft_gradient_is_at_most_its_share(tokens: int) -> None:
    generator = np.random.default_rng(tokens)
    p, q = generator.dirichlet(np.ones(tokens), 2)
    a = generator.normal(size=tokens)
    share = ((q - p) ** 2 / p).sum()
    assert ((q - p) @ a) ** 2 < share * (p @ a**2)
    worst = (q - p) / p  # the case of equality: log p moves straight towards p*
    assert ((q - p) @ worst) ** 2 == pytest.approx(share * (p @ worst**2), rel=8 * tokens * 2.0**-52)


def test_cross_library_the_fall_in_the_product_model() -> None:
    """T = σ'(u² + v²) on uv = α, Δ(τ) = Δ(0) e^{−σ'τ}: 1 − τG/(4T_0) is T(τ)/T_0, G by quadrature."""
    alpha, start, tau = 1.2, 3.0, 2.0
    slope = 1 / (2 + np.exp(alpha) + np.exp(-alpha))

    def trace(t: float) -> float:
        return float(slope * np.hypot(start * np.exp(-slope * t), 2 * alpha))

    def squared_slope(t: float) -> float:  # ∇ tr H = 2σ'(u, v) along the tangent (u, −v)/√(u² + v²)
        imbalance = start * np.exp(-slope * t)
        return float((2 * slope * imbalance) ** 2 / np.hypot(imbalance, 2 * alpha))

    integral, error = quad(squared_slope, 0, tau)
    fallen = sp.lambdify((slow_time, mean_square, first_trace), CLAIM.derivation["fallen"].statement.rhs)
    predicted = fallen(tau, integral / tau, trace(0))
    assert predicted == pytest.approx(trace(tau) / trace(0), abs=error / (4 * trace(0)) + 1e-15)


@pytest.mark.parametrize(
    ("rate", "size", "eigenvalue", "steps"), [(0.1, 1, 3.0, 4), (0.5, 4, 3.9, 7), (0.01, 2, 0.5, 90)]
)
def test_iteration_rises_as_the_closed_form(rate: float, size: int, eigenvalue: float, steps: int) -> None:
    found = 0.0
    for _ in range(steps):
        found = (1 - rate * eigenvalue) ** 2 * found + rate**2 * eigenvalue / size
    predicted = CLAIM.predict(eta=rate, B=size, h=eigenvalue, t=steps)
    # three roundings a step, none of them amplified
    assert predicted == pytest.approx(eigenvalue * found / 2, rel=4 * steps * 2.0**-52)


def test_closed_form_from_nothing_to_the_plateau() -> None:
    assert CLAIM.predict(eta=0.1, B=2, h=3.0, t=0) == 0
    late = CLAIM.predict(eta=0.1, B=2, h=3.0, t=200)  # 0.7^400 is below one ulp
    assert late == pytest.approx(plateau.CLAIM.predict("mode", eta=0.1, B=2, h=3.0), rel=2.0**-52)
