"""Limits η → 0 from a few learning rates: the order of the error, and Richardson extrapolation.

With common random numbers the values of one group at all rates are correlated. Both estimates here are formed
from whole groups (rows), so that this correlation enters their standard errors as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

MIN_RATES = 4
"""Fewest rates from which an order or a limit is inferred."""


@dataclass(frozen=True)
class ObservedOrder:
    """Exponent p fitted to |error| ~ C ηᵖ.

    Attributes:
        slope: the fitted p.
        standard_error: of the slope.
        rates: number of rates.
        groups: number of groups; 1 when the standard error comes from the residuals of the fit.
    """

    slope: float
    standard_error: float
    rates: int
    groups: int


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """Values extrapolated to η = 0, one per group.

    Attributes:
        limits: extrapolant of each group, shape (group,): the independent units to be averaged.
        lower_limits: the same at the next lower order, shape (group,).
        weights: limits = values @ weights, shape (rate,); Σ weights = 1.
        remainder: |mean of (limits − lower_limits)|, an estimate of the extrapolation error of the lower order,
            and so above that of the higher order while the expansion converges; the `systematic` of a design.
        order: leading power of η in the error.
        terms: powers of η removed.
    """

    limits: Float[np.ndarray, " group"]
    lower_limits: Float[np.ndarray, " group"]
    weights: Float[np.ndarray, " rate"]
    remainder: float
    order: int
    terms: int

    @property
    def mean(self) -> float:
        """Mean extrapolant."""
        return float(self.limits.mean())

    @property
    def standard_error(self) -> float:
        """S/√n of the mean extrapolant.

        Raises:
            ValueError: with a single group.
        """
        return _standard_error(self.limits)

    @property
    def remainder_standard_error(self) -> float:
        """S/√n of the mean difference whose size is `remainder`; above it, the remainder is mostly noise.

        Raises:
            ValueError: with a single group.
        """
        return _standard_error(self.limits - self.lower_limits)

    @property
    def amplification(self) -> float:
        """Σ |weights|: how many times an error common in size to all rates can grow."""
        return float(np.abs(self.weights).sum())


def _standard_error(x: Float[np.ndarray, " group"]) -> float:
    if x.size < 2:
        raise ValueError(f"expected at least 2 groups for a standard error, got {x.size}; run independent groups")
    return float(x.std(ddof=1)) / math.sqrt(x.size)


def _checked_rates(learning_rates: Float[np.ndarray, "..."]) -> Float[np.ndarray, " rate"]:
    eta: Float[np.ndarray, "..."] = np.asarray(learning_rates, dtype=np.float64)
    if eta.ndim != 1 or eta.size < MIN_RATES:
        raise ValueError(
            f"expected at least {MIN_RATES} learning rates on one axis, got shape {eta.shape}; "
            "two rates always fit some order, so add more"
        )
    if not (np.isfinite(eta).all() and (eta > 0).all() and np.unique(eta).size == eta.size):
        raise ValueError(f"expected finite, positive, distinct learning rates, got {eta}; halve the rate each time")
    return eta


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


def _log_slope(log_rates: Float[np.ndarray, " rate"], errors: Float[np.ndarray, " rate"]) -> float:
    if np.any(errors == 0):
        raise ValueError(f"expected nonzero errors, got {errors}; an exact value has no order, leave that rate out")
    centred = log_rates - log_rates.mean()
    return float(centred @ np.log(np.abs(errors)) / (centred @ centred))


def observed_order(learning_rates: Float[np.ndarray, "..."], errors: Float[np.ndarray, "..."]) -> ObservedOrder:
    """Order p of an error that vanishes like C ηᵖ: the least-squares slope of ln |mean error| on ln η.

    The standard error is the jackknife over groups, √((G−1)/G Σ_g (p₋g − p̄)²), p₋g the slope without group g; it
    respects common random numbers. With one group it is that of the regression's residuals, which measures
    curvature, not noise. A slope is biased towards 0 where noise dominates: the errors should exceed their own
    standard errors several times. Source: ours.

    Args:
        learning_rates: at least 4 distinct rates, shape (rate,), in any order.
        errors: value minus limit, shape (group, rate).

    Raises:
        ValueError: on fewer than 4 or invalid rates, on other shapes, and on a mean error that is zero.
    """
    eta = _checked_rates(learning_rates)
    e = _checked_values(errors, eta.size)
    log_rates, groups, mean = np.log(eta), e.shape[0], e.mean(axis=0)
    slope = _log_slope(log_rates, mean)
    if groups > 1:
        without = (e.sum(axis=0) - e) / (groups - 1)
        slopes = np.array([_log_slope(log_rates, row) for row in without])
        error = math.sqrt((groups - 1) / groups * float(np.sum((slopes - slopes.mean()) ** 2)))
    else:
        centred, log_errors = log_rates - log_rates.mean(), np.log(np.abs(mean))
        residuals = log_errors - log_errors.mean() - slope * centred
        error = math.sqrt(float(residuals @ residuals) / (eta.size - 2) / float(centred @ centred))
    return ObservedOrder(slope, error, eta.size, groups)


def _limit_weights(eta: Float[np.ndarray, " rate"], order: int, terms: int) -> Float[np.ndarray, " rate"]:
    """Weights w with w @ values the constant of the least-squares fit of 1, ηᵖ, …, η^{p+terms−1}."""
    scaled = eta / eta.max()
    powers = np.concatenate([[0], order + np.arange(terms)])
    q, r = np.linalg.qr(scaled[:, None] ** powers)  # the first row of R⁻¹Qᵀ, without pinv's cut-off
    constant = np.zeros(terms + 1)
    constant[0] = 1
    weights: Float[np.ndarray, " rate"] = q @ np.linalg.solve(r.T, constant)
    return weights


def richardson(
    learning_rates: Float[np.ndarray, "..."],
    values: Float[np.ndarray, "..."],
    order: int = 1,
    terms: int | None = None,
) -> Extrapolation:
    """Extrapolate v(η) = v₀ + c₁ ηᵖ + c₂ ηᵖ⁺¹ + … to v₀ in each group, with an estimate of the remainder.

    The limit is the constant of the polynomial through all rates (Richardson 1911; Neville's value at 0), or of
    the least-squares fit when `terms` is below the number of rates minus one, which amplifies noise less. The
    next lower order leaves out one power and the largest rate, as Neville's scheme does. Each group is extrapolated
    by itself, so common random numbers across rates cancel within it. Exact on polynomials of the fitted form.

    Args:
        learning_rates: at least 4 distinct rates, shape (rate,), in any order.
        values: shape (group, rate), a row per independent group.
        order: leading power p of the error.
        terms: powers removed, from 2 to rate − 1; all by default.

    Raises:
        ValueError: on fewer than 4 or invalid rates, other shapes, non-finite values, or `order` or `terms` out of
            range.
    """
    eta = _checked_rates(learning_rates)
    v = _checked_values(values, eta.size)
    if order < 1:
        raise ValueError(f"expected order ≥ 1, got {order}; a limit exists only if the error vanishes with η")
    removed = eta.size - 1 if terms is None else terms
    if not 2 <= removed <= eta.size - 1:
        raise ValueError(f"expected 2 ≤ terms ≤ {eta.size - 1} for {eta.size} rates, got {terms}; add learning rates")
    weights = _limit_weights(eta, order, removed)
    small = eta < eta.max()
    lower_weights = np.zeros_like(eta)
    lower_weights[small] = _limit_weights(eta[small], order, removed - 1)
    limits, lower = v @ weights, v @ lower_weights
    remainder = abs(float(np.mean(limits - lower)))
    return Extrapolation(limits, lower, weights, remainder, order, removed)
