"""The plateau: stationary variances by solving linear equations."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from theory.claims.noise.plateau import CLAIM, batch, beta, eta, h, momentum_variance
from theory.kernel import CheckFailedError, Derivation, Terms


def test_closed_form_main_and_momentum() -> None:
    assert CLAIM.predict(eta=0.02, B=2, trace=1.75) == pytest.approx(0.02 * 1.75 / 8, rel=1e-15)
    assert CLAIM.predict("momentum", eta=0.02, B=2, beta=0.0, trace=1.75) == CLAIM.predict(eta=0.02, B=2, trace=1.75)
    assert CLAIM.predict("momentum", eta=0.02, B=1, beta=0.9, trace=1.0) == pytest.approx(0.05, rel=1e-13)


@pytest.mark.parametrize(("rate", "size", "eigenvalue"), [(0.1, 1, 3.0), (0.5, 4, 3.9), (0.01, 2, 0.5)])
def test_iteration_reaches_the_stationary_excess(rate: float, size: int, eigenvalue: float) -> None:
    variance = 0.0
    for _ in range(20_000):
        variance = (1 - rate * eigenvalue) ** 2 * variance + rate**2 * eigenvalue / size
    # rounding of each step is contracted away: a few ulps over the gap 1 − (1 − ηh)² ≥ 0.009
    assert CLAIM.predict("mode", eta=rate, B=size, h=eigenvalue) == pytest.approx(eigenvalue * variance / 2, rel=1e-12)


@pytest.mark.parametrize("values", [(0.1, 1, 0.5, 3.0), (0.02, 4, 0.9, 7.0), (0.3, 2, 0.0, 2.0)])
def test_cross_library_heavy_ball_covariance_solves_the_lyapunov_equation(
    values: tuple[float, int, float, float],
) -> None:
    rate, size, momentum, eigenvalue = values
    step = np.array([[1 + momentum - rate * eigenvalue, -momentum], [1.0, 0.0]])
    noise = np.zeros((2, 2))
    noise[0, 0] = rate**2 * eigenvalue / size
    covariance = np.linalg.solve(np.eye(4) - np.kron(step, step), noise.ravel()).reshape(2, 2)
    formula = momentum_variance.subs({eta: rate, batch: size, beta: momentum, h: eigenvalue})
    assert float(formula) == pytest.approx(covariance[0, 0], rel=1e-10)


def test_mutant_contraction_without_stability_is_refused() -> None:
    with pytest.raises(CheckFailedError, match="sign"):
        Derivation("mutant").inequality(
            "contraction", sp.Lt((1 - eta * h) ** 2, 1), "no stability assumed", Terms((eta * h * (2 - eta * h),))
        )
