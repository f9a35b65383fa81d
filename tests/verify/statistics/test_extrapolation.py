"""Limits η → 0: exact on polynomials, Neville's scheme, honest remainders, and noise with common random numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.statistics.extrapolation import observed_order, richardson

EPS = float(np.finfo(np.float64).eps)
RATES = np.array([0.08, 0.04, 0.02, 0.01])


@given(
    st.lists(st.floats(-10, 10), min_size=4, max_size=4),
    st.permutations([0.32, 0.1, 0.05, 0.02]),
    st.sampled_from([1, 2, 3]),
)
def test_property_exact_on_polynomials(coefficients: list[float], rates: list[float], order: int) -> None:
    eta = np.array(rates)
    powers = np.array([0, order, order + 1, order + 2])
    values = (eta[:, None] ** powers) @ np.array(coefficients)
    result = richardson(eta, values[None], order=order)
    # Backward error of a QR solve: a few ulps times the condition number of the scaled powers.
    condition = np.linalg.cond((eta / eta.max())[:, None] ** powers)
    assert result.mean == pytest.approx(coefficients[0], abs=20 * EPS * condition * result.amplification * 50)


def test_closed_form_weights_of_lagrange() -> None:
    expected = [np.prod([b / (b - a) for b in RATES if b != a]) for a in RATES]
    result = richardson(RATES, np.zeros((1, 4)))
    assert result.weights == pytest.approx(expected, rel=1e-10)
    assert result.amplification == pytest.approx(np.abs(expected).sum(), rel=1e-10)


def test_closed_form_neville_lower_order() -> None:
    values = np.exp(-RATES)

    def neville(eta: np.ndarray, v: np.ndarray) -> float:
        table = list(v)
        for j in range(1, len(eta)):
            for i in range(len(eta) - j):
                table[i] = (eta[i] * table[i + 1] - eta[i + j] * table[i]) / (eta[i] - eta[i + j])
        return float(table[0])

    result = richardson(RATES, values[None])
    assert result.limits[0] == pytest.approx(neville(RATES, values), abs=1e-13)
    assert result.lower_limits[0] == pytest.approx(neville(RATES[1:], values[1:]), abs=1e-13)


def test_closed_form_fewer_terms_fit_by_least_squares() -> None:
    eta = np.array([0.2, 0.17, 0.1, 0.06, 0.03])
    values = np.random.default_rng(0).normal(size=(3, 5))
    fitted = np.polynomial.polynomial.polyfit(eta, values.T, 2)[0]
    assert richardson(eta, values, terms=2).limits == pytest.approx(fitted, rel=1e-10)


FUNCTIONS: list[tuple[Callable[[np.ndarray], np.ndarray], float, int]] = [
    (lambda h: np.exp(-h), 1.0, 1),
    (lambda h: np.exp(-20 * h), 1.0, 1),
    (lambda h: np.log1p(h) / h, 1.0, 1),
    (lambda h: 1 / (1 + 5 * h), 1.0, 1),
    (lambda h: 2 / (2 - 3 * h), 1.0, 1),  # the plateau's finite-rate factor
    (lambda h: (1 - h**2) ** (1 / h**2), math.exp(-1), 2),
]


@pytest.mark.parametrize("case", range(len(FUNCTIONS)))
@pytest.mark.parametrize("terms", [2, 3])
def test_closed_form_remainder_is_honest(case: int, terms: int) -> None:
    function, limit, order = FUNCTIONS[case]
    result = richardson(RATES, function(RATES)[None], order=order, terms=terms)
    rounding = 100 * EPS * result.amplification
    assert abs(result.mean - limit) <= result.remainder + rounding
    assert result.remainder < abs(float(function(RATES)[-1]) - limit) + rounding  # better than no extrapolation


@pytest.mark.parametrize("order", [1, 2, 3])
def test_closed_form_order_of_a_power(order: int) -> None:
    fitted = observed_order(RATES, -3 * RATES[None] ** order)
    assert fitted.slope == pytest.approx(order, abs=1e-12)
    assert fitted.standard_error < 1e-12
    assert (fitted.rates, fitted.groups) == (4, 1)


def test_cross_library_regression_standard_error() -> None:
    errors = np.array([0.11, 0.047, 0.026, 0.012])
    slope, covariance = np.polyfit(np.log(RATES), np.log(errors), 1, cov=True)
    fitted = observed_order(RATES, errors[None])
    assert fitted.slope == pytest.approx(slope[0], rel=1e-10)
    assert fitted.standard_error == pytest.approx(math.sqrt(covariance[0, 0]), rel=1e-10)


def test_mutant_order_two_is_told_from_order_one() -> None:
    fitted = observed_order(RATES, (RATES**2 + 3 * RATES**3)[None])
    assert abs(fitted.slope - 1) > 5 * fitted.standard_error


def common_noise(generator: np.random.Generator, groups: int) -> np.ndarray:
    """Values 1 + η + noise, the noise nearly the same at all rates of a group."""
    shared, own = generator.normal(size=(groups, 1)), generator.normal(size=(groups, 4))
    return np.asarray(1 + RATES + 0.05 * shared + 0.0005 * own)


def test_property_jackknife_matches_the_scatter_of_repeated_experiments() -> None:
    generator = np.random.default_rng(1)
    fits = [observed_order(RATES, common_noise(generator, 64) * RATES) for _ in range(200)]
    slopes = np.array([fit.slope for fit in fits])
    claimed = math.sqrt(np.mean([fit.standard_error**2 for fit in fits]))
    # 200 slopes give their standard deviation to 1/√400 = 5%; 4 of those, and the jackknife's O(1/G) bias.
    assert claimed == pytest.approx(float(slopes.std(ddof=1)), rel=0.25)


def test_property_groups_carry_common_random_numbers() -> None:
    values = common_noise(np.random.default_rng(2), 400)
    result = richardson(RATES, values)
    independent = math.sqrt(float((result.weights**2) @ values.var(axis=0, ddof=1)) / 400)
    # Shared noise passes with weight Σw = 1; independent noise would be amplified by ‖w‖ = 4.1.
    assert result.standard_error == pytest.approx(0.05 / 20, rel=0.2)
    assert independent > 3 * result.standard_error
    assert abs(result.mean - 1) < 6 * result.standard_error
    assert result.remainder < 6 * result.remainder_standard_error  # the true one is 0: what is seen is noise


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
    for estimate in (observed_order, richardson):
        with pytest.raises(ValueError, match=message):
            estimate(rates, np.ones((2, 4)))


def test_error_values() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(group, 4\)"):
        richardson(RATES, np.ones(4))
    with pytest.raises(ValueError, match=r"expected shape \(group, 4\)"):
        richardson(RATES, np.ones((4, 3)))
    broken = np.ones((3, 4))
    broken[2, 1] = math.inf
    with pytest.raises(ValueError, match="got inf in group 2 at rate 1"):
        richardson(RATES, broken)
    with pytest.raises(ValueError, match="expected nonzero errors"):
        observed_order(RATES, np.zeros((1, 4)))


def test_error_order_and_terms() -> None:
    with pytest.raises(ValueError, match="expected order ≥ 1"):
        richardson(RATES, np.ones((1, 4)), order=0)
    for terms in (1, 4):
        with pytest.raises(ValueError, match="expected 2 ≤ terms ≤ 3 for 4 rates"):
            richardson(RATES, np.ones((1, 4)), terms=terms)


def test_error_standard_error_of_one_group() -> None:
    result = richardson(RATES, np.ones((1, 4)))
    with pytest.raises(ValueError, match="expected at least 2 groups"):
        _ = result.standard_error
    with pytest.raises(ValueError, match="expected at least 2 groups"):
        _ = result.remainder_standard_error
