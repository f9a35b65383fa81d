"""Closed form and mutant tests of substitution, of hidden conditions, and of the normal form's soundness."""

from __future__ import annotations

from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.kernel import CheckFailedError
from theory.kernel.domain import check_sums, conditions
from theory.kernel.normal_form import remainder
from theory.kernel.points import Evaluator, agree_at_random_points
from theory.kernel.premises import Premise, check_values, is_generic, is_integer, is_real, undischarged
from theory.kernel.signs import Signs
from theory.kernel.substitution import bound_symbols, instantiated, rewritten

x, y, z, t = sp.symbols("x y z t", real=True)
a = sp.Symbol("a", positive=True)
i, j, m, d = sp.symbols("i j m d", integer=True, positive=True)
w, v = sp.IndexedBase("w", real=True), sp.IndexedBase("v", real=True)
f = sp.Function("f")


def everywhere(index: sp.Basic, statement: sp.Basic) -> bool:
    return True


def test_closed_form_rewriting_inside_and_outside_of_sums() -> None:
    total = sp.Sum(x * w[i], (i, 1, m))
    assert rewritten(total + x, {x: y}) == sp.Sum(y * w[i], (i, 1, m)) + y
    assert rewritten(total**2 + 1, {total: z}) == z**2 + 1
    assert rewritten(total, {m: sp.Integer(3)}) == sp.Sum(x * w[i], (i, 1, 3))
    assert rewritten(x**4, {x**2: sp.S.One}) == 1
    assert rewritten(x + 1, {sp.S.One: y}) == x + 1
    assert rewritten(x, {x: y, y: z}) == z


def test_mutant_rewriting_under_a_binder() -> None:
    total = sp.Sum(x * w[i], (i, 1, m))
    assert rewritten(total, {x: v[i]}) == total
    assert rewritten(total, {w[i]: v[i]}) == total
    assert rewritten(total, {w[i]: v[i]}, everywhere) == sp.Sum(x * v[i], (i, 1, m))
    slope = sp.Derivative(f(t), t)
    assert rewritten(slope + f(t), {f(t): t**2}) == slope + t**2
    assert rewritten(slope, {f(t): t**2}, everywhere).doit() == 2 * t
    limit = sp.Limit(x * t, t, 0)
    assert rewritten(limit, {x: 1 / t}, everywhere) == limit


def test_mutant_instances_capture_nothing() -> None:
    total = sp.Sum(x * w[i], (i, 1, m))
    assert bound_symbols(total + sp.Derivative(f(t), t)) == {i, t}
    assert instantiated(total, {x: y}) == sp.Sum(y * w[i], (i, 1, m))
    assert instantiated(total, {i: j}) == total
    for values in ({x: w[i]}, {m: i}):
        with pytest.raises(CheckFailedError, match="captured"):
            instantiated(total, values)
    with pytest.raises(CheckFailedError, match="captured"):
        instantiated(sp.Derivative(x * f(t), t), {x: t})
    with pytest.raises(CheckFailedError, match="only symbols"):
        instantiated(total, {w[1]: y})
    with pytest.raises(CheckFailedError, match="indexed quantity"):
        instantiated(total, {w.label: y})


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (sp.Eq(1 / (x - y), z), {sp.Ne(x - y, 0)}),
        (sp.Eq(1 / (1 + x**2), z), set()),
        (sp.Eq(1 / (a * x), z), {sp.Ne(x, 0)}),
        (sp.Eq(sp.sqrt(x), z), {sp.Ge(x, 0)}),
        (sp.Eq(1 / sp.sqrt(x), z), {sp.Gt(x, 0)}),
        (sp.Eq(sp.sqrt(a), z), set()),
        (sp.Eq(sp.log(x), z), {sp.Gt(x, 0)}),
        (sp.Eq(sp.log(abs(x)), z), {sp.Gt(abs(x), 0)}),
        (sp.Eq(sp.log(1 + sp.exp(x)), z), set()),
        (sp.Eq(sp.Sum(1 / w[i], (i, 1, m)), z), {sp.Ne(w[i], 0)}),
        (sp.Eq(sp.Sum(1 / (i + x), (i, 1, m)), z), {sp.Ne(sp.Product(i + x, (i, 1, m)), 0)}),
        (sp.Eq(sp.Sum(1 / i, (i, 1, m)), z), set()),
        (sp.Eq(sp.Limit(1 / x, x, 1), z), set()),
    ],
)
def test_closed_form_conditions(statement: sp.Basic, expected: set[sp.Basic]) -> None:
    assert {premise.statement for premise in conditions(statement, Signs())} == expected


