"""DKWM bands and Anderson's mean interval: closed forms, a second library, enumeration of extremal laws."""

import math

import numpy as np
import pytest
from scipy import stats

from verify.statistics.bands import anderson_interval, dkwm_band, dkwm_distance_interval
from verify.statistics.intervals import Samples, hoeffding_interval


def uniform_cdf(x: Samples) -> Samples:
    return np.asarray(np.clip(x, 0.0, 1.0))


def test_closed_form_band() -> None:
    band = dkwm_band(np.array([3.0, 1.0, 2.0, 2.0]), 0.5)
    assert band.radius == math.sqrt(math.log(4) / 8)
    assert band.empirical(np.array([0.5, 1.0, 2.5, 3.0])).tolist() == [0.0, 0.25, 0.75, 1.0]
    assert band.low(np.array([1.0, 3.0])).tolist() == [0.0, 1 - band.radius]
    assert band.high(np.array([1.0, 3.0])).tolist() == [0.25 + band.radius, 1.0]


def test_cross_library_distance() -> None:
    x = np.random.default_rng(0).beta(2.0, 3.0, size=200)
    interval = dkwm_distance_interval(x, uniform_cdf, 0.01)
    assert interval.estimate == pytest.approx(stats.kstest(x, "uniform").statistic, rel=1e-12)
    radius = math.sqrt(math.log(200) / 400)
    assert interval.high == pytest.approx(interval.estimate + radius, rel=1e-12)
    assert interval.low == pytest.approx(interval.estimate - radius, rel=1e-12)


def test_enumeration_anderson_ends_are_means_of_the_band_edges() -> None:
    x = np.random.default_rng(1).beta(0.5, 4.0, size=60)
    interval = anderson_interval(x, 0.0, 1.0, 0.05)
    band = dkwm_band(x, 0.05)
    # Edges of the band are step functions, so the integral is a finite sum over the gaps between samples.
    knots = np.concatenate([[0.0], np.sort(x), [1.0]])
    gaps, left = np.diff(knots), knots[:-1]
    edge_low, edge_high = band.low(left), band.high(left)
    assert interval.high == pytest.approx(1 - float(gaps @ edge_low), rel=1e-12)
    assert interval.low == pytest.approx(1 - float(gaps @ edge_high), rel=1e-10, abs=1e-14)


def test_property_anderson_is_never_longer_than_hoeffding_and_affine() -> None:
    generator = np.random.default_rng(2)
    for n in (3, 30, 300):
        x = generator.beta(0.3, 3.0, size=n)
        anderson, hoeffding = anderson_interval(x, 0.0, 1.0, 0.01), hoeffding_interval(x, 0.0, 1.0, 0.01)
        assert hoeffding.low <= anderson.low + 1e-12
        assert anderson.high <= hoeffding.high + 1e-12
        moved = anderson_interval(2 * x - 1, -1.0, 1.0, 0.01)
        assert moved.high == pytest.approx(2 * anderson.high - 1, rel=1e-10)
        assert moved.low == pytest.approx(2 * anderson.low - 1, rel=1e-10)


def test_error_cdf() -> None:
    x = np.array([0.2, 0.7])
    for wrong in (np.negative, lambda x: 1 - x, lambda x: np.full_like(x, math.nan), lambda x: 3 * x):
        with pytest.raises(ValueError, match="expected cdf to map sorted samples"):
            dkwm_distance_interval(x, wrong, 0.1)


def test_error_samples() -> None:
    with pytest.raises(ValueError, match="expected at least 1 samples"):
        dkwm_band(np.array([]), 0.1)
    with pytest.raises(ValueError, match="expected samples in"):
        anderson_interval(np.array([2.0]), 0.0, 1.0, 0.1)
    with pytest.raises(ValueError, match="expected 0 < alpha < 1"):
        dkwm_band(np.array([1.0]), 0.0)
