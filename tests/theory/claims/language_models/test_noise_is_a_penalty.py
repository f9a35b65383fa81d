"""Noise as a penalty at a finite rate: the discrete Lyapunov equation that its share of the penalty solves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_discrete_lyapunov

from theory.claims.language_models.noise_is_a_penalty import CLAIM

SHARE = CLAIM.formula()


@pytest.mark.parametrize(("rate", "eigenvalue", "steps"), [(0.1, 3.0, 4), (0.5, 3.9, 7), (0.01, 0.5, 90)])
def test_iteration_mean_variance_is_the_share_of_that_of_the_penalty(
    rate: float, eigenvalue: float, steps: int
) -> None:
    variance, total = 0.0, 0.0
    for _ in range(steps):
        total += variance
        variance = (1 - rate * eigenvalue) ** 2 * variance + rate**2 * eigenvalue
    # three roundings a step, and one minus a power of 1 − ηh over a number that small
    assert SHARE(eta=rate, h=eigenvalue, t=steps) == pytest.approx(
        total / steps / (rate / 2), rel=8 * steps * 2.0**-52 / (rate * eigenvalue)
    )


def test_cross_library_force_in_a_valley_is_the_slope_of_a_log_determinant() -> None:
    """½ tr(S ∂H), S from the discrete Lyapunov equation, H and ∂H not commuting: −(1/2B) ∂ ln det(1 − ηH/2)."""
    generator, rate, size = np.random.default_rng(4), 0.3, 2
    root, slope = generator.normal(size=(2, 4, 4))
    hessian, slope = root @ root.T / 4, slope + slope.T
    move = np.eye(4) - rate * hessian
    assert np.abs(np.linalg.eigvalsh(move)).max() < 1
    variance = solve_discrete_lyapunov(move, rate**2 * hessian / size)

    def potential(step: float) -> float:
        return float(-np.linalg.slogdet(np.eye(4) - rate / 2 * (hessian + step * slope))[1] / (2 * size))

    step = 1e-5
    # the remainder of the central difference is of order step², its rounding of order 2⁻⁵²/step
    assert (potential(step) - potential(-step)) / (2 * step) == pytest.approx(np.sum(variance * slope) / 2, rel=1e-8)


def test_closed_form_sharp_directions_have_more_and_flat_ones_less_than_the_penalty() -> None:
    assert SHARE(eta=0.1, h=5.0, t=400) > 1 > SHARE(eta=0.1, h=0.1, t=400) > SHARE(eta=0.1, h=0.1, t=40) > 0
    # the first step moves from where there is no variance yet; 30 digits are computed
    assert SHARE(eta=0.1, h=2.0, t=1) == pytest.approx(0, abs=2.0**-52)
    assert SHARE(eta=1e-4, h=1.0, t=10**8) == pytest.approx(1, rel=1e-4)  # 1 + ηh/2 − 1/(2ηht)
