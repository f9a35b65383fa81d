"""Closed form and error tests of formulas: predictions are right sides of checked steps, inside what was derived."""

from __future__ import annotations

import math

import pytest
import sympy as sp

from theory import Formula, Parameter, ParameterError
from theory.kernel import Derivation, Step, Terms, logistic, logistic_slope

x = sp.Symbol("x", real=True)
a = sp.Symbol("a", positive=True)
n = sp.Symbol("n", integer=True, positive=True)
y, z = sp.symbols("y z", real=True)


def derivation() -> Derivation:
    d = Derivation("test")
    d.define("y", sp.Eq(y, x * logistic_slope(x) + a), "a name")
    d.identity("value", sp.Eq(2 * y, 2 * a + 2 * x * logistic_slope(x)), "twice", given=("y",))
    d.inequality("bound", sp.Ge(z**2 + a - 2 * z + 1, a), "a square", Terms(((z - 1) ** 2,)))
    d.inequality("above", sp.Le(a, z**2 + a - 2 * z + 1), "turned round", Terms(((z - 1) ** 2,)))
    d.identity("rational", sp.Eq((a**2 - 1) / (a - 1), a + 1), "not at a = 1")
    d.identity("whole", sp.Eq((n + 1) ** 2 - n**2, 2 * n + 1), "odd numbers")
    d.series("series", sp.exp(x), x, 2, 1 + x, "Taylor")
    return d


D = derivation()
X = Parameter("x", x, "a real number")
A = Parameter("a", a, "a positive number", minimum=0, strict=True)
N = Parameter("n", n, "a count", minimum=1, step=1)


def test_closed_form_value_to_the_last_digit() -> None:
    formula = Formula(D["value"], (X, A), "twice y")
    slope = 1 / (2 + math.exp(1.5) + math.exp(-1.5))
    assert formula(x=1.5, a=0.25) == pytest.approx(0.5 + 3 * slope, rel=2 * 2.0**-52)
    assert formula(x=-40.0, a=0.25) == pytest.approx(0.5 - 80 * math.exp(-40), rel=2.0**-52)


def test_closed_form_text_values_are_read() -> None:
    assert Formula(D["whole"], (N,), "odd")(n="3") == 7.0  # type: ignore[arg-type]


def test_closed_form_lower_bound_and_latex() -> None:
    formula = Formula(D["bound"], (A,), "least value")
    assert formula(a=2.5) == 2.5
    assert formula.latex() == "a"


def test_closed_form_overflow_free_logistic() -> None:
    d = Derivation("sigmoid")
    d.identity("double", sp.Eq(logistic(x) * 2, 2 * sp.exp(x) / (1 + sp.exp(x))), "definition of σ")
    assert Formula(d["double"], (X,), "2σ")(x=2000.0) == 2.0


@pytest.mark.parametrize(
    ("parameter", "text", "domain"),
    [
        (X, "nan", "a finite real number"),
        (X, "inf", "a finite real number"),
        (X, "one", "a finite real number"),
        (A, "0", "a finite real number > 0"),
        (N, "0", "an integer ≥ 1"),
        (N, "1.5", "an integer ≥ 1"),
        (Parameter("T", n, "a length", minimum=4, step=2), "5", "one of the integers 4, 6, 8, …"),
    ],
)
def test_error_values_outside_the_domain(parameter: Parameter, text: str, domain: str) -> None:
    with pytest.raises(ParameterError, match="expected") as caught:
        parameter.parse(text)
    assert domain in str(caught.value)


@pytest.mark.parametrize(
    ("values", "problem"),
    [({"x": 1.0}, "missing parameter a"), ({"x": 1.0, "a": 1.0, "b": 2.0}, "unknown parameter b")],
)
def test_error_names_list_the_parameters(values: dict[str, float], problem: str) -> None:
    with pytest.raises(ParameterError, match=problem) as caught:
        Formula(D["value"], (X, A), "twice y")(**values)
    assert "x: a real number" in str(caught.value)


def test_error_value_at_which_nothing_was_derived() -> None:
    formula = Formula(D["rational"], (A,), "quotient")
    assert formula(a=3.0) == 4.0
    with pytest.raises(ParameterError, match="derived for"):
        formula(a=1.0)


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("a", a, "may be 0", minimum=0),
        Parameter("a", a, "may be negative"),
    ],
)
def test_error_domain_wider_than_the_assumptions(parameter: Parameter) -> None:
    with pytest.raises(ValueError, match="derived for positive"):
        Formula(D["bound"], (parameter,), "least value")


def test_error_real_parameter_for_an_integer_symbol() -> None:
    with pytest.raises(ValueError, match="derived for integer"):
        Formula(D["whole"], (Parameter("n", n, "any", minimum=1),), "odd")


def test_error_undeclared_symbol() -> None:
    with pytest.raises(ValueError, match="undeclared"):
        Formula(D["value"], (X,), "twice y")


def test_error_series_and_upper_bounds_are_no_predictions() -> None:
    with pytest.raises(ValueError, match="known up to"):
        Formula(D["series"], (X,), "exponential")
    with pytest.raises(ValueError, match="lower bound"):
        Formula(D["above"], (A,), "an upper bound")


def test_forged_step_is_no_source() -> None:
    class Looks:
        checked = True
        name = "looks"
        statement = sp.Eq(y, 1)

    for forged in (Looks(), object.__new__(Step), D["y"]):
        with pytest.raises(ValueError, match="checked step"):
            Formula(forged, (X,), "nothing")  # type: ignore[arg-type]
