"""Property and mutant tests of derivatives at a place."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation

s = sp.Symbol("s", real=True)
c = sp.Symbol("c", positive=True)
i = sp.Symbol("i", integer=True, positive=True)
f, g = (sp.Function(name, real=True) for name in "fg")


def at(expr: sp.Expr, place: sp.Expr = sp.S.Zero, order: int = 2) -> sp.Subs:
    return sp.Subs(sp.Derivative(expr, (s, order), evaluate=False), s, place)


def identity(left: sp.Expr, right: sp.Expr) -> None:
    Derivation("d").identity("step", sp.Eq(left, right, evaluate=False), "said so")


def test_property_chain_rule_under_a_linear_change_of_variables() -> None:
    for order in (1, 2, 3):
        identity(at(f(i, c * s), order=order), c**order * at(f(i, s), order=order))


@pytest.mark.parametrize("wrong", [c * at(f(i, s)), c**2 * at(f(i, s), c), c**2 * at(f(i + 1, s)), at(f(i, s))])
def test_mutant_chain_rule(wrong: sp.Expr) -> None:
    with pytest.raises(CheckFailedError, match="remainder"):
        identity(at(f(i, c * s)), wrong)


def test_property_an_equation_is_differentiated_only_if_it_holds_for_every_place() -> None:
    d = Derivation("d")
    d.assume("same", sp.Eq(g(i, s), f(i, c * s)), "for every s", for_every=(s,))
    d.identity("twice", sp.Eq(at(g(i, s)), c**2 * at(f(i, s))), "chain rule", given=("same",))
    one = Derivation("d")
    one.assume("same", sp.Eq(g(i, s), f(i, c * s)), "for one s")
    with pytest.raises(CheckFailedError, match="remainder"):
        one.identity("twice", sp.Eq(at(g(i, s)), c**2 * at(f(i, s))), "no chain rule", given=("same",))


def test_mutant_a_derivative_has_no_value_where_the_function_has_none() -> None:
    with pytest.raises(CheckFailedError, match="value"):
        identity(at(sp.log(s), sp.Integer(-1), 1), sp.Integer(-1))
    with pytest.raises(CheckFailedError, match="differentiable"):
        identity(at(sp.Abs(s) * s, order=2), sp.S.Zero)


@pytest.mark.parametrize(
    "value",
    [sp.Subs(f(i, s), s, 0), sp.Subs(sp.Derivative(f(i, c), c), c, 0), sp.Subs(sp.Derivative(f(i, s), s), i, 1)],
)
def test_property_only_derivatives_along_real_symbols_are_taken_at_a_place(value: sp.Subs) -> None:
    with pytest.raises(CheckFailedError, match="no derivative at a place"):
        identity(value, value + 0 * s + 1)
