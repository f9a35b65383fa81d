"""Series and limits: each of the two channels refuses what the other lets through."""

import pytest
import sympy as sp

from theory.kernel.analysis import check_limit, check_series
from theory.kernel.failure import CheckFailedError

x = sp.Symbol("x", real=True)
SMALL = sp.Rational(1, 10**15)


def test_mutant_a_coefficient_that_is_nearly_right_is_refused_exactly() -> None:
    assert "coefficients 0…1 agree" in check_series(sp.exp(x), x, 2, 1 + x)
    # At x = 1e-20 an error of 1e-15 x looks like 1e5 x²: only the coefficients tell.
    with pytest.raises(CheckFailedError, match=r"the coefficient of x\^1 in exp\(x\) leaves the remainder"):
        check_series(sp.exp(x), x, 2, 1 + x + SMALL * x)
    with pytest.raises(CheckFailedError, match="no polynomial in x of degree below 2"):
        check_series(sp.exp(x), x, 2, 1 + x + x**2 / 2)
    with pytest.raises(CheckFailedError, match="not smooth at x = 0: derivative 3"):
        check_series(1 + x ** sp.Rational(5, 2), x, 3, sp.Integer(1))


def test_mutant_a_limit_that_is_nearly_right_is_refused_exactly() -> None:
    assert "approach it at 6 random points" in check_limit(x**2 / (x + x**2), x, sp.S.Zero, sp.S.Zero)
    with pytest.raises(CheckFailedError):
        check_limit(x, x, sp.S.Zero, sp.Rational(1, 10**40))