def test_mutant_conditions_that_cannot_be_stated_or_met() -> None:
    with pytest.raises(CheckFailedError, match="not evident for every i"):
        conditions(sp.Eq(sp.Sum(sp.sqrt(x - i), (i, 1, m)), z), Signs())
    assert not conditions(sp.Eq(sp.sqrt(x - y), z), Signs([sp.Ge(x, y)]))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (sp.Eq(sp.Sum(w[i], (i, 0, m)), z), "starts at 0"),
        (sp.Eq(sp.Sum(w[i], (i, x, m)), z), "over integers"),
        (sp.Eq(sp.Sum(w[i], (i, 1, sp.oo)), z), "infinitely many"),
        (sp.Eq(x, 0.5), "exact"),
        (sp.Eq(sp.Symbol("c"), sp.I), "exact"),
    ],
)
def test_mutant_sums_and_numbers(statement: sp.Basic, message: str) -> None:
    with pytest.raises(CheckFailedError, match=message):
        check_sums(statement)


def test_closed_form_generic_indices() -> None:
    assert is_generic(j, sp.Ge(w[j] * v[j, i], 0))
    assert is_generic(j, sp.Eq(f(j, x), w[j]))
    assert not is_generic(j, sp.Eq(w[j], j))
    assert not is_generic(j, sp.Eq(j, 1))
    assert not is_generic(t, sp.Eq(f(t), 0))


def test_closed_form_integer_valued_polynomials() -> None:
    assert is_integer(d * (d - 1) / 2)
    assert is_integer((d**3 - d) / 6 + m)
    assert not is_integer(d * (d + 2) / 2)
    assert not is_integer(d / 2)
    assert not is_integer(x * (x - 1) / 2)


c, g = sp.Symbol("c"), sp.Function("g", real=True)


@pytest.mark.parametrize(
    "value",
    [
        x,
        sp.Sum(x * w[i], (i, 1, m)),
        sp.Derivative(g(x), x),
        sp.Subs(sp.Derivative(g(t), t), t, x),
        2 * x + g(c),
        x**-3,
    ],
)
def test_closed_form_evidently_real_values(value: sp.Expr) -> None:
    assert is_real(value)


@pytest.mark.parametrize(
    "value",
    [
        c, x + c, sp.I * x, sp.Sum(f(i), (i, 1, m)), sp.Sum(w[i], (i, 1, sp.oo)), sp.Derivative(f(x), x),
        sp.Derivative(g(c), c), sp.Subs(sp.Derivative(f(t), t), t, x), c**2, x**t,
    ],
)  # fmt: skip
def test_mutant_values_that_need_not_be_real(value: sp.Expr) -> None:
    assert not is_real(value)


def test_evidence_premises_mention_values_not_bound_names() -> None:
    rule = sp.Tuple(sp.Tuple(x, 0, x + y), sp.Tuple(m, 0, m + 1))
    premise = Premise("dynamics", "recurrence", sp.Tuple(rule, sp.Tuple(m)), (x,), frozenset({x, m}))
    assert premise.mentions == {x, y, m}
    assert Premise("hypothesis", "h", "in words").mentions == frozenset()


monomials = st.tuples(st.integers(-3, 3), st.integers(0, 3), st.integers(0, 2))
polynomials = st.lists(monomials, min_size=1, max_size=4).map(lambda terms: sum(c * x**p * a**q for c, p, q in terms))


