"""Intervals: closed forms, a second library, and their error paths; rates are in test_rates."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from verify.statistics import Interval, binomial_interval, enclosure, student_t_interval
from verify.statistics.intervals import MIN_GROUPS, checked_samples, student_t_quantile

EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("alpha", [0.05, 1e-3, 1e-7])
@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 10), (1, 400), (399, 400), (5000, 10_000)])
def test_cross_library_binomial(k: int, n: int, alpha: float) -> None:
    ours = binomial_interval(k, n, alpha)
    theirs = stats.binomtest(k, n).proportion_ci(1 - alpha, method="exact")
    # scipy is given 1 − α, which loses α's digits below 1e-16/α.
    assert ours.low == pytest.approx(theirs.low, rel=1e-7, abs=1e-14)
    assert ours.high == pytest.approx(theirs.high, rel=1e-7)


@pytest.mark.parametrize(("k", "n"), [(1, 7), (3, 10), (38, 40)])
def test_enumeration_binomial_ends_have_tail_half_alpha(k: int, n: int) -> None:
    alpha = 1e-6
    interval = binomial_interval(k, n, alpha)

    def mass(p: float, successes: range) -> mpmath.mpf:
        q = mpmath.mpf(p)
        return mpmath.fsum(mpmath.binomial(n, j) * q**j * (1 - q) ** (n - j) for j in successes)

    # d ln tail / d ln p is at most n, so an inverse right to 100 ulps gives a tail right to 100 n ulps.
    assert float(mass(interval.low, range(k, n + 1))) == pytest.approx(alpha / 2, rel=100 * n * EPS)
    odds = interval.high / (1 - interval.high)
    assert float(mass(interval.high, range(k + 1))) == pytest.approx(alpha / 2, rel=100 * n * EPS * (1 + odds))


def test_cross_library_student_t() -> None:
    x = np.random.default_rng(1).normal(3.0, 2.0, size=24)
    ours = student_t_interval(x, 1e-3, "Gaussian by construction")
    low, high = stats.t.interval(1 - 1e-3, 23, loc=x.mean(), scale=stats.sem(x))
    assert ours.low == pytest.approx(low, rel=1e-10)
    assert ours.high == pytest.approx(high, rel=1e-10)


@pytest.mark.parametrize("alpha", [1e-2, 1e-5, 1e-9])
def test_cross_library_student_t_quantile_in_the_tail(alpha: float) -> None:
    assert student_t_quantile(15, alpha) == pytest.approx(stats.t.isf(alpha / 2, 15), rel=1e-9)


def test_closed_form_enclosure() -> None:
    interval = enclosure(2.0, 0.5)
    assert (interval.low, interval.estimate, interval.high, interval.alpha) == (1.5, 2.0, 2.5, 0.0)
    assert (interval.n, interval.half_width) == (1, 0.5)
    assert [interval.contains(value) for value in (1.4, 1.5, 2.5, 2.6)] == [False, True, True, False]
    assert enclosure(2.0, 0.0).half_width == 0


def test_repr_says_everything() -> None:
    interval = Interval(0.25, 0.2, 0.3, 1e-5, 64, "student-t")
    assert repr(interval) == "Interval(0.25 in [0.2, 0.3], alpha=1e-05, n=64, method='student-t')"
    assert interval._repr_latex_() == r"$0.25\in[0.2,\,0.3]$"


@given(st.integers(1, 50), st.data(), st.floats(1e-9, 0.5), st.floats(1e-9, 0.5))
def test_property_smaller_alpha_contains_larger(n: int, data: st.DataObject, a: float, b: float) -> None:
    k = data.draw(st.integers(0, n))
    outer, inner = binomial_interval(k, n, min(a, b)), binomial_interval(k, n, max(a, b))
    assert outer.low <= inner.low * (1 + 1e-9)
    assert inner.high <= outer.high * (1 + 1e-9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((0.0, -math.inf, 1.0, 0.1, 3, "x"), "expected finite ends"),
        ((2.0, 0.0, 1.0, 0.1, 3, "x"), "expected low ≤ estimate ≤ high"),
        ((0.5, 0.0, 1.0, 1.0, 3, "x"), "expected 0 ≤ alpha < 1"),
        ((0.5, 0.0, 1.0, -0.1, 3, "x"), "expected 0 ≤ alpha < 1"),
        ((-0.5, 0.0, 1.0, 0.1, 3, "x"), "expected low ≤ estimate ≤ high"),
        ((0.5, 0.0, math.inf, 0.1, 3, "x"), "expected finite ends"),
        ((0.5, 0.0, 1.0, 0.1, 0, "x"), "expected n ≥ 1"),
    ],
)
def test_error_interval(fields: tuple[float, float, float, float, int, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interval(*fields)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_error_alpha(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected 0 < alpha < 1"):
        binomial_interval(1, 2, alpha)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 2)), r"expected one axis .* got shape \(2, 2\)"),
        (np.array([0.5]), "expected at least 2 samples, got 1"),
        (np.array([0.1, math.nan, math.inf]), "got 2 NaN or infinite, the first at index 1"),
    ],
)
def test_error_samples(samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_samples(samples, 2)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_error_binomial(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="expected 0 ≤ successes ≤ n"):
        binomial_interval(k, n, 0.01)


def test_error_student_t() -> None:
    x = np.random.default_rng(2).normal(size=MIN_GROUPS)
    with pytest.raises(ValueError, match="expected a written justification"):
        student_t_interval(x, 0.01, "  ")
    with pytest.raises(ValueError, match="expected at least 16 samples, got 15"):
        student_t_interval(x[1:], 0.01, "reason")
    for equal in (0.0, 0.1, 1e6 / 3):
        with pytest.raises(ValueError, match="expected group means that vary"):
            student_t_interval(np.full(20, equal), 0.01, "reason")
    assert student_t_interval(1e6 + 1e-6 * x, 0.01, "reason").half_width == pytest.approx(
        1e-6 * student_t_interval(x, 0.01, "reason").half_width,
        rel=1e-2,  # 1e6 ε is 2e-10
    )


@pytest.mark.parametrize(("value", "bound"), [(math.nan, 0.1), (1.0, -0.1), (1.0, math.inf)])
def test_error_enclosure(value: float, bound: float) -> None:
    with pytest.raises(ValueError, match="expected a finite value and a finite error bound"):
        enclosure(value, bound)
