"""The two evaluators, of the checkers and of the door, against sympy: the same expressions at the same numbers."""

from fractions import Fraction as Q
from typing import Any

import pytest
import sympy as sp
from mpmath import iv

from theory.kernel.analysis import truth as truth_by_cases
from theory.kernel.door import values
from theory.kernel.door.evaluate import NotAttackableError, evaluated, truth, whole
from theory.kernel.door.values import EXACT, OpenError, UndefinedHereError, digits, power
from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.points import Evaluator, UndefinedAtPointError, agree_at_random_points, meets_zero, sign

X, Y = sp.symbols("x y", real=True)
J, K = sp.symbols("j k", integer=True)
F = sp.Function("f")
AT = {X: Q(1, 2), Y: Q(3)}
HALF = sp.Rational(1, 2)


class World:
    """Numbers for symbols; w[i] is 10 i, f(t) is t²."""

    def __init__(self, at: dict[sp.Symbol, Any]) -> None:
        self.at, self.memo = at, dict[Any, Any]()

    def quantity(self, head: Any, places: tuple[Any, ...]) -> Any:
        return 10 * places[0] if places else self.at[head]

    def function(self, head: Any, arguments: tuple[Any, ...]) -> Any:
        return power(arguments[0], 2)

    def equal(self, left: Any, right: Any) -> bool | None:
        found: int | None = values.sign(values.add(left, values.negative(right)))
        return None if found is None else found == 0


def agrees(found: Any, expected: sp.Expr, width: float = 1e-30) -> bool:
    if isinstance(found, EXACT):
        return bool(sp.Rational(found.numerator, found.denominator) == expected)
    number = iv.mpf(str(sp.N(expected, 60)))  # right to 1e-60 of its size
    return bool(found.delta <= width and abs(found - number).b <= 1e-30 * max(1, abs(number).b))


BOTH = [
    X + Y, X - 2 * Y, X * Y / 7, X**3, X**-2, Y**X, (X * Y) ** sp.Rational(-5, 2), sp.sqrt(X / 2), sp.exp(X),
    sp.exp(-Y), sp.log(X), sp.Abs(X - Y), sp.Max(X, Y, 1), sp.Min(X, Y, 1), sp.Max(Y, X), sp.Min(Y, X), sp.floor(X * 5),
    sp.ceiling(X * 5), sp.floor(-X), sp.ceiling(-X), sp.KroneckerDelta(Y, 3), sp.KroneckerDelta(Y, 4), sp.pi * X,
    sp.E**Y, sp.Sum(J**2 * X, (J, 1, 4)), sp.Product(J + X, (J, 2, 4)), sp.Sum(J * K, (J, 1, K), (K, 1, 3)),
    sp.Sum(J, (J, 3, 3)), sp.Sum(sp.exp(J * X), (J, -1, 1)), 2 * X**1000, X**-3 + (X - Y) ** 5, (-Y) ** 3, (-Y) ** -4,
    X ** sp.sqrt(Y), sp.sqrt(Y) ** X, sp.sqrt(Y) ** sp.sqrt(X), sp.sqrt(Y - 3),
]  # fmt: skip


@pytest.mark.parametrize("expr", BOTH, ids=str)
def test_cross_library_both_evaluators(expr: sp.Expr) -> None:
    exact = expr.subs({X: HALF, Y: 3}).doit()
    assert agrees(Evaluator("any", AT)(expr), exact, 1e-60)
    with digits():
        assert agrees(evaluated(expr, World(AT), {}), exact)


@pytest.mark.parametrize("high", [0, -1, -5])
def test_both_evaluators_take_sums_over_nothing_for_nothing(high: int) -> None:
    for fold, nothing in ((sp.Sum(J + 7, (J, 1, high)), 0), (sp.Product(J + 7, (J, 1, high)), 1)):
        assert Evaluator("any")(fold) == nothing
        assert evaluated(fold, World({}), {}) == nothing


@pytest.mark.parametrize("number", [Q(-2, 3), Q(0), Q(3)])
def test_cross_library_logistic(number: Q) -> None:
    z = sp.exp(-sp.Rational(number.numerator, number.denominator))
    for function, exact in ((logistic, 1 / (1 + z)), (logistic_slope, z / (1 + z) ** 2)):
        assert agrees(Evaluator("any", {X: number})(function(X)), exact, 1e-60)
        with digits():
            assert agrees(evaluated(function(X), World({X: number}), {}), exact)


