"""The plateau law over a spectrum: what is proved, its bounds and its correction by numbers."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from theory.claims.language_models import noise_lowers_trace
from theory.claims.language_models.noise_lowers_trace import steps
from theory.claims.language_models.plateau_transformer import CLAIM, law, time
from theory.claims.noise import plateau
from theory.claims.noise.plateau import batch, eta, h


def test_closed_form_is_that_of_one_eigendirection() -> None:
    values = {"eta": 0.1, "B": 8, "h": 3.0, "t": 7}
    assert CLAIM.predict(**values) == noise_lowers_trace.CLAIM.predict(**values)
    late = CLAIM.predict(**values | {"t": 300})  # 0.7^600 is below one ulp
    assert late == pytest.approx(plateau.CLAIM.predict("mode", eta=0.1, B=8, h=3.0), rel=2.0**-52)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_iteration_of_covariances_adds_what_the_spectrum_says(count: int) -> None:
    generator = np.random.default_rng(count)
    rows = generator.normal(size=(5, 9))
    fisher, rate, size = rows.T @ rows / 9, 0.2, 4
    covariance = np.zeros_like(fisher)
    for _ in range(count):
        step = np.eye(9) - rate * fisher
        covariance = step @ covariance @ step + rate**2 * fisher / size
    eigenvalues = [value for value in np.linalg.eigvalsh(fisher) if value > 1e-9]
    assert len(eigenvalues) == 5
    assert max(eigenvalues) < 2 / rate
    predicted = sum(CLAIM.predict(eta=rate, B=size, h=value, t=count) for value in eigenvalues)
    # two products of 9 × 9 matrices a step, none of which expands
    assert predicted == pytest.approx(np.trace(fisher @ covariance) / 2, rel=count * 2 * 81 * 2.0**-52)


@pytest.mark.parametrize("value", [0.5, 3.0, 15.0])
def test_enumeration_the_law_is_below_its_start_and_its_plateau(value: float) -> None:
    rate, size = 0.1, 2
    ceiling = plateau.CLAIM.predict("mode", eta=rate, B=size, h=value)
    for t in range(1, 40):
        excess = CLAIM.predict(eta=rate, B=size, h=value, t=t)
        assert excess <= min(ceiling, rate**2 * t * value**2 / (2 * size)) * (1 + 2.0**-50)


def test_finite_difference_the_next_order_at_a_given_time() -> None:
    """The remainder divided by η² tends to the stated coefficient, linearly in η."""
    value, s, size = mpmath.mpf(2), mpmath.mpf(0.75), 3
    stated = CLAIM.derivation["next-order"].statement.rhs
    coefficient = mpmath.mpf(str(sp.N(stated.subs({h: 2, time: sp.Rational(3, 4), batch: size}), 40)))
    found = sp.lambdify((eta, batch, h, steps), law(h), "mpmath")
    errors = []
    with mpmath.workdps(40):
        leading = value * (1 - mpmath.exp(-2 * value * s)) / (4 * size)
        for rate in (mpmath.mpf(3) / 4000, mpmath.mpf(3) / 8000):
            errors.append((found(rate, size, value, s / rate) - rate * leading) / rate**2 - coefficient)
    assert float(errors[0] / errors[1]) == pytest.approx(2, abs=0.01)
