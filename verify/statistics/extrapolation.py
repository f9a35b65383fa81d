"""Limits η → 0 from a few learning rates: Richardson extrapolation.

With common random numbers the values of one group at all rates are correlated. Each group (row) is extrapolated as a
whole, so that this correlation enters the spread of the limits as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MIN_RATES = 4
"""Fewest rates from which a limit is inferred."""


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """Values extrapolated to η = 0.

    Attributes:
        limits: one for each group: the independent units to be averaged.
        remainder: |mean of (limits − limits of the next lower order)|, an estimate of the error of the lower order, and
            so above that of the higher order while the expansion converges; the `systematic` of a design.
    """

    limits: Float[np.ndarray, " group"]
    remainder: float


def richardson(
    learning_rates: Float[np.ndarray, "..."], values: Float[np.ndarray, "..."], *, terms: int
) -> Extrapolation:
    """Extrapolate v(η) = v₀ + c₁ η + c₂ η² + … to v₀ in each group, with an estimate of the remainder.

    The limit is the constant of the polynomial through all rates (Richardson 1911; Neville's value at 0) if `terms` is
    the number of rates minus one, else of the least-squares fit, which amplifies noise less. The next lower order
    leaves out one power and the largest rate, as Neville's scheme does. Exact on polynomials of the fitted form.

    Args:
        learning_rates: at least 4 distinct rates, shape (rate,), in any order.
        values: shape (group, rate), a row per independent group.
        terms: powers removed, from 2 to rate − 1.

    Raises:
        ValueError: on fewer than 4 or invalid rates, other shapes, non-finite values, or `terms` out of range.
    """
    eta: Float[np.ndarray, "..."] = np.asarray(learning_rates, dtype=np.float64)
    if eta.ndim != 1 or eta.size < MIN_RATES:
        raise ValueError(
            f"expected at least {MIN_RATES} learning rates on one axis, got shape {eta.shape}; "
            "two rates always fit some order, so add more"
        )
    if not (np.isfinite(eta).all() and (eta > 0).all() and np.unique(eta).size == eta.size):
        raise ValueError(f"expected finite, positive, distinct learning rates, got {eta}; halve the rate each time")
    if not 2 <= terms <= eta.size - 1:
        raise ValueError(f"expected 2 ≤ terms ≤ {eta.size - 1} for {eta.size} rates, got {terms}; add learning rates")
    v = _checked_values(values, eta.size)
    small = eta < eta.max()
    lower_weights = np.zeros_like(eta)
    lower_weights[small] = _limit_weights(eta[small], terms - 1)
    limits = v @ _limit_weights(eta, terms)
    return Extrapolation(limits, abs(float(np.mean(limits - v @ lower_weights))))


def _checked_values(values: Float[np.ndarray, "..."], rates: int) -> Float[np.ndarray, "group rate"]:
    v: Float[np.ndarray, "..."] = np.asarray(values, dtype=np.float64)
    if v.ndim != 2 or v.shape[0] < 1 or v.shape[1] != rates:
        raise ValueError(
            f"expected shape (group, {rates}), one column per learning rate, got {v.shape}; use a row per group"
        )
    if not np.isfinite(v).all():
        group, rate = np.argwhere(~np.isfinite(v))[0]
        raise ValueError(
            f"expected finite values, got {v[group, rate]} in group {group} at rate {rate}; "
            "report a diverged run as diverged, or use smaller learning rates"
        )
    return v


def _limit_weights(eta: Float[np.ndarray, " rate"], terms: int) -> Float[np.ndarray, " rate"]:
    """Weights w with w @ values the constant of the least-squares fit of 1, η, …, η^terms."""
    scaled = eta / eta.max()
    q, r = np.linalg.qr(scaled[:, None] ** np.arange(terms + 1))  # the first row of R⁻¹Qᵀ, without pinv's cut-off
    constant = np.zeros(terms + 1)
    constant[0] = 1
    weights: Float[np.ndarray, " rate"] = q @ np.linalg.solve(r.T, constant)
    return weights
