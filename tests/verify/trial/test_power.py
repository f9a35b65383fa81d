"""Planned powers: enumeration for the binomial, noncentral t and simulation for Student."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from verify.statistics import Interval, binomial_interval
from verify.statistics.intervals import student_t_quantile
from verify.trial.power import BinomialLaw, EnclosureLaw, StudentLaw, Thresholds

INF = math.inf
EPS = float(np.finfo(np.float64).eps)


def two_sided(target: float, delta: float, systematic: float = 0.0) -> Thresholds:
    c, e = systematic, delta - systematic
    return Thresholds(target - c, target + c, target - e, target + e)


def refutes(interval: Interval, t: Thresholds) -> bool:
    return interval.low > t.c_hi or interval.high < t.c_lo


def supports(interval: Interval, t: Thresholds) -> bool:
    return not refutes(interval, t) and t.e_lo < interval.low and interval.high < t.e_hi


@pytest.mark.parametrize("n", [1, 7, 60])
@pytest.mark.parametrize("target", [0.0, 0.1234, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("mean", [0.07, 0.5, 1.0])
def test_enumeration_binomial(n: int, target: float, mean: float) -> None:
    intervals = [binomial_interval(k, n, 0.02) for k in range(n + 1)]
    mass = stats.binom.pmf(np.arange(n + 1), n, mean)
    law = BinomialLaw(n, 0.02)
    for t in (
        two_sided(target, 0.25),
        two_sided(target, 0.25, 0.05),
        Thresholds(target, INF, target - 0.25, INF),
        Thresholds(-INF, target, -INF, target + 0.25),
    ):
        # Sums of at most n + 1 probabilities, each right to about 1e-14.
        assert law.refute(mean, t) == pytest.approx(mass @ [refutes(i, t) for i in intervals], abs=1e-12)
        assert law.support(mean, t) == pytest.approx(mass @ [supports(i, t) for i in intervals], abs=1e-12)


@pytest.mark.parametrize("n", [16, 40, 64])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.9])
def test_cross_library_refutation_is_noncentral_t(n: int, shift: float) -> None:
    alpha, spread = 1e-3, 1.7
    critical, noncentrality = student_t_quantile(n - 1, alpha), shift * math.sqrt(n) / spread
    theirs = stats.nct.sf(critical, n - 1, noncentrality) + stats.nct.cdf(-critical, n - 1, noncentrality)
    ours = StudentLaw(n, spread, alpha).refute(5 + shift, two_sided(5.0, 1.0))
    # The trapezoidal sum of 1001 terms is exact to rounding for these smooth integrands.
    assert ours == pytest.approx(theirs, abs=1001 * EPS)


def test_cross_library_refutation_where_scipys_noncentral_t_is_nan() -> None:
    """At n = 400 and 11.8 standard errors: 1 − Pr(T ≤ t) by mpmath over the density of S."""
    degrees, critical, noncentrality = 399, student_t_quantile(399, 1e-3), 20 / 1.7

    def integrand(s: mpmath.mpf) -> mpmath.mpf:
        half = mpmath.mpf(degrees) / 2
        log_density = mpmath.log(2) + half * mpmath.log(half) - mpmath.loggamma(half)
        log_density += (degrees - 1) * mpmath.log(s) - half * s**2
        return mpmath.exp(log_density) * mpmath.ncdf(critical * s - noncentrality)

    missed = float(mpmath.quad(integrand, [0.5, 0.8, 0.9, 1, 1.1, 1.2, 1.5]))
    ours = StudentLaw(400, 1.7, 1e-3).refute(6.0, two_sided(5.0, 1.0))
    assert missed < 1e-14
    assert ours == pytest.approx(1 - missed, abs=1001 * EPS)


@pytest.mark.parametrize("systematic", [0.0, 0.1])
@pytest.mark.parametrize("offset", [0.0, 0.1, -0.4])
def test_simulation_studentised_law(systematic: float, offset: float) -> None:
    n, alpha, trials = 20, 0.05, 40_000
    generator = np.random.default_rng(0)
    x = generator.normal(offset, 1.0, size=(trials, n))
    mean, half = x.mean(axis=1), student_t_quantile(n - 1, alpha) * x.std(axis=1, ddof=1) / math.sqrt(n)
    t, law = two_sided(0.0, 0.8, systematic), StudentLaw(n, 1.0, alpha)
    refuted = (mean - half > t.c_hi) | (mean + half < t.c_lo)
    supported = ~refuted & (mean - half > t.e_lo) & (mean + half < t.e_hi)
    for seen, planned in ((refuted, law.refute(offset, t)), (supported, law.support(offset, t))):
        assert stats.binomtest(int(seen.sum()), trials, planned).pvalue > 1e-6


def test_closed_form_enclosure() -> None:
    law, t = EnclosureLaw(0.1), two_sided(1.0, 0.5, 0.05)
    assert law.support(1.0, t) == 1.0
    assert law.support(1.04, Thresholds(0.95, 1.05, 0.55, 1.2)) == 0.0
    assert law.refute(1.26, t) == 1.0
    assert law.refute(1.24, t) == 0.0
    assert law.refute(0.74, t) == 1.0
    assert law.refute(0.76, t) == 0.0


def test_closed_form_enclosure_that_touches_its_thresholds() -> None:
    """Dyadic numbers, so that sums are exact: refuted and supported only beyond a threshold, unrefuted up to it."""
    law, t = EnclosureLaw(0.125), two_sided(1.0, 0.5, 0.0625)
    assert [law.refute(mean, t) for mean in (0.6875, 1.3125)] == [0.0, 0.0]
    assert [law.support(mean, t) for mean in (0.9, 0.9375, 1.0625, 1.1)] == [0.0, 1.0, 1.0, 0.0]
    ends = [(0.75, 2.0), (0.0, 1.25), (0.74, 2.0), (0.0, 1.26)]
    assert [law.support(1.0, Thresholds(0.0, 2.0, *end)) for end in ends] == [0.0, 0.0, 1.0, 1.0]
