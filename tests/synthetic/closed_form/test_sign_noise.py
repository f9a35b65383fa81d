"""The noise probability and its entropy against multiple-precision arithmetic."""

import math
from fractions import Fraction

import mpmath
import pytest
import torch

from synthetic.closed_form.sign_noise import check_alpha, sigmoid_exact, sign_entropy
from synthetic.enumeration import log_fraction

ALPHAS = [0.0, 1e-9, 0.3, 1.5, 7, 36.0, 40.0, 300.0, 700.0]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_exact_sigmoid_has_fifty_digits_and_sums_to_one(alpha: float, sign: int) -> None:
    with mpmath.workdps(400):
        expected = 1 / (1 + mpmath.exp(-sign * mpmath.mpf(alpha)))
        got = sigmoid_exact(sign * alpha)
        assert abs(mpmath.mpf(got.numerator) / got.denominator / expected - 1) < mpmath.mpf(10) ** -50
    assert sigmoid_exact(alpha) + sigmoid_exact(-alpha) == 1


@pytest.mark.parametrize("alpha", ALPHAS)
def test_entropy_of_a_sign(alpha: float) -> None:
    with mpmath.workdps(700):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(alpha)))
        expected = float(-p * mpmath.log(p) - (1 - p) * mpmath.log(1 - p))
    # exp carries |α| · eps from its argument's rounding and one unit each for the rest.
    assert sign_entropy(alpha) == pytest.approx(expected, rel=8 * 2**-53, abs=2.3e-308)
    assert sign_entropy(-alpha) == sign_entropy(alpha)


@pytest.mark.parametrize(
    "value", [Fraction(1, 3), Fraction(2, 3), 1 - Fraction(1, 10**40), Fraction(7, 10**500), Fraction(1)]
)
def test_log_of_a_fraction(value: Fraction) -> None:
    with mpmath.workdps(600):
        expected = mpmath.log(mpmath.mpf(value.numerator) / value.denominator)
        # Relative to max(1, |log|) below one half, relative to |log| above.
        scale = max(1.0, abs(float(expected))) if value < Fraction(1, 2) else abs(float(expected))
        assert abs(log_fraction(value) - float(expected)) <= 4 * torch.finfo(torch.float64).eps * scale


def test_log_of_zero() -> None:
    assert log_fraction(Fraction(0)) == -math.inf


@pytest.mark.parametrize("alpha", [math.inf, -math.inf, math.nan])
def test_non_finite_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"finite noise parameter alpha, got {alpha}; a sign is kept"):
        check_alpha(alpha)
