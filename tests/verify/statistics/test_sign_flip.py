"""Sign flips: enumeration by brute force, a second library, duality of test and interval, error paths."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from verify.statistics.sign_flip import sign_flip_interval, sign_flip_test


def brute_force_p_value(x: np.ndarray, null: float) -> float:
    y = x - null
    observed = abs(y.sum())
    slack = 1e-12 * np.abs(y).sum()
    flips = itertools.product((1.0, -1.0), repeat=y.size)
    return float(np.mean([abs(np.dot(s, y)) >= observed - slack for s in flips]))


@pytest.mark.parametrize("n", [2, 3, 6, 9])
@pytest.mark.parametrize("null", [0.0, 0.3, -1.0])
def test_enumeration_p_value(n: int, null: float) -> None:
    x = np.random.default_rng(n).normal(size=n)
    result = sign_flip_test(x, null)
    assert result.exact
    assert result.resamples == 2**n - 1
    assert result.p_value == min(1.0, brute_force_p_value(x, null))


def test_enumeration_p_value_with_ties() -> None:
    x = np.array([1.0, 1.0, -1.0, 0.0, 2.0])
    assert sign_flip_test(x).p_value == brute_force_p_value(x, 0.0)


def test_cross_library_p_value() -> None:
    x = np.random.default_rng(5).normal(0.7, 1.0, size=11)
    theirs = stats.permutation_test(
        (x,), lambda v, axis: v.mean(axis=axis), permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    assert sign_flip_test(x).p_value == pytest.approx(theirs.pvalue, rel=1e-12)


def test_closed_form_drawn_p_value_is_binomial_around_the_exact_one() -> None:
    x = np.random.default_rng(6).normal(0.35, 1.0, size=20)
    exact = sign_flip_test(x).p_value
    # A twenty-first sample of 0 changes no flipped sum, hence not the p-value, and forces drawing.
    drawn = sign_flip_test(np.append(x, 0.0), generator=np.random.default_rng(7), resamples=20_000)
    assert not drawn.exact
    hits = round(drawn.p_value / 2 * 20_001) - 1
    assert stats.binomtest(hits, 20_000, exact / 2).pvalue > 1e-6


def test_closed_form_smallest_p_value() -> None:
    assert sign_flip_test(np.arange(1.0, 11.0)).p_value == 2.0**-9
    assert sign_flip_test(np.arange(1.0, 31.0), generator=np.random.default_rng(0), resamples=99).p_value == 0.02


@pytest.mark.parametrize("n", [6, 9, 25])
def test_property_interval_is_the_inverted_test(n: int) -> None:
    x = np.random.default_rng(n).normal(2.0, 1.0, size=n)
    alpha = 0.07

    def p_value(null: float) -> float:
        return sign_flip_test(x, null, generator=np.random.default_rng(11), resamples=3999).p_value

    interval = sign_flip_interval(x, alpha, generator=np.random.default_rng(11), resamples=3999)
    step = 1e-9
    assert p_value(interval.low - step) <= alpha < p_value(interval.low + step)
    assert p_value(interval.high + step) <= alpha < p_value(interval.high - step)


def test_property_interval_moves_with_the_samples() -> None:
    x = np.random.default_rng(3).normal(size=12)
    base, moved = sign_flip_interval(x, 0.01), sign_flip_interval(10 + 4 * x, 0.01)
    assert moved.low == pytest.approx(10 + 4 * base.low, rel=1e-12)
    assert moved.high == pytest.approx(10 + 4 * base.high, rel=1e-12)


def test_error_paths() -> None:
    x = np.random.default_rng(4).normal(size=21)
    with pytest.raises(ValueError, match="expected a generator for 21 > 20 samples"):
        sign_flip_test(x)
    with pytest.raises(ValueError, match="expected resamples ≥ 1, got 0"):
        sign_flip_test(x, generator=np.random.default_rng(0), resamples=0)
    with pytest.raises(ValueError, match="expected a finite null"):
        sign_flip_test(x, math.nan)
    with pytest.raises(ValueError, match="expected at least 2 samples"):
        sign_flip_test(x[:1])
    with pytest.raises(ValueError, match=r"expected at least 2/alpha = 2e\+05 subsets, got 1024 from 10 samples"):
        sign_flip_interval(x[:10], 1e-5)
    with pytest.raises(ValueError, match="use at least 18 samples, and above 20 samples as many resamples"):
        sign_flip_interval(x, 1e-5, generator=np.random.default_rng(0), resamples=999)
