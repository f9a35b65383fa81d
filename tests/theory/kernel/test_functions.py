"""The logistic function and its slope: values, derivatives, what sympy may conclude of them."""

import sympy as sp

from theory.kernel import logistic, logistic_slope

x = sp.Symbol("x", real=True)
free = sp.Symbol("c")


def test_closed_form_special_values_and_derivatives() -> None:
    assert (logistic(sp.S.Zero), logistic_slope(sp.S.Zero)) == (sp.Rational(1, 2), sp.Rational(1, 4))
    assert logistic_slope(-x) == logistic_slope(x)
    assert logistic(-x) != logistic(x)
    for function in (logistic, logistic_slope):
        exact = function(x).rewrite(sp.exp)
        assert sp.simplify(function(x).diff(x).rewrite(sp.exp) - exact.diff(x)) == 0
        assert abs(sp.N(function(sp.Rational(7, 3)), 40) - sp.N(exact.subs(x, sp.Rational(7, 3)), 40)) < 1e-35
    assert sp.simplify(logistic(x).rewrite(sp.exp) - 1 / (1 + sp.exp(-x))) == 0
    assert sp.simplify(logistic_slope(x).rewrite(sp.exp) - logistic(x).rewrite(sp.exp).diff(x)) == 0


def test_enumeration_what_is_known_of_them() -> None:
    for function in (logistic, logistic_slope):
        assert (function(x).is_positive, function(x).is_real) == (True, True)
        assert (function(free).is_positive, function(free).is_real) == (None, None)
    assert sp.latex(logistic(x)) == r"\sigma\left(x\right)"
    assert sp.latex(logistic_slope(x) ** 2) == r"\sigma'^{2}\left(x\right)"
