"""Closed form and mutant tests of enumerations: numbers are put in without symbolic detours, bound variables kept."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError
from theory.kernel.analysis import check_cases

x, y = sp.symbols("x y", integer=True)
signs = [{x: sp.Integer(a), y: sp.Integer(b)} for a in (-1, 1) for b in (-1, 1)]


def test_closed_form_true_in_every_case() -> None:
    assert "4 cases" in check_cases(sp.Or(sp.Eq(x, y), sp.Eq(x, -y)), signs)
    assert "4 cases" in check_cases(sp.Eq(sp.Max(x, y) + sp.Min(x, y), x + y), signs)


def test_closed_form_a_summation_index_is_no_case() -> None:
    check_cases(sp.Eq(sp.Sum(x, (x, 1, 2 + y)), 1 + 5 * (y + 1) / 2), [{x: sp.Integer(5), y: sp.Integer(-1)}])
    check_cases(sp.Eq(sp.Sum(x * y, (x, 1, 3)), 6 * y), [{x: sp.Integer(5), y: sp.Integer(2)}])


@pytest.mark.parametrize(
    "statement",
    [
        sp.Eq(x, y),
        sp.Le(x, y),
        sp.Eq(sp.Max(x, y), x),
        sp.Eq(sp.Sum(x * y, (x, 1, 3)), 5 * y),
        sp.Eq(x, y + sp.Symbol("free")),
    ],
)
def test_mutant_false_or_undecided_in_one_case(statement: sp.Basic) -> None:
    with pytest.raises(CheckFailedError, match="is"):
        check_cases(statement, signs)


def test_mutant_a_function_without_values_stays_undecided() -> None:
    with pytest.raises(CheckFailedError, match=r"is Eq\(f\(-1\), 2\)"):
        check_cases(sp.Eq(sp.Function("f")(x), 2), signs)


def test_mutant_no_case_at_all_proves_nothing() -> None:
    with pytest.raises(CheckFailedError, match="no case at all"):
        check_cases(sp.Eq(x, y), [])