@settings(max_examples=60, deadline=None)
@given(polynomials, polynomials, polynomials)
def test_property_the_normal_form_is_sound_and_complete_on_rational_functions(
    first: sp.Expr, second: sp.Expr, third: sp.Expr
) -> None:
    denominator = 1 + sp.sympify(third) ** 2 + sp.exp(x)
    left = (sp.sympify(first) + sp.sqrt(a)) ** 2 / denominator
    right = (sp.sympify(first) ** 2 + 2 * sp.sqrt(a) * first + a) / denominator
    assert remainder(left - right) == 0
    changed = right + sp.sympify(second) * sp.sqrt(a) / denominator
    equal = sp.expand(second) == 0
    assert (remainder(left - changed) == 0) == equal
    if equal:
        agree_at_random_points(left, changed)
    else:
        with pytest.raises(CheckFailedError, match="differ at"):
            agree_at_random_points(left, changed)


def test_mutant_a_symbol_with_the_name_of_a_canonical_index_is_not_captured() -> None:
    clash = sp.Symbol("i_0", integer=True)
    assert remainder(sp.Sum(w[j] * v[clash], (j, 1, m)) - sp.Sum(w[j] * v[j], (j, 1, m))) != 0
    assert remainder(sp.Sum(w[j, clash], (j, 1, m)) - sp.Sum(w[j, j], (j, 1, m))) != 0


def test_closed_form_large_powers_are_enclosed() -> None:
    near_one = Evaluator("power", {x: 1 - Fraction(1, 10**9), m: Fraction(10**9)})
    difference = near_one(x**m - sp.exp(-1))
    assert abs(float(difference.mid)) < 1e-9
    assert float(difference.delta) < 1e-60
    for exponent, sign in ((2001, -1), (2002, 1)):
        assert sign * float(Evaluator("sign", {x: Fraction(-11, 10), m: Fraction(exponent)})(x**m).mid) > 0


VALUES: list[tuple[dict[str, bool], list[sp.Expr], list[sp.Expr]]] = [
    ({"positive": True}, [a, a + x**2, sp.factorial(m), y], [x, x**2, sp.S.Zero, -a, sp.oo]),
    ({"extended_positive": True}, [a], [x]),
    ({"nonnegative": True}, [a, x**2, sp.cosh(x), y, sp.S.Zero], [x, -a, sp.oo]),
    ({"negative": True}, [-a, -sp.cosh(x), -y], [x, -(x**2), sp.S.Zero, a, -sp.oo]),
    ({"nonzero": True}, [a, -a, y], [x, x**2]),
    ({"real": True}, [x, a, sp.Sum(w[i], (i, 1, m))], [c, sp.I, -sp.oo]),
    ({"finite": True}, [x], [c, sp.oo]),
    ({"integer": True}, [m, d * (d - 1) / 2], [x, m / 2]),
    ({"even": True}, [2 * m], [m]),
    ({"negative": False}, [a, x**2, sp.S.Zero], [-a, x]),
    ({"positive": False}, [-a, -(x**2), sp.S.Zero], [a, x]),
    ({"integer": False}, [sp.Rational(1, 2)], [m, x]),
]


@pytest.mark.parametrize(("assumptions", "good", "bad"), VALUES, ids=str)
def test_closed_form_values_have_what_is_assumed_of_the_name(
    assumptions: dict[str, bool], good: list[sp.Expr], bad: list[sp.Expr]
) -> None:
    """Of y it is given that it is positive."""
    name, signs = sp.Symbol("s", **assumptions), Signs([sp.Gt(y, 0)])
    for value in good:
        check_values({name: value}, signs)
    for value in bad:
        with pytest.raises(CheckFailedError, match=r"s is .*, but .* is not evidently so"):
            check_values({name: value}, signs)


def test_mutant_a_value_for_what_a_premise_is_about_must_be_known_to_satisfy_it() -> None:
    definition = Premise("definition", "half", sp.Eq(x, y / 2), (x,))
    for half in (definition, Premise("hypothesis", "half", sp.Eq(x, y / 2))):
        with pytest.raises(CheckFailedError, match=r"'half' becomes .*, which is not given"):
            undischarged([half], {x: z}, [], Signs())
        assert undischarged([half], {x: z}, [sp.Eq(z, y / 2)], Signs()) == frozenset()
    assert [each.statement for each in undischarged([definition], {y: z}, [], Signs())] == [sp.Eq(x, z / 2)]
