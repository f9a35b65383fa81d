"""The one-step identity by hand, the drift by enumeration, and where it stops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from theory.claims.symmetry.noise_balance import CLAIM
from theory.claims.symmetry.trace_is_not_invariant import CLAIM as RESCALED


def test_closed_form_product_of_two_numbers() -> None:
    """ℓ = (uv − 6)²/2 at u = 2, v = 1: g = −4, so u ← 2 + 4η, v ← 1 + 8η."""
    eta = 0.25
    change = (2 + 4 * eta) ** 2 - (1 + 8 * eta) ** 2 - (2**2 - 1**2)
    assert CLAIM.predict(eta=eta, g_queries=16.0, g_keys=64.0) == change


def test_closed_form_any_loss_of_the_products_of_matrices() -> None:
    rng = np.random.default_rng(0)
    queries, keys, slope, eta = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), 0.7
    g_q, g_k = slope @ keys, slope.T @ queries
    after = (queries - eta * g_q).T @ (queries - eta * g_q) - (keys - eta * g_k).T @ (keys - eta * g_k)
    change = after - queries.T @ queries + keys.T @ keys
    squares = g_q.T @ g_q, g_k.T @ g_k
    for place in np.ndindex(3, 3):
        predicted = CLAIM.predict(eta=eta, g_queries=float(squares[0][place]), g_keys=float(squares[1][place]))
        assert change[place] == pytest.approx(predicted, abs=1e-12)  # 30 products below 30 of 2⁻⁵² each


def test_enumeration_batches_of_two_halve_the_drift() -> None:
    """Gradients ±(3, 5) of one sample: those of two are ±(3, 5) or 0, at even odds."""
    eta, p, q = 0.1, 9.0, 25.0
    mean = sum(CLAIM.predict(eta=eta, g_queries=s * p, g_keys=s * q) for s in (1, 0, 0, 1)) / 4
    assert CLAIM.predict("drift", eta=eta, B=2, s_queries=p, s_keys=q) == pytest.approx(mean, rel=8 * 2.0**-52)


def test_finite_difference_the_drift_is_minus_half_the_slope_of_the_trace_along_the_orbit() -> None:
    p, q, h = 9.0, 25.0, 1e-6
    up, down = (RESCALED.predict(p=p, q=q, rest=1.0, c=math.exp(s)) for s in (h, -h))
    drift = CLAIM.predict("drift", eta=1.0, B=1, s_queries=p, s_keys=q)
    assert drift == pytest.approx(-(up - down) / (2 * h) / 2, rel=1e-8)  # h² and 2⁻⁵²/h
    assert CLAIM.predict("drift", eta=1.0, B=1, s_queries=q, s_keys=q) == 0
