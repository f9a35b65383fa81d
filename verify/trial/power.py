"""Guaranteed probabilities that an interval refutes, or shows equivalence, given the true mean of its units.

Every law answers two questions about the random interval [low, high] it will produce: `refute`, the probability
that low > c_hi or high < c_lo, and `support`, the probability that it is not refuted and e_lo < low, high < e_hi.
Exact for the binomial and, with Gaussian units, for Student t; a lower bound for the others.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special, stats

from verify.statistics.bands import dkwm_radius
from verify.statistics.intervals import (
    binomial_interval,
    empirical_bernstein_half_width,
    hoeffding_half_width,
    student_t_quantile,
)
from verify.statistics.sign_flip import EXACT_LIMIT


@dataclass(frozen=True)
class Thresholds:
    """Thresholds on an interval: refuted if low > c_hi or high < c_lo; else supported if inside (e_lo, e_hi).

    An infinite threshold is one that a one-sided claim does not have.
    """

    c_lo: float
    c_hi: float
    e_lo: float
    e_hi: float


class SamplingLaw(ABC):
    """The law of an interval, as far as it is known before sampling."""

    @abstractmethod
    def half_width(self, mean: float) -> float:
        """Planned half-width when the units have mean `mean`."""

    @abstractmethod
    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """Probability, or a lower bound of it, that the interval refutes."""

    @abstractmethod
    def support(self, mean: float, thresholds: Thresholds) -> float:
        """Probability, or a lower bound of it, that the interval does not refute and shows equivalence."""


@dataclass(frozen=True)
class BinomialLaw(SamplingLaw):
    """Clopper-Pearson intervals; probabilities are exact sums of the binomial mass function."""

    n: int
    alpha: float

    def half_width(self, mean: float) -> float:
        """Half-width at the expected number of successes."""
        return binomial_interval(round(self.n * mean), self.n, self.alpha).half_width

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
class StudentisedLaw(SamplingLaw):
    """Intervals x̄ ± critical · S/√n of n Gaussian units with standard deviation `spread`.

    x̄ and S are independent and (n−1) S²/spread² is χ²: the probability is a Gaussian one, averaged over S as a
    function of a Gaussian variable z (the quantile of S at Φ(z)). An interval known to lie inside these refutes at
    least as often, so `false_alarm`, its chance to refute a true claim, is taken off `support`; `loss` off both.
    """

    n: int
    spread: float
    critical: float
    false_alarm: float = 0.0
    loss: float = 0.0

    def _mean_error(self) -> float:
        return self.spread / math.sqrt(self.n)

    def _half_widths(self) -> Float[np.ndarray, " node"]:
        shape, tail = (self.n - 1) / 2, special.ndtr(-np.abs(_Z))
        quantiles = np.where(_Z < 0, special.gammaincinv(shape, tail), special.gammainccinv(shape, tail))
        return np.asarray(self.critical * self._mean_error() * np.sqrt(quantiles / shape))

    def half_width(self, mean: float) -> float:
        """Critical · spread/√n, for every mean."""
        return self.critical * self._mean_error()

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """E Φ((mean − c_hi − h)/se) + E Φ((c_lo − h − mean)/se) over the half-width h."""
        if math.isinf(self.critical):
            return 0.0
        h, se = self._half_widths(), self._mean_error()
        tails = special.ndtr((mean - thresholds.c_hi - h) / se) + special.ndtr((thresholds.c_lo - h - mean) / se)
        return max(0.0, float(_WEIGHTS @ tails) - self.loss)

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """E Pr(max(e_lo + h, c_lo − h) < x̄ < min(e_hi − h, c_hi + h)) over the half-width h."""
        if math.isinf(self.critical):
            return 0.0
        h, se = self._half_widths(), self._mean_error()
        first = np.maximum(thresholds.e_lo + h, thresholds.c_lo - h)
        last = np.minimum(thresholds.e_hi - h, thresholds.c_hi + h)
        inside = special.ndtr((last - mean) / se) - special.ndtr((first - mean) / se)
        chance = float(_WEIGHTS @ np.maximum(inside, 0.0)) - self.false_alarm - self.loss
        # `false_alarm` bounds the refutations of a mean that the thresholds allow, and of no other.
        return max(0.0, chance) if self.false_alarm == 0 or thresholds.c_lo <= mean <= thresholds.c_hi else 0.0


def student_t_law(n: int, spread: float, alpha: float) -> StudentisedLaw:
    """Law of `student_t_interval` for Gaussian group means."""
    return StudentisedLaw(n, spread, student_t_quantile(n - 1, alpha))


SIGN_FLIP_RANK = 20
"""Rank of the subset mean that ends a drawn sign-flip interval: 2·20/α subsets are drawn."""


def sign_flip_law(n: int, spread: float, alpha: float) -> StudentisedLaw:
    """Outer law of `sign_flip_interval` for Gaussian units.

    Pr_s(Σ sᵢyᵢ ≥ Σ yᵢ) ≤ exp(−(Σ yᵢ)² / 2Σ yᵢ²) (Hoeffding 1963) refutes each centre outside
    x̄ ± S √(2L(n−1) / n(n−2L)), L = ln(2/α), so the interval lies inside. With drawn subsets L = ln(8/α): such a
    centre has at most 20/4 expected subsets beyond it, and 20 or more with probability Pr(Poisson(5) ≥ 20), the
    loss, once for each end.
    """
    drawn = n > EXACT_LIMIT
    log_term = math.log((8 if drawn else 2) / alpha)
    loss = 2 * float(stats.poisson.sf(SIGN_FLIP_RANK - 1, SIGN_FLIP_RANK / 4)) if drawn else 0.0
    critical = math.sqrt(2 * log_term * (n - 1) / (n - 2 * log_term)) if n > 2 * log_term else math.inf
    return StudentisedLaw(n, spread, critical, alpha, loss)


class _BoundedLaw(SamplingLaw):
    """Intervals x̄ ± h with a known bound on h and on the tails of x̄; union bounds."""

    alpha: float

    @abstractmethod
    def tail(self, deviation: float) -> float:
        """Upper bound of Pr(x̄ − mean ≥ deviation), and of the mirror image."""

    @abstractmethod
    def widths(self) -> tuple[tuple[float, float], ...]:
        """Pairs (δ, h): the half-width exceeds h with probability at most δ."""

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """Max over δ of 1 − δ − tail(distance of the mean to the threshold − h)."""
        distance = max(mean - thresholds.c_hi, thresholds.c_lo - mean)
        return max(0.0, *(1 - delta - self.tail(distance - h) for delta, h in self.widths()))

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """Max over δ of 1 − α − δ − tail(e_hi − mean − h) − tail(mean − e_lo − h), for an unrefuted mean."""
        if not thresholds.c_lo <= mean <= thresholds.c_hi:
            return 0.0
        up, down = thresholds.e_hi - mean, mean - thresholds.e_lo
        chances = (1 - self.alpha - delta - self.tail(up - h) - self.tail(down - h) for delta, h in self.widths())
        return max(0.0, *chances)


@dataclass(frozen=True)
class BoundedMeanLaw(_BoundedLaw):
    """Intervals for the mean of n units in a range of width R with standard deviation at most `spread`.

    Tail: the smaller of Hoeffding's exp(−2nt²/R²) and Bennett's exp(−(nσ²/R²) h(Rt/σ²)),
    h(u) = (1+u) ln(1+u) − u. The empirical Bernstein half-width is bounded by Maurer and Pontil 2009,
    Theorem 10: Pr(S > σ + R √(2 ln(1/δ)/(n−1))) ≤ δ; Hoeffding's is fixed, and Anderson's is no longer.
    """

    n: int
    spread: float
    width: float
    alpha: float
    empirical: bool

    def tail(self, deviation: float) -> float:
        """Smaller of Hoeffding's and Bennett's bound."""
        if deviation <= 0:
            return 1.0
        if math.isinf(deviation):
            return 0.0
        hoeffding = -2 * self.n * (deviation / self.width) ** 2
        u = self.width * deviation / self.spread**2
        bennett = -self.n * (self.spread / self.width) ** 2 * ((1 + u) * math.log1p(u) - u)
        return math.exp(min(hoeffding, bennett))

    def half_width(self, mean: float) -> float:
        """Half-width when the sample's spread is the planned one."""
        if self.empirical:
            return empirical_bernstein_half_width(self.n, self.width, self.alpha, self.spread)
        return hoeffding_half_width(self.n, self.width, self.alpha)

    def widths(self) -> tuple[tuple[float, float], ...]:
        """Theorem 10 at δ from 1e-8 to 1/2, or the fixed half-width."""
        if not self.empirical:
            return ((0.0, self.half_width(0.0)),)
        pairs = []
        for delta in np.geomspace(1e-8, 0.5, 60).tolist():
            spread = self.spread + self.width * math.sqrt(2 * math.log(1 / delta) / (self.n - 1))
            pairs.append((delta, empirical_bernstein_half_width(self.n, self.width, self.alpha, spread)))
        return tuple(pairs)


