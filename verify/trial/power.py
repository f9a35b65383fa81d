"""Probabilities that an interval refutes, or shows equivalence, given the true mean of its units.

Every law answers two questions about the random interval [low, high] it will produce: `refute`, the probability
that low > c_hi or high < c_lo, and `support`, the probability that it is not refuted and e_lo < low, high < e_hi.
Exact for the binomial and, with Gaussian units, for Student t; a lower bound for an enclosure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from verify.statistics.intervals import student_t_quantile


@dataclass(frozen=True)
class Thresholds:
    """Thresholds on an interval: refuted if low > c_hi or high < c_lo; else supported if inside (e_lo, e_hi).

    An infinite threshold is one that a one-sided claim does not have.
    """

    c_lo: float
    c_hi: float
    e_lo: float
    e_hi: float


@dataclass(frozen=True)
class BinomialLaw:
    """Clopper-Pearson intervals; probabilities are exact sums of the binomial mass function."""

    n: int
    alpha: float

    def _first_low_above(self, prob: float) -> int:
        """Fewest successes with low > prob: low(k) > p ⟺ Pr_p(K ≥ k) < α/2, for low is its inverse in p."""
        if prob < 0:
            return 0
        return int(stats.binom.isf(self.alpha / 2, self.n, prob)) + 1 if prob < 1 else self.n + 1

    def _last_high_below(self, prob: float) -> int:
        """Most successes with high < prob: the mirror image of `_first_low_above`."""
        return self.n - self._first_low_above(1 - prob)

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """Pr(K ≥ first refuting k) + Pr(K ≤ last refuting k)."""
        above = stats.binom.sf(self._first_low_above(thresholds.c_hi) - 1, self.n, mean)
        below = stats.binom.cdf(self._last_high_below(thresholds.c_lo), self.n, mean)
        return float(above + below)

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """Pr(first ≤ K ≤ last) over the numbers of successes that give `supported`."""
        first = max(self._first_low_above(thresholds.e_lo), self._last_high_below(thresholds.c_lo) + 1)
        last = min(self._last_high_below(thresholds.e_hi), self._first_low_above(thresholds.c_hi) - 1)
        if first > last:
            return 0.0
        return float(stats.binom.cdf(last, self.n, mean) - stats.binom.cdf(first - 1, self.n, mean))


# Trapezoidal rule under a Gaussian weight: exponentially accurate for smooth integrands, 2e-19 left outside.
_Z = np.linspace(-9.0, 9.0, 1001)
_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


@dataclass(frozen=True)
class StudentLaw:
    """Intervals x̄ ± t S/√n of n Gaussian units with standard deviation `spread`, t Student's quantile at α.

    x̄ and S are independent and (n−1) S²/spread² is χ²: the probability is a Gaussian one, averaged over S as a
    function of a Gaussian variable z (the quantile of S at Φ(z)).
    """

    n: int
    spread: float
    alpha: float

    def _mean_error(self) -> float:
        return self.spread / math.sqrt(self.n)

    def _half_widths(self) -> Float[np.ndarray, " node"]:
        shape, tail = (self.n - 1) / 2, special.ndtr(-np.abs(_Z))
        quantiles = np.where(_Z < 0, special.gammaincinv(shape, tail), special.gammainccinv(shape, tail))
        critical = student_t_quantile(self.n - 1, self.alpha)
        return np.asarray(critical * self._mean_error() * np.sqrt(quantiles / shape))

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """E Φ((mean − c_hi − h)/se) + E Φ((c_lo − h − mean)/se) over the half-width h."""
        h, se = self._half_widths(), self._mean_error()
        tails = special.ndtr((mean - thresholds.c_hi - h) / se) + special.ndtr((thresholds.c_lo - h - mean) / se)
        return float(_WEIGHTS @ tails)

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """E Pr(max(e_lo + h, c_lo − h) < x̄ < min(e_hi − h, c_hi + h)) over the half-width h."""
        h, se = self._half_widths(), self._mean_error()
        first = np.maximum(thresholds.e_lo + h, thresholds.c_lo - h)
        last = np.minimum(thresholds.e_hi - h, thresholds.c_hi + h)
        inside = special.ndtr((last - mean) / se) - special.ndtr((first - mean) / se)
        return float(_WEIGHTS @ np.maximum(inside, 0.0))


@dataclass(frozen=True)
class EnclosureLaw:
    """Intervals value ± error of a deterministic quantity, the value anywhere within `error` of the truth."""

    error: float

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """1 if every possible interval refutes, else 0."""
        return float(mean - 2 * self.error > thresholds.c_hi or mean + 2 * self.error < thresholds.c_lo)

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """1 if every possible interval supports, else 0."""
        unrefuted = thresholds.c_lo <= mean <= thresholds.c_hi
        inside = thresholds.e_lo < mean - 2 * self.error and mean + 2 * self.error < thresholds.e_hi
        return float(unrefuted and inside)


SamplingLaw = BinomialLaw | StudentLaw | EnclosureLaw
"""The law of an interval, as far as it is known before sampling."""
