"""Property of the level: Student t on skewed replicates, at the level that the empirical claims use it."""

import numpy as np
import pytest
from scipy import stats

from verify.cohorts import SCALES
from verify.cohorts.designs import SKEW_ALLOWANCE
from verify.statistics import student_t_interval

REPETITIONS = 400_000


@pytest.mark.parametrize("shape", [4.0, 16.0, 100.0])  # gamma laws: skewness 2/√shape = 1, 0.5, 0.2
def test_skewed_replicates_miss_at_most_ten_times_as_often_as_said(shape: float) -> None:
    n, alpha = SCALES["small"].members, 1e-4
    generator = np.random.default_rng(int(shape))
    critical = stats.t.isf(alpha / 2, n - 1)
    missed = 0
    for _ in range(REPETITIONS // 20_000):
        x = generator.gamma(shape, size=(20_000, n)) - shape
        missed += int((abs(x.mean(1)) > critical * x.std(1, ddof=1) / n**0.5).sum())
    # Fewer misses than this would be as likely as 1e-6 if the rate were SKEW_ALLOWANCE · alpha.
    assert missed <= stats.binom.isf(1e-6, REPETITIONS, SKEW_ALLOWANCE * alpha)


def test_the_interval_is_the_one_simulated() -> None:
    x = np.random.default_rng(0).gamma(4.0, size=46)
    interval = student_t_interval(x, 1e-4, "a test")
    half_width = stats.t.isf(5e-5, 45) * x.std(ddof=1) / 46**0.5
    assert interval.half_width == pytest.approx(half_width, rel=1e-9)
