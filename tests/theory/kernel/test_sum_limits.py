"""Closed form and mutant tests of sums with shifted limits, and of rounding, in the two channels of the kernel."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp

from theory.kernel.normal_form import remainder
from theory.kernel.points import Evaluator, UndefinedAtPointError, agree_at_random_points

i = sp.Symbol("i", integer=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
d = sp.Symbol("d", integer=True, positive=True)
a = sp.IndexedBase("a", real=True)


def total(low: sp.Expr, high: sp.Expr) -> sp.Sum:
    return sp.Sum(a[i], (i, low, high))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (total(1, n + 1), total(1, n) + a[n + 1]),
        (total(3, n + 4), total(3, n + 2) + a[n + 3] + a[n + 4]),
        (total(1, n + 2), a[1] + a[2] + total(3, n + 2)),
        (total(1, 3), a[1] + a[2] + a[3]),
        (total(3, 2), sp.S.Zero),
        (sp.Sum(i * a[i], (i, 2, n + 1)), sp.Sum(i * a[i], (i, 1, n)) - a[1] + (n + 1) * a[n + 1]),
        (sp.Product(d + i, (i, 1, 3)), (d + 1) * (d + 2) * (d + 3)),
    ],
)
def test_closed_form_equal_sums_are_recognised_by_both_channels(left: sp.Expr, right: sp.Expr) -> None:
    assert remainder(left - right) == 0
    agree_at_random_points(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (total(1, n + 1), total(1, n) + a[n]),
        (total(1, n + 2), a[1] + total(3, n + 2)),
        (total(1, n), total(2, n + 1)),
        (total(3, d + 1), total(3, d) + a[d + 1]),
        (total(1, d), a[1] + a[2] + total(3, d)),
    ],
)
def test_mutant_unequal_or_undecided_sums_leave_a_remainder(left: sp.Expr, right: sp.Expr) -> None:
    assert remainder(left - right) != 0


def test_mutant_a_pole_outside_the_range_is_not_written_out() -> None:
    assert remainder(sp.Sum(1 / (i - 1), (i, 2, n + 1)) - sp.Sum(1 / (i - 1), (i, 2, n + 1))) == 0
    assert not remainder(sp.Sum(1 / (i - 1), (i, 2, n + 1))).has(sp.zoo, sp.nan)


def test_closed_form_rounding_of_rationals() -> None:
    at = Evaluator("rounding", {d: Fraction(7)})
    assert (at(sp.floor(d / 2)), at(sp.ceiling(d / 2))) == (3, 4)
    with pytest.raises(UndefinedAtPointError):
        at(sp.floor(sp.sqrt(d)))


def test_property_a_sum_is_never_handed_to_a_summation_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("sympy was asked for a closed form")

    monkeypatch.setattr(sp.Sum, "doit", refuse)
    q = sp.Symbol("q", positive=True)
    x = sp.Symbol("x", real=True)
    assert remainder(sp.Sum(q**i, (i, 1, n)) - sp.Sum(q**i, (i, 1, n)) + sp.Derivative(x**2, x) - 2 * x) == 0


def test_closed_form_double_sums_are_normal_forms_too() -> None:
    j, m = sp.symbols("j m", integer=True, positive=True)
    b = sp.IndexedBase("b", real=True)
    square = sp.Sum(b[i, j], (i, 1, m), (j, 1, n + 1))
    apart = sp.Sum(b[i, j], (i, 1, m), (j, 1, n)) + sp.Sum(b[i, n + 1], (i, 1, m))
    assert remainder(square - apart) == 0
    assert remainder(square - apart - b[1, 1]) != 0
    assert remainder(sp.Sum(a[i] * a[j], (i, 1, m), (j, 1, m)) - sp.Sum(a[i], (i, 1, m)) ** 2) == 0
