"""The least trace of an orbit: closed forms by hand, and numbers by numerical minimisation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from theory.claims.symmetry import trace_is_not_invariant
from theory.claims.symmetry.orbit_trace import CLAIM


def test_closed_form_one_feature_is_a_rescaling() -> None:
    p, q, rest = 7.0, 0.3, 1.5
    scaled = trace_is_not_invariant.CLAIM.predict("least", p=p, q=q, rest=rest)
    assert CLAIM.predict(rest=rest, nuclear=math.sqrt(p * q)) == pytest.approx(scaled, rel=8 * 2.0**-52)


def test_closed_form_a_diagonal_matrix_at_a_balanced_point() -> None:
    sigma, a = np.array([2.0, 0.5]), np.array([3.0, 0.25])
    above = float(sigma @ (a - 1 / a) ** 2)
    found = CLAIM.predict("at", rest=1.0, nuclear=2.5, above=above)
    assert found == pytest.approx(1 + float(sigma @ (a**2 + a**-2)), rel=8 * 2.0**-52)


def test_numerical_minimisation_ends_at_twice_the_nuclear_norm() -> None:
    rng = np.random.default_rng(0)
    first, second = (x @ x.T for x in rng.normal(size=(2, 3, 5)))

    def trace(entries: np.ndarray) -> float:
        a = entries.reshape(3, 3)
        inverse = np.linalg.inv(a)
        return float(np.trace(inverse @ first @ inverse.T) + np.trace(a.T @ second @ a))

    # Σ σ_i, σ_i² the eigenvalues of S_Q S_K
    nuclear = float(np.sqrt(np.linalg.eigvals(first @ second).real).sum())
    least = CLAIM.predict(rest=0.0, nuclear=nuclear)
    found = minimize(trace, np.eye(3).ravel(), tol=1e-12).fun
    assert found == pytest.approx(least, rel=1e-6)  # slopes by differences of √ε end at ε^{1/2} of the trace or better
    assert 2 * math.sqrt(np.trace(first) * np.trace(second)) > 1.05 * least