DOOR = [
    sp.sin(X), sp.cos(X), sp.tan(X), sp.sinh(X), sp.cosh(X), sp.tanh(X), sp.sign(X - Y), sp.sign(Y), sp.factorial(Y),
    sp.Heaviside(X), sp.Heaviside(X - Y), sp.Heaviside(X - HALF), sp.Derivative(X**3 * Y, (X, 2)), sp.factorial(0 * X),
    sp.Derivative(X**2 * Y**3, X, Y), sp.Derivative(sp.Abs(X - Y), X), sp.Derivative(sp.exp(2 * X), (X, 3)),
    sp.Subs(X**2 + Y, X, Y + 1), sp.Subs(sp.Derivative(sp.sin(X), X), X, 0), sp.Derivative(sp.Max(X, Y), X),
    sp.Piecewise((X, X > 1), (Y, True)), sp.Piecewise((X, X < 1), (Y, True)), sp.Derivative(sp.Max(X, Y), Y),
]  # fmt: skip


@pytest.mark.parametrize("expr", DOOR, ids=str)
def test_cross_library_the_door_alone(expr: sp.Expr) -> None:
    with digits():
        assert agrees(evaluated(expr, World(AT), {}), expr.doit().subs({X: HALF, Y: 3}).doit())


def test_closed_form_indexed_quantities_and_functions() -> None:
    w = sp.IndexedBase("w")
    assert evaluated(sp.Sum(w[J + 1], (J, 1, 3)), World({}), {}) == 10 * (2 + 3 + 4)
    assert evaluated(F(X), World(AT), {}) == Q(1, 4)
    assert evaluated(sp.Derivative(F(X), X), World(AT), {}) == 1
    assert evaluated(X + Y, World(AT), {X: 7}) == 10


@pytest.mark.parametrize(
    ("expr", "error"),
    [
        (1 / (Y - 3), UndefinedHereError),
        (sp.log(X - Y), UndefinedHereError),
        (sp.sqrt(X - Y), UndefinedHereError),
        (sp.factorial(X), UndefinedHereError),
        (sp.factorial(-Y), UndefinedHereError),
        (sp.Sum(J, (J, 1, X)), UndefinedHereError),
        (sp.Sum(J, (J, 1, 65)), OpenError),
        (sp.Piecewise((X, X > 1)), UndefinedHereError),
        (sp.Derivative(sp.Abs(Y - 3), Y), OpenError),
        (sp.Derivative(sp.floor(Y), Y), OpenError),
        (sp.floor(sp.exp(X)), OpenError),
        (sp.Derivative(F(X), F(X)), NotAttackableError),
        (sp.Integral(X, X), NotAttackableError),
    ],
    ids=str,
)
def test_error_no_value_at_the_door(expr: sp.Expr, error: type[Exception]) -> None:
    with digits(), pytest.raises(error):
        evaluated(expr, World(AT), {})


def test_most_terms_of_a_sum() -> None:
    assert evaluated(sp.Sum(J, (J, 1, 64)), World({}), {}) == 64 * 65 // 2


@pytest.mark.parametrize("value", [Q(1, 2), iv.mpf(1)])
def test_error_an_index_is_whole(value: Any) -> None:
    with pytest.raises(UndefinedHereError):
        whole(value)


S, T = sp.Gt(X, 0, evaluate=False), sp.Gt(X, 1, evaluate=False)  # true and false at ½


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (sp.true, True), (sp.false, False), (S, True), (T, False), (sp.Lt(X, 1), True), (sp.Lt(X, HALF), False),
        (sp.Le(X, HALF), True), (sp.Ge(X, HALF), True), (sp.Gt(X, HALF), False), (sp.Le(X, 0), False),
        (sp.Ge(X, 1), False),
        (sp.Eq(2 * X, 1), True), (sp.Eq(X, 1), False), (sp.Ne(2 * X, 1), False), (sp.Ne(X, 1), True),
        (sp.Not(S, evaluate=False), False), (sp.Not(T, evaluate=False), True),
        (sp.And(S, T, evaluate=False), False), (sp.Or(S, T, evaluate=False), True),
        (sp.And(S, S, evaluate=False), True),
        (sp.Implies(S, T, evaluate=False), False), (sp.Implies(T, S, evaluate=False), True),
        (sp.Contains(X, sp.FiniteSet(0, HALF), evaluate=False), True),
        (sp.Contains(X, sp.FiniteSet(0, 1), evaluate=False), False),
        (sp.Contains(sp.Tuple(X, Y), sp.FiniteSet(sp.Tuple(HALF, 3)), evaluate=False), True),
        (sp.Contains(sp.Tuple(X, Y), sp.FiniteSet(sp.Tuple(HALF, 2)), evaluate=False), False),
    ],
    ids=str,
)  # fmt: skip
def test_enumeration_truth(statement: sp.Basic, expected: bool) -> None:
    assert truth(statement, World(AT), {}) is expected
    if not isinstance(statement, sp.Contains):
        assert truth_by_cases(statement, Evaluator("any", AT)) is expected


