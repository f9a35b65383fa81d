"""Penalty and noise: equal by closed form, isotropic noise by exact moments."""

from __future__ import annotations

import pytest

from theory.claims.language_models.flatness_mediates import CLAIM
from theory.claims.noise import plateau


def test_closed_form_the_penalty_is_the_plateau() -> None:
    assert CLAIM.predict(eta=0.1, B=8, beta=0.0) == pytest.approx(0.1 / 32, rel=2.0**-52)
    for momentum in (0.0, 0.9):
        weight = CLAIM.predict(eta=0.02, B=4, beta=momentum)
        height = plateau.CLAIM.predict("momentum", eta=0.02, B=4, beta=momentum, trace=7.0)
        assert weight * 7.0 == pytest.approx(height, rel=4 * 2.0**-52)
    assert CLAIM.predict("share", r=3, D=12) == 0.25


@pytest.mark.parametrize("rate", [0.01, 0.001])
def test_iteration_isotropic_noise_drifts_down_the_log_of_the_curvature(rate: float) -> None:
    """L = ½ e^x y² at x = 0: ∂_x log pdet H = 1. Stationary E y² by iteration, then the mean step of x over η²."""
    variance, second_moment = 0.7, 0.0
    for _ in range(round(20 / rate)):
        second_moment = (1 - rate) ** 2 * second_moment + rate**2 * variance
    drift = -rate * second_moment / 2 / rate**2
    # −(V/4)/(1 − η/2); what is left of the start is e^{−40}, roundings of a step are kept for 1/2η steps
    assert drift == pytest.approx(-variance / 4 / (1 - rate / 2), rel=2.0**-52 * 2 / rate)
    assert drift == pytest.approx(-variance / 4, rel=rate)
