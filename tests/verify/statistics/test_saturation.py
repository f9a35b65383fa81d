"""The limit of a mean that rises towards it."""

import numpy as np
import pytest

from verify.statistics.saturation import asymptote

TIMES = np.array([0.5, 2.0, 5.0, 15.0, 37.0, 60.0])


def curve(limit: float, scale: float, noise: float, replicates: int = 200) -> np.ndarray:
    generator = np.random.default_rng(1)
    return -limit * np.expm1(-TIMES / scale) + noise * generator.standard_normal((replicates, len(TIMES)))


@pytest.mark.parametrize("limit", [2.0, -0.5])
def test_closed_form_the_limit_of_a_curve_without_noise(limit: float) -> None:
    # Values of s are a factor (1200)^{1/199} = 1.036 apart, so that ln s is off by 0.018 at most, and a by less.
    found = asymptote(TIMES, curve(limit, 10.0, 1e-9), np.random.default_rng(0))
    assert found.value == pytest.approx(limit, rel=0.018)


def test_monte_carlo_the_interval_holds_the_limit() -> None:
    inside = 0
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal((100, len(TIMES)))
        found = asymptote(TIMES, curve(1.0, 8.0, 0.0, 1) + noise, np.random.default_rng(seed))
        assert found.low is not None
        inside += found.low <= 1.0 and (found.high is None or found.high >= 1.0)
    # Binomial of 40: below 33 with probability 6e-3 where an interval holds 93% of limits, 0.94 where 70%.
    assert inside >= 33


def test_a_straight_line_has_no_limit_in_sight() -> None:
    line = 0.1 * TIMES + 0.01 * np.random.default_rng(2).standard_normal((50, len(TIMES)))
    found = asymptote(TIMES, line, np.random.default_rng(0))
    assert (found.value, found.high) == (None, None)


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([1.0, 2.0], [[1.0, 2.0], [0.0, 1.0]], "3 positive times"),
        ([0.0, 1.0, 2.0], [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]], "3 positive times"),
        ([1.0, 3.0, 2.0], [[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]], "3 positive times"),
        ([1.0, 2.0, 3.0], [[1.0, 2.0, 3.0]], "vary at every time"),
        ([1.0, 2.0, 3.0], [[1.0, 2.0, 3.0], [1.0, 1.0, 2.0]], "vary at every time"),
        ([1.0, 2.0, 3.0], [[1.0, 2.0, float("nan")], [0.0, 1.0, 2.0]], "finite values"),
    ],
)
def test_error_what_has_no_limit(times: list[float], values: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        asymptote(np.array(times), np.array(values), np.random.default_rng(0))
