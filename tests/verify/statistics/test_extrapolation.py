"""Limits η → 0: exact on polynomials, Neville's scheme, honest remainders, and noise with common random numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.statistics import richardson

EPS = float(np.finfo(np.float64).eps)
RATES = np.array([0.08, 0.04, 0.02, 0.01])


def sizes(rates: np.ndarray, terms: int) -> float:
    """Return Σ |weights|: how many times an error of equal size at all rates can grow."""
    return float(np.abs(richardson(rates, np.eye(len(rates)), terms=terms).limits).sum())


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4), st.permutations([0.32, 0.1, 0.05, 0.02]))
def test_property_exact_on_polynomials(coefficients: list[float], rates: list[float]) -> None:
    eta = np.array(rates)
    result = richardson(eta, np.polynomial.polynomial.polyval(eta, coefficients)[None], terms=3)
    # Backward error of a QR solve: a few ulps times the condition number of the scaled powers.
    condition = np.linalg.cond((eta / eta.max())[:, None] ** np.arange(4))
    assert result.limits[0] == pytest.approx(coefficients[0], abs=20 * EPS * condition * sizes(eta, 3) * 50)


def test_closed_form_weights_of_lagrange() -> None:
    expected = [np.prod([b / (b - a) for b in RATES if b != a]) for a in RATES]
    assert richardson(RATES, np.eye(4), terms=3).limits == pytest.approx(expected, rel=1e-10)


def test_closed_form_neville_lower_order() -> None:
    values = np.exp(-RATES)

    def neville(eta: np.ndarray, v: np.ndarray) -> float:
        table = list(v)
        for j in range(1, len(eta)):
            for i in range(len(eta) - j):
                table[i] = (eta[i] * table[i + 1] - eta[i + j] * table[i]) / (eta[i] - eta[i + j])
        return float(table[0])

    result = richardson(RATES, values[None], terms=3)
    assert result.limits[0] == pytest.approx(neville(RATES, values), abs=1e-13)
    lower = neville(RATES[1:], values[1:])
    assert result.remainder == pytest.approx(abs(float(result.limits[0]) - lower), abs=1e-13)


def test_closed_form_fewer_terms_fit_by_least_squares() -> None:
    eta = np.array([0.2, 0.17, 0.1, 0.06, 0.03])
    values = np.random.default_rng(0).normal(size=(3, 5))
    fitted = np.polynomial.polynomial.polyfit(eta, values.T, 2)[0]
    assert richardson(eta, values, terms=2).limits == pytest.approx(fitted, rel=1e-10)


FUNCTIONS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda h: np.exp(-h),
    lambda h: np.exp(-20 * h),
    lambda h: np.log1p(h) / h,
    lambda h: 1 / (1 + 5 * h),
    lambda h: 2 / (2 - 3 * h),  # the plateau's finite-rate factor
]
"""All tend to 1."""


@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
@pytest.mark.parametrize("terms", [2, 3])
def test_closed_form_remainder_is_honest(case: int, terms: int) -> None:
    values = FUNCTIONS[case](RATES)
    result = richardson(RATES, values[None], terms=terms)
    rounding = 100 * EPS * sizes(RATES, terms)
    assert abs(float(result.limits[0]) - 1) <= result.remainder + rounding
    assert result.remainder < abs(float(values[-1]) - 1) + rounding  # better than no extrapolation


def test_property_groups_carry_common_random_numbers() -> None:
    generator = np.random.default_rng(2)
    shared, own = generator.normal(size=(400, 1)), generator.normal(size=(400, 4))
    result = richardson(RATES, 1 + RATES + 0.05 * shared + 0.0005 * own, terms=3)
    # Shared noise passes with weight Σw = 1; independent noise would be amplified by ‖w‖ = 4.1.
    assert float(result.limits.std(ddof=1)) == pytest.approx(0.05, rel=0.2)
    assert abs(float(result.limits.mean()) - 1) < 6 * 0.05 / 20


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (RATES[:3], "expected at least 4 learning rates"),
        (RATES[None], "expected at least 4 learning rates on one axis"),
        (np.array([0.1, 0.1, 0.2, 0.3]), "distinct"),
        (np.array([0.0, 0.1, 0.2, 0.3]), "positive"),
        (np.array([math.nan, 0.1, 0.2, 0.3]), "finite"),
    ],
)
def test_error_rates(rates: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        richardson(rates, np.ones((2, 4)), terms=3)


def test_error_values_and_terms() -> None:
    for shape in ((4,), (4, 3), (0, 4)):
        with pytest.raises(ValueError, match=r"expected shape \(group, 4\)"):
            richardson(RATES, np.ones(shape), terms=3)
    broken = np.ones((3, 4))
    broken[2, 1] = math.inf
    with pytest.raises(ValueError, match="got inf in group 2 at rate 1"):
        richardson(RATES, broken, terms=3)
    for terms in (1, 4):
        with pytest.raises(ValueError, match="expected 2 ≤ terms ≤ 3 for 4 rates"):
            richardson(RATES, np.ones((1, 4)), terms=terms)
