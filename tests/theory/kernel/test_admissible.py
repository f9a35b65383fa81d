"""Points of the door: quantities take all values that premises and assumptions leave them, and no other."""

from collections.abc import Iterator
from fractions import Fraction as Q
from typing import Any

import pytest
import sympy as sp
from mpmath import iv

from theory.kernel.door.admissible import InadmissibleError, Point, satisfies
from theory.kernel.door.evaluate import evaluated, truth
from theory.kernel.door.setting import Setting
from theory.kernel.door.values import digits, negative, power
from theory.kernel.premises import Premise

x, y, z = sp.symbols("x y z", real=True)
a = sp.Symbol("a", positive=True)
j, m = sp.symbols("j m", integer=True, positive=True)
k = sp.Symbol("k", integer=True)
w = sp.IndexedBase("w", real=True)
f = sp.Function("f", real=True)
g = sp.Function("g", positive=True)


@pytest.fixture(autouse=True)
def _forty_digits() -> Iterator[None]:
    with digits():
        yield


def admitted(*premises: sp.Basic, kind: str = "hypothesis", slack: bool = True) -> Iterator[Point]:
    """The points among 40 attempts at which the premises hold."""
    said = [Premise(kind, str(premise), premise) for premise in premises]
    setting = Setting(sp.true, said, slack=slack)
    for attempt in range(40):
        point = Point(setting, attempt)
        try:
            point.admit()
            assert all(truth(premise, point, {}) for premise in premises)
            point.confirm(everywhere=True)
        except InadmissibleError:
            continue
        yield point


def values(what: sp.Expr, *premises: sp.Basic, **options: Any) -> set[Any]:
    return {evaluated(what, point, {}) for point in admitted(*premises, **options)}


@pytest.mark.parametrize(
    ("what", "premise", "expected"),
    [
        (z, sp.Eq(3 * z**2 + 2 * z - 8, 0), {Q(4, 3), -2}),
        (z, sp.Eq(z**2, 4), {2, -2}),
        (a, sp.Eq(a**2, 4), {2}),
        (z, sp.Eq(2 * z**2, 4 * z - 2), {1}),
        (x, sp.Eq(7 - 3 * x, 1), {2}),
        (x, sp.Contains(x, sp.FiniteSet(0, sp.Rational(1, 2))), {0, Q(1, 2)}),
        (x + y, sp.Contains(sp.Tuple(x, y), sp.FiniteSet(sp.Tuple(0, 1), sp.Tuple(2, 5))), {1, 7}),
        (2 * x + 3 * y, sp.Eq(2 * x + 3 * y, 7), {7}),
        (w[1] + w[2] + w[3], sp.Eq(sp.Sum(w[j], (j, 1, 3)), 1), {1}),
        (f(3), sp.Eq(f(j), 2), {2}),
        (f(x) + y, sp.Eq(f(x) + y, 7), {7}),
        (w[2] - w[5], sp.Eq(w[j], 4), {0}),
    ],
)
def test_closed_form_what_premises_determine(what: sp.Expr, premise: sp.Basic, expected: set[Any]) -> None:
    assert values(what, premise) == expected


@pytest.mark.parametrize(
    ("premise", "end", "reached"),
    [
        (sp.Ge(x, 3), 3, True), (sp.Gt(x, 3), 3, False), (sp.Le(x, 3), 3, True), (sp.Lt(x, 3), 3, False),
        (sp.Ge(2 * x + 1, 7), 3, True), (sp.Gt(7 - 2 * x, 1), 3, False), (sp.Ne(x, 3), 3, False),
        (sp.Ne(x, 0), 0, False),
    ],
)  # fmt: skip
def test_closed_form_inequalities_hold_and_their_ends_are_tried(premise: sp.Rel, end: int, reached: bool) -> None:
    found = values(x, premise)
    assert len(found) >= 5
    assert (end in found) is reached
    assert all(premise.subs(x, sp.Rational(v.numerator, v.denominator)) for v in found)


def test_closed_form_without_slack_inequalities_are_tested() -> None:
    assert values(x, sp.Ge(x, 1), slack=False) == {1, 2, 3, 4, 5, Q(5, 4), Q(7, 3)}
    assert not values(x, sp.Ge(x, 100), slack=False)
    assert values(x, sp.Ge(x, 100))


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        (m, {1, 2, 3, 4, 5}),
        (k, {0, 1, 2, 3, 4, 5, -1, -2}),
        (sp.Symbol("n", integer=True, nonnegative=True), {0, 1, 2, 3, 4, 5}),
        (sp.Symbol("e", even=True), {0, 2, 4, -2}),
        (a, {1, 2, 3, 4, 5, Q(1, 2), Q(1, 3), Q(5, 4), Q(7, 3), Q(3, 5)}),
        (sp.Symbol("b", negative=True), {-1, -2, Q(-1, 2), Q(-2, 3), Q(-3, 2)}),
    ],
)
def test_enumeration_what_a_quantity_may_be(symbol: sp.Symbol, expected: set[Any]) -> None:
    setting = Setting(sp.true, [], slack=True)
    drawn = [Point(setting, attempt).quantity(symbol, ()) for attempt in range(150)]
    assert set(drawn) == expected
    degenerate = {attempt: drawn[attempt] for attempt in (0, 1, 2, 3, 5, 7)}
    first, second = degenerate[0], degenerate[1]
    assert {first, second} == set(degenerate.values())
    assert first != second


@pytest.mark.parametrize("name", ["real", "positive", "negative", "nonnegative", "nonpositive", "nonzero", "zero"])
def test_cross_library_an_enclosure_has_what_sympy_says_of_the_number(name: str) -> None:
    root = power(2, Q(1, 2))
    for enclosure, number in ((root, sp.sqrt(2)), (negative(root), -sp.sqrt(2))):
        for wanted in (True, False):
            assert satisfies(enclosure, frozenset({(name, wanted)})) == (getattr(number, f"is_{name}") is wanted)
    assert satisfies(iv.mpf([-1, 1]), frozenset({(name, True)})) == (name == "real")


def test_closed_form_functions() -> None:
    points = list(admitted(sp.true))
    assert [evaluated(f(x), point, {x: 5}) for point in points[:2]] == [0, 1]
    for point in points:
        assert evaluated(g(x), point, {x: Q(1, 3)}) > 0
        here = [evaluated(f(x), point, {x: n}) for n in range(5)]  # a polynomial of degree 2 at most
        assert here[3] - 3 * here[2] + 3 * here[1] - here[0] == 0
    assert any(evaluated(sp.Derivative(f(x), (x, 2)), point, {x: 1}) != 0 for point in points)


def test_closed_form_definitions_are_followed_and_a_circle_is_refused() -> None:
    assert values(x - y**2 - 1, sp.Eq(x, y**2 + 1), kind="definition") == {0}
    moved = next(admitted(sp.Eq(x, y**2 + 1))).moved(y, 3)
    assert (moved.quantity(y, ()), moved.quantity(x, ())) == (3, 10)


def test_evidence_a_point_is_told_by_its_values() -> None:
    assert Point(Setting(sp.true, [], slack=True), 0).describe() == "every point"
    point = next(admitted(sp.Eq(x, 2), sp.Eq(w[j], 4)))
    evaluated(x + w[2], point, {})
    assert "x = 2" in point.describe()
    assert "w[2] = 4" in point.describe()
