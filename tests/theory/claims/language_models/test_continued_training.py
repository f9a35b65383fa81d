"""Continued training: the plateau sinks with the trace, checked along the product model's flow."""

from __future__ import annotations

import math

import pytest

from theory.claims.language_models.continued_training import CLAIM, squares
from theory.claims.noise import plateau
from theory.claims.noise.plateau import batch, eta


def test_closed_form_the_exchange_is_the_difference_of_two_plateaus() -> None:
    heights = [plateau.CLAIM.predict(eta=0.02, B=4, trace=trace) for trace in (23.0, 5.0)]
    assert CLAIM.predict(eta=0.02, B=4, start=23.0, end=5.0) == pytest.approx(heights[0] - heights[1], rel=4 * 2.0**-52)
    assert CLAIM.predict(eta=0.02, B=4, start=5.0, end=5.0) == 0


def test_finite_difference_along_the_flow_of_the_product_model() -> None:
    """tr H = σ' √(Δ² + 4α²) with Δ = Δ_0 e^{−σ'τ}; ‖P_T ∇ tr H‖² = (2σ'Δ)²/√(Δ² + 4α²)."""
    alpha, start, rate, size = 1.2, 3.0, 0.05, 2
    slope = 1 / (2 + math.exp(alpha) + math.exp(-alpha))

    def height(tau: float) -> float:
        trace = slope * math.hypot(start * math.exp(-slope * tau), 2 * alpha)
        return plateau.CLAIM.predict(eta=rate, B=size, trace=trace)

    squared = (2 * slope * start) ** 2 / math.hypot(start, 2 * alpha)
    expression = CLAIM.derivation["sinking"].statement.rhs.subs({eta: rate, batch: size})
    predicted = float(expression.subs(squares(), squared))
    step = 2.0**-10
    # the error of the central difference is step²/6 of the third derivative, at most σ'² times the first up to 8
    assert (height(step) - height(-step)) / (2 * step) == pytest.approx(predicted, rel=8 * slope**2 * step**2)
