"""Planned powers: enumeration for the binomial, noncentral t for Student, simulation of the others' guarantees."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from verify.statistics.bands import anderson_interval, dkwm_distance_interval
from verify.statistics.intervals import (
    Interval,
    binomial_interval,
    empirical_bernstein_interval,
    hoeffding_interval,
    student_t_quantile,
)
from verify.statistics.sign_flip import sign_flip_interval
from verify.trial.power import (
    SIGN_FLIP_RANK,
    BinomialLaw,
    BoundedMeanLaw,
    DistanceLaw,
    EnclosureLaw,
    StudentisedLaw,
    Thresholds,
    sign_flip_law,
    student_t_law,
)

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
    ours = student_t_law(n, spread, alpha).refute(5 + shift, two_sided(5.0, 1.0))
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
    ours = student_t_law(400, 1.7, 1e-3).refute(6.0, two_sided(5.0, 1.0))
    assert missed < 1e-14
    assert ours == pytest.approx(1 - missed, abs=1001 * EPS)


@pytest.mark.parametrize("systematic", [0.0, 0.1])
@pytest.mark.parametrize("offset", [0.0, 0.1, -0.4])
def test_simulation_studentised_law(systematic: float, offset: float) -> None:
    n, alpha, trials = 20, 0.05, 40_000
    generator = np.random.default_rng(0)
    x = generator.normal(offset, 1.0, size=(trials, n))
    mean, half = x.mean(axis=1), student_t_quantile(n - 1, alpha) * x.std(axis=1, ddof=1) / math.sqrt(n)
    t, law = two_sided(0.0, 0.8, systematic), student_t_law(n, 1.0, alpha)
    refuted = (mean - half > t.c_hi) | (mean + half < t.c_lo)
    supported = ~refuted & (mean - half > t.e_lo) & (mean + half < t.e_hi)
    for seen, planned in ((refuted, law.refute(offset, t)), (supported, law.support(offset, t))):
        assert stats.binomtest(int(seen.sum()), trials, planned).pvalue > 1e-6


def assert_guaranteed(seen: int, trials: int, planned: float) -> None:
    assert stats.binomtest(seen, trials, planned, alternative="less").pvalue > 1e-6


@pytest.mark.parametrize("n", [16, 30])
def test_simulation_sign_flip_guarantee(n: int) -> None:
    alpha, trials, generator = 0.01, 200, np.random.default_rng(1)
    law, t = sign_flip_law(n, 1.0, alpha), two_sided(0.0, 2.4)
    draws = generator.normal(size=(trials, n))
    resamples = math.ceil(2 * SIGN_FLIP_RANK / alpha)
    intervals = [sign_flip_interval(x, alpha, generator=generator, resamples=resamples) for x in draws]
    shifted = [Interval(i.estimate + 2.4, i.low + 2.4, i.high + 2.4, i.alpha, i.n, i.method) for i in intervals]
    assert law.support(0.0, t) > 0.8
    assert law.refute(2.4, t) > 0.8
    assert_guaranteed(sum(supports(i, t) for i in intervals), trials, law.support(0.0, t))
    assert_guaranteed(sum(refutes(i, t) for i in shifted), trials, law.refute(2.4, t))


@pytest.mark.parametrize(("n", "log_term"), [(20, math.log(200)), (50, math.log(800))])
def test_closed_form_sign_flip_half_width(n: int, log_term: float) -> None:
    expected = 1.5 * math.sqrt(2 * log_term * (n - 1) / (n * (n - 2 * log_term)))
    assert sign_flip_law(n, 1.5, 0.01).half_width(0.0) == pytest.approx(expected, rel=1e-12)


def test_closed_form_sign_flip_support_leaves_room_for_false_alarms() -> None:
    law = sign_flip_law(16, 1e-6, 0.01)  # so precise that only a false alarm can prevent support
    assert law.support(0.0, two_sided(0.0, 1.0)) == pytest.approx(0.99, abs=1e-3)
    assert law.support(0.2, two_sided(0.0, 1.0, 0.1)) == 0.0


def test_closed_form_sign_flip_cannot_refute_with_few_units() -> None:
    law = sign_flip_law(10, 1.0, 1e-4)  # 2 ln(2/α) = 19.8 > 10
    assert law.refute(100.0, two_sided(0.0, 1.0)) == 0.0
    assert law.support(0.0, two_sided(0.0, 1.0)) == 0.0
    assert isinstance(law, StudentisedLaw)
    assert law.half_width(0.0) == INF


@pytest.mark.parametrize("bound", [empirical_bernstein_interval, hoeffding_interval, anderson_interval])
def test_simulation_bounded_guarantee(bound: object) -> None:
    assert callable(bound)
    n, alpha, trials, generator = 1500, 0.01, 200, np.random.default_rng(2)
    law = BoundedMeanLaw(n, 0.13, 1.0, alpha, bound is empirical_bernstein_interval)
    t, departure = two_sided(0.05, 0.07), 0.07
    near = [bound(generator.beta(0.1, 1.9, size=n), 0.0, 1.0, alpha) for _ in range(trials)]  # mean 0.05
    far = [bound(generator.beta(0.24, 1.76, size=n), 0.0, 1.0, alpha) for _ in range(trials)]  # mean 0.12
    assert law.support(0.05, t) > 0.8
    assert law.refute(0.05 + departure, t) > 0.8
    assert_guaranteed(sum(supports(i, t) for i in near), trials, law.support(0.05, t))
    assert_guaranteed(sum(refutes(i, t) for i in far), trials, law.refute(0.12, t))


def test_simulation_distance_guarantee() -> None:
    n, trials, generator = 400, 300, np.random.default_rng(3)
    law, t = DistanceLaw(n, 0.01), Thresholds(-INF, 0.0, -INF, 0.18)
    near = [dkwm_distance_interval(generator.random(n), lambda v: v, 0.01) for _ in range(trials)]
    far = [dkwm_distance_interval(generator.random(n) ** 2, lambda v: v, 0.01) for _ in range(trials)]  # D = 1/4
    assert law.support(0.0, t) > 0.8
    assert law.refute(0.25, t) > 0.99
    assert_guaranteed(sum(supports(i, t) for i in near), trials, law.support(0.0, t))
    assert_guaranteed(sum(refutes(i, t) for i in far), trials, law.refute(0.25, t))


def test_closed_form_tails() -> None:
    law = BoundedMeanLaw(100, 0.5, 1.0, 0.01, empirical=False)
    assert law.tail(0.0) == 1.0
    assert law.tail(INF) == 0.0
    assert law.tail(0.1) == pytest.approx(math.exp(-2), rel=1e-12)  # Hoeffding is the smaller at σ = R/2
    rare = BoundedMeanLaw(100, 0.05, 1.0, 0.01, empirical=True)
    u = 0.1 / 0.0025
    assert rare.tail(0.1) == pytest.approx(math.exp(-0.25 * ((1 + u) * math.log(1 + u) - u)), rel=1e-12)
    assert DistanceLaw(100, 0.01).tail(0.2) == pytest.approx(2 * math.exp(-8), rel=1e-12)


def test_enumeration_bounded_tail_holds_for_binomials() -> None:
    for p in (0.01, 0.3, 0.5):
        law = BoundedMeanLaw(50, math.sqrt(p * (1 - p)), 1.0, 0.01, empirical=False)
        for k in range(1, 51):
            assert stats.binom.sf(k - 1, 50, p) <= law.tail(k / 50 - p) * (1 + 1e-12)


def test_closed_form_refuted_mean_has_no_guaranteed_support() -> None:
    assert BoundedMeanLaw(10**6, 0.1, 1.0, 0.01, empirical=True).support(0.6, two_sided(0.5, 0.3)) == 0.0


def test_closed_form_enclosure() -> None:
    law, t = EnclosureLaw(0.1), two_sided(1.0, 0.5, 0.05)
    assert law.half_width(1.0) == 0.1
    assert law.support(1.0, t) == 1.0
    assert law.support(1.04, Thresholds(0.95, 1.05, 0.55, 1.2)) == 0.0
    assert law.refute(1.26, t) == 1.0
    assert law.refute(1.24, t) == 0.0
    assert law.refute(0.74, t) == 1.0