@pytest.mark.parametrize("kind", [sp.Eq, sp.Ne, sp.Lt, sp.Le, sp.Gt, sp.Ge])
def test_enumeration_what_an_enclosure_leaves_open(kind: Any) -> None:
    wide = World({X: iv.mpf([0, 1])})
    undecided = kind(X, HALF, evaluate=False)
    assert truth(undecided, wide, {}) is None
    assert truth(sp.Not(undecided, evaluate=False), wide, {}) is None
    for sure, found in ((sp.Lt(X, 2), None), (sp.Gt(X, 2), False)):
        assert truth(sp.And(undecided, sure, evaluate=False), wide, {}) is found
    for sure, found in ((sp.Lt(X, 2), True), (sp.Gt(X, 2), None)):
        assert truth(sp.Or(undecided, sure, evaluate=False), wide, {}) is found
    with pytest.raises(OpenError):
        evaluated(sp.Piecewise((1, undecided), (2, True), evaluate=False), wide, {})


def test_error_what_is_no_relation_has_no_truth() -> None:
    with pytest.raises(NotAttackableError):
        truth(X, World(AT), {})


EQUAL = sp.log(2 * Y) - sp.log(Y), sp.log(2)
"""Two numbers, of which no enclosure shows which is larger."""


@pytest.mark.parametrize(
    "expr",
    [1 / (Y - 3), sp.log(Y - 3), sp.log(-Y), sp.sqrt(-Y), (3 - Y) ** (-HALF), sp.Max(*EQUAL), sp.Min(*EQUAL)],
    ids=str,
)
def test_error_no_value_at_a_point(expr: sp.Expr) -> None:
    with pytest.raises(UndefinedAtPointError):
        Evaluator("any", AT)(expr)


def test_closed_form_large_exponents_are_enclosed() -> None:
    for base, exponent in ((2, 1001), (-2, 1001), (-2, 1002), (3, -1001)):
        found, exact = Evaluator("any", {X: Q(base), Y: Q(exponent)})(X**Y), sp.Integer(base) ** exponent
        number = iv.mpf(str(sp.N(exact, 120)))
        assert abs((found - number) / number).b < 1e-90


DRAWS: list[tuple[dict[str, bool], float, float]] = [
    ({"integer": True}, -6, 6),
    ({"integer": True, "positive": True}, 1, 6),
    ({"integer": True, "nonnegative": True}, 0, 6),
    ({"even": True}, -12, 12),
    ({"odd": True}, -11, 13),
    ({"positive": True}, 1 / 31, 60 / 7),
    ({"nonnegative": True}, 1 / 31, 60 / 7),
    ({"negative": True}, -60 / 7, -1 / 31),
    ({"real": True}, -60 / 7, 60 / 7),
]


@pytest.mark.parametrize(("assumptions", "low", "high"), DRAWS, ids=str)
def test_property_points_respect_assumptions_and_fill_their_range(
    assumptions: dict[str, bool], low: float, high: float
) -> None:
    symbol = sp.Symbol("s", **assumptions)
    drawn = [Evaluator(f"{seed}").symbol(symbol) for seed in range(200)]
    assert low <= min(drawn)
    assert max(drawn) <= high
    for value in drawn:
        exact = sp.Rational(value.numerator, value.denominator)
        assert all(getattr(exact, f"is_{name}") for name in assumptions)
    if symbol.is_integer:
        assert min(drawn) == low
        assert max(drawn) == high
    else:
        assert len(set(drawn)) > 150
    assert Evaluator("7").symbol(symbol) == drawn[7]


def test_enumeration_zero_or_not() -> None:
    assert [meets_zero(v) for v in (Q(0), Q(1, 10**80), iv.mpf([1, 2]), iv.mpf([-2, -1]))] == [
        True,
        False,
        False,
        False,
    ]
    assert sign(iv.mpf([0, 1])) is None
    assert sign(iv.mpf([-1, 0])) is None
    assert meets_zero(iv.mpf([-1e-70, 1e-70]))
    with pytest.raises(CheckFailedError, match="leaves open"):
        meets_zero(iv.mpf([-1e-50, 1e-50]))


def test_agreement_counts_its_points() -> None:
    assert (
        agree_at_random_points((X + Y) ** 2, X**2 + 2 * X * Y + Y**2, points=3) == "equal at 3 random rational points"
    )
    with pytest.raises(CheckFailedError, match="the sides differ at x = "):
        agree_at_random_points(X, X + sp.Rational(1, 10**30))
    with pytest.raises(CheckFailedError, match="only 0 of 4 random points could be evaluated"):
        agree_at_random_points(sp.log(-sp.exp(X)), X)