@dataclass(frozen=True)
class DistanceLaw(_BoundedLaw):
    """Intervals D_n ± ε for a Kolmogorov distance; |D_n − D| has the tail 2 e^{−2nt²} (Massart 1990)."""

    n: int
    alpha: float

    def tail(self, deviation: float) -> float:
        """2 e^{−2nt²}."""
        return 1.0 if deviation <= 0 else min(1.0, 2 * math.exp(-2 * self.n * deviation**2))

    def half_width(self, mean: float) -> float:
        """Radius of the band."""
        return dkwm_radius(self.n, self.alpha)

    def widths(self) -> tuple[tuple[float, float], ...]:
        """The radius, with certainty."""
        return ((0.0, self.half_width(0.0)),)


@dataclass(frozen=True)
class EnclosureLaw(SamplingLaw):
    """Intervals value ± error of a deterministic quantity, the value anywhere within `error` of the truth."""

    error: float

    def half_width(self, mean: float) -> float:
        """The error bound."""
        return self.error

    def refute(self, mean: float, thresholds: Thresholds) -> float:
        """1 if every possible interval refutes, else 0."""
        return float(mean - 2 * self.error > thresholds.c_hi or mean + 2 * self.error < thresholds.c_lo)

    def support(self, mean: float, thresholds: Thresholds) -> float:
        """1 if every possible interval supports, else 0."""
        unrefuted = thresholds.c_lo <= mean <= thresholds.c_hi
        inside = thresholds.e_lo < mean - 2 * self.error and mean + 2 * self.error < thresholds.e_hi
        return float(unrefuted and inside)
