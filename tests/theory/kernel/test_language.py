"""Mutants: statements outside of the language, undefined subterms, reversed sums, definitions that move."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
from sympy.stats import Normal

from theory.kernel import CheckFailedError, Derivation, Terms, logistic
from theory.kernel.language import rebuilt

x, y, z, t = sp.symbols("x y z t", real=True)
a, b = sp.symbols("a b", positive=True)
i, j, m = sp.symbols("i j m", integer=True, positive=True)
k = sp.Symbol("k", integer=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
w = sp.IndexedBase("w", real=True)
w_positive = sp.IndexedBase("w", positive=True)
f = sp.Function("f", real=True)
D = Derivation


class Sly(sp.Symbol):  # type: ignore[misc]
    """A symbol that says of itself what it likes."""

    is_positive = True


class SlyFunction(sp.Function):  # type: ignore[misc]
    """A function that vanishes at rational points, where the second channel looks."""

    nargs = 1

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """Return 0 at rational points."""
        return sp.S.Zero if x.is_Rational else None


class SlyNumber:
    """An object that becomes another number each time it is read."""

    read = 0

    def _sympy_(self) -> sp.Expr:
        self.read += 1
        return sp.Integer(self.read)


def says_yes(self: sp.Expr) -> bool:
    """Claim a property."""
    return True


def eq(left: sp.Expr, right: sp.Expr) -> sp.Equality:
    return sp.Eq(left, right, evaluate=False)


SQUARE_ROOTS = sp.Add(sp.Mul(sp.sqrt(2), sp.sqrt(2), evaluate=False), -2, evaluate=False)
"""√2·√2 − 2 = 0, as it is written."""
LOGARITHM = sp.log(1 - sp.sqrt(2), evaluate=False)
"""The logarithm of a negative number."""
NESTED_ROOTS = sp.sqrt(5 + 2 * sp.sqrt(6)) - sp.sqrt(2) - sp.sqrt(3)
"""√(5 + 2√6) − √2 − √3 = 0, which the normal form does not find."""
REVERSED = sp.Sum(-i, (i, 3, 1))
"""A sum over no terms, 0; sympy reads it as 2 > 0."""


def assume(statement: Any) -> Any:
    return Derivation("d").assume("h", statement, "said so")


def identity(left: sp.Expr, right: sp.Expr) -> Any:
    return Derivation("d").identity("i", eq(left, right), "said so")


def inequality(statement: sp.Rel, certificate: Any) -> Any:
    return Derivation("d").inequality("i", statement, "said so", certificate)


def define(value: sp.Expr) -> Any:
    return Derivation("d").define("y", eq(y, value), "said so")


def instance(values: Any) -> Any:
    """Put values into (x + 1)² − x² − 2x = 1, which hides them, and a + y² > 0."""
    d = Derivation("d")
    d.identity("s", sp.Eq((x + 1) ** 2 - x**2 - 2 * x, 1), "expand")
    d.inequality("p", sp.Gt(a + y**2, 0, evaluate=False), "a > 0", Terms((a, y**2)))
    return d.instance("i", "p" if a in values else "s", values, "said so")


def flow(right: sp.Expr, solution: sp.Expr, initial: sp.Expr = sp.S.Zero) -> Any:
    return Derivation("d").ode("f", t, "said so", system={x: right}, solution={x: solution}, initial={x: initial})


def recurrence(invariant: sp.Rel, initial: Any, update: Any, certificate: Any = None) -> Any:
    return Derivation("d").induction("i", invariant, "said so", initial=initial, update=update, certificate=certificate)


def limit(expr: sp.Expr, value: sp.Expr) -> Any:
    return Derivation("d").limit("l", expr, b, sp.S.Zero, value, "said so")


def without_conditions(step: Any) -> Any:
    """Return a step that shows no condition; one that shows its condition is no attack."""
    if shown := [premise.name for premise in step.premises if premise.kind == "condition"]:
        raise CheckFailedError(f"accepted under conditions: {shown}")
    return step


def reversed_hypothesis() -> Any:
    d = Derivation("d")
    total = sp.Sum(i, (i, 1, n - 4))
    d.assume("h", sp.Gt(total, 0), "assumed")
    d.inequality("s", sp.Gt(total + y**2, 0), "and a square", Terms((y**2,), {"h": sp.S.One}))
    return d.instance("i", "s", {n: sp.S.Zero}, "sympy's sum from 1 to −4 is 6")


def fact_about_one_index() -> Any:
    d = Derivation("d")
    d.assume("here", sp.Ne(w[j] - j, 0), "for one j")
    one = 1 / (w[j] - j)
    return d.identity("i", eq(sp.Sum(x * one, (j, 1, m)), x * sp.Sum(one, (j, 1, m))), "x comes out", given=("here",))


def cycle(*, through_a_name: bool) -> Any:
    source, user = Derivation("source"), Derivation("user")
    source.define("x", sp.Eq(x, y + 1), "x")
    source.define("z", sp.Eq(z, x), "z")
    source.identity("s", sp.Eq(f(x), f(y + 1)), "by definition", given=("x",))
    source.identity("r", sp.Eq(f(z), f(y + 1)), "by definition", given=("z", "x"))
    user.define("y", sp.Eq(y, z if through_a_name else x), "y is x")
    user.lemma("s", source, "r" if through_a_name else "s")
    return user.identity(
        "i", eq(f(z if through_a_name else x) + y, f(y + 1) + (z if through_a_name else x)), "said so", given=("s", "y")
    )


def instance_into_itself() -> Any:
    d = Derivation("d")
    d.define("x", sp.Eq(x, y**2), "x")
    d.identity("s", sp.Eq(2 * x, 2 * y**2), "twice", given=("x",))
    return d.instance("i", "s", {y: x}, "x = x²")


def instance_at_a_bound_variable() -> Any:
    d = Derivation("d")
    d.limit("l", (1 + b) ** 2, b, sp.S.Zero, sp.S.One, "continuous")
    return d.instance("i", "l", {b: a + 1}, "b is bound")


def enumerated(about: str) -> Any:
    d = Derivation("d")
    d.enumeration("cases", sp.Eq(y, x**2), "squares", [{x: e, y: e**2} for e in (0, 1)])
    if about == "limit":
        return d.limit("l", y + x, x, sp.S.Zero, y, "as if y were constant")
    return d.limit("l", y + x, x, sp.S.Zero, sp.S.Zero, "by two cases", given=("cases",))


def second(statement: sp.Rel) -> Any:
    d = Derivation("d")
    d.assume("one", sp.Ge(f(x) + w[1], x), "said so")
    return d.assume("other", statement, "said so")


def sum_over(index: sp.Symbol, low: Any = 1, high: Any = m) -> Any:
    return assume(sp.Ge(sp.Sum(w[index], (index, low, high)), y))


A = sp.Symbol("A", commutative=False)
q = sp.Symbol("q", integer=True, nonzero=True)
LANGUAGE: dict[str, tuple[str, Callable[[], Any]]] = {
    "subclass of Symbol": ("of type .*Sly", lambda: inequality(sp.Gt(Sly("s"), 0, evaluate=False), Terms((Sly("s"),)))),
    "subclass of Function": ("of type .*SlyFunction", lambda: identity(SlyFunction(x) + y, y + SlyFunction(x + 0 * y))),
    "float in a hypothesis": ("Float", lambda: assume(sp.Gt(x, 0.1))),
    "float as a value": ("float", lambda: instance({x: 0.5})),
    "float in a certificate": ("Float", lambda: inequality(sp.Ge(x**2, 0, evaluate=False), Terms((1.0 * x**2,)))),
    "object that becomes a number": ("SlyNumber", lambda: instance({x: SlyNumber()})),
    "fraction of Python": ("Fraction", lambda: instance({x: Fraction(1, 2)})),
    "text as a value": ("str", lambda: instance({x: "y + 1"})),
    "infinity in a hypothesis": ("Infinity", lambda: assume(sp.Lt(x, sp.oo, evaluate=False))),
    "infinite symbol": ("extended_positive", lambda: assume(sp.Ge(sp.Symbol("u", extended_positive=True), y))),
    "non-commutative symbol": ("commutative", lambda: identity(A * x + x, x * (A + 1))),
    "dummy": ("Dummy", lambda: assume(sp.Ge(sp.Dummy("x", real=True), 0))),
    "dummy as an index": ("no symbol", lambda: sum_over(sp.Dummy("j", integer=True))),
    "matrix": ("MatrixSymbol", lambda: assume(eq(sp.MatrixSymbol("A", 2, 2), sp.MatrixSymbol("B", 2, 2)))),
    "Piecewise": ("Piecewise", lambda: assume(eq(sp.Piecewise((x, x > 0), (1 / x, True)), y))),
    "Heaviside": ("Heaviside", lambda: assume(eq(sp.Heaviside(x), 1))),
    "random symbol": ("RandomSymbol", lambda: assume(sp.Ge(Normal("X", 0, 1), 0))),
    "limit as a hypothesis": ("Limit", lambda: assume(eq(sp.Limit(1 / x, x, 0), 0))),
    "order as a hypothesis": ("Order", lambda: assume(eq(x, sp.Order(x)))),
    "integral": ("Integral", lambda: assume(eq(sp.Integral(1 / x, (x, -1, 1)), 0))),
    "imaginary unit": ("ImaginaryUnit", lambda: assume(eq(sp.exp(sp.I * x), y))),
    "relation as a value": ("no value", lambda: assume(eq(sp.Ge(x, 0), sp.Ge(y, 0)))),
    "value as a statement": ("expected a relation", lambda: assume(x)),
    "value in a conjunction": ("no relation", lambda: assume(sp.And(sp.Ge(x, 0), sp.Symbol("p")))),
    "folded statement": ("folded", lambda: assume(sp.Eq(sp.S.One, 2))),
    "name like a sum": ("named like", lambda: assume(sp.Ge(sp.Symbol("x + y", real=True), 0))),
    "name like an indexed quantity": ("named like", lambda: assume(sp.Ge(sp.Symbol("w[1]", real=True), w[1]))),
    "assumed not to be real": ("does not know: real", lambda: assume(eq(sp.Symbol("u", real=False), 0))),
    "function with a method": ("of its own", lambda: assume(eq(sp.Function("g", _eval_is_real=says_yes)(x), 0))),
    "array of fixed shape": ("fixed shape", lambda: assume(sp.Ge(sp.IndexedBase("v", shape=(2,))[5], 0))),
    "certificate of another kind": ("SlyNumber", lambda: inequality(sp.Ge(x, y), SlyNumber())),
    "malformed sum": ("no expression", lambda: assume(eq(sp.Basic.__new__(sp.Sum, x), y))),
}  # fmt: skip
INDICES: dict[str, tuple[str, Callable[[], Any]]] = {
    "real index": ("integer=True", lambda: sum_over(sp.Symbol("r", real=True))),
    "index that is not 0, through 0": ("outside of what", lambda: sum_over(q, -1, 1)),
    "even index": ("outside of what", lambda: sum_over(sp.Symbol("e", even=True))),
    "end that is real": ("over integers", lambda: sum_over(i, 1, x)),
    "end that is its own index": ("over integers", lambda: sum_over(i, 1, i)),
    "index bound twice": ("index twice", lambda: assume(sp.Ge(sp.Sum(w[i], (i, 1, m), (i, 1, m)), y))),
    "reversed sum": ("write 0", lambda: identity(-REVERSED + y, y - 2)),
    "reversed product": ("write 0", lambda: identity(y * sp.Product(i, (i, 3, 1)), y / 2)),
    "symbolic reversed sum": ("write 0", lambda: sum_over(i, m + 3, m)),
    "reversed sum as a positive value": ("write 0", lambda: instance({a: REVERSED})),
    "reversed sum inside a sum": ("write 0", lambda: instance({a: sp.Sum(sp.Sum(-k, (k, j, 1)), (j, 3, 3))})),
    "reversed sum discharges a hypothesis": ("write 0", reversed_hypothesis),
    "symbolic product by sympy's convention": (
        "remainder",
        lambda: identity(sp.Product(i, (i, 3, m)), sp.Product(i, (i, 1, m)) / 2),
    ),
    "limit of a sum with the variable": (
        "varies with b",
        lambda: limit(sp.Sum(b**i, (i, 3, m)), sp.S.Zero),
    ),
    "invariant true by a reversed sum": (
        "write 0",
        lambda: recurrence(sp.Gt(sp.Sum(i, (i, 1, k)), 0), {k: -4}, {k: k + 1}, Terms((), {"previous": sp.S.One})),
    ),
}  # fmt: skip
UNDEFINED: dict[str, tuple[str, Callable[[], Any]]] = {
    "denominator of roots": ("no value", lambda: define(1 / SQUARE_ROOTS)),
    "denominator of nested roots": ("not decided", lambda: define(1 / NESTED_ROOTS)),
    "0 to the power −1": ("no value", lambda: define(sp.Pow(sp.Add(1, -1, evaluate=False), -1, evaluate=False))),
    "0 to the power 0": ("no value", lambda: assume(eq(sp.Pow(0, 0, evaluate=False), y))),
    "0 to an unknown power": ("no value", lambda: assume(eq(sp.Pow(0, k, evaluate=False), y))),
    "cube root of −8": ("no value", lambda: assume(eq(sp.Pow(-8, sp.Rational(1, 3), evaluate=False), y))),
    "real power of −2": ("no value", lambda: assume(eq((-2) ** x, y))),
    "logarithm of 0": ("no value", lambda: assume(eq(sp.log(SQUARE_ROOTS, evaluate=False), y))),
    "logarithm of 1 − √2": ("no value", lambda: assume(eq(sp.log(1 - sp.sqrt(2), evaluate=False), y))),
    "logarithm of what has no value": (
        "has no value",
        lambda: assume(eq(sp.log(sp.Pow(SQUARE_ROOTS, -2, evaluate=False), evaluate=False), y)),
    ),
    "inside a sum": ("no value", lambda: assume(eq(sp.Sum(w[i] / SQUARE_ROOTS, (i, 1, m)), y))),
    "one term of a sum": ("has no value", lambda: define(sp.Sum(1 / (i - 2), (i, 1, 3)))),
    "a fact about one index": ("'here' is not used", fact_about_one_index),
    "update": ("not evident at every step", lambda: recurrence(eq(y, 0), {n: 0, y: 0}, {n: n + 1, y: y / (n - 3)})),
    "certificate of an update": (
        "not evident at every step",
        lambda: recurrence(
            sp.Ge(n**2, n),
            {n: 0},
            {n: n + 1},
            Terms((2 * n + 1 / (n - 3), -1 / (n - 3)), {"previous": sp.S.One}),
        ),
    ),
    "initial value": (
        "under conditions",
        lambda: without_conditions(recurrence(eq(y * x, 1), {n: 0, y: 1 / x}, {n: n + 1, y: y})),
    ),
    "right side at time 0": ("is false for", lambda: flow(x / t, y * t)),
    "right side at the start": ("is false for", lambda: flow(1 + sp.Mul(x**2, 1 / x, evaluate=False) - x, t)),
    "right side at the start, in symbols": (
        "under conditions",
        lambda: without_conditions(flow(sp.Mul(x**2, 1 / x, evaluate=False), y * sp.exp(t), y)),
    ),
    "right side that jumps": ("jumps in t", lambda: flow(1 + (x - t) * sp.floor(t), t)),
    "derivative of an absolute value": ("differentiable", lambda: assume(eq(sp.Derivative(sp.Abs(x), x), y))),
    "derivative of a root": (
        "under conditions",
        lambda: without_conditions(assume(eq(sp.Derivative(sp.sqrt(x**2 + y), x), 0))),
    ),
    "derivative along an integer": ("along an integer", lambda: assume(eq(sp.Derivative(f(n), n), y))),
    "inside a limit": ("no value", lambda: limit(sp.Mul(b, sp.Pow(0, 0, evaluate=False), evaluate=False), sp.S.Zero)),
    "what has no value near a point": ("cannot be decided", lambda: limit(b * LOGARITHM, sp.S.Zero)),
    "parameter inside a limit": ("under conditions", lambda: without_conditions(limit(b * (x / y), sp.S.Zero))),
    "near the point of a limit": ("not evident for b near", lambda: limit(b**9 / (sp.exp(b**5) - 1), sp.S.Zero)),
    "value of an instance": ("under conditions", lambda: without_conditions(instance({x: z / (y - z)}))),
}  # fmt: skip
MEANINGS: dict[str, tuple[str, Callable[[], Any]]] = {
    "circle through a lemma": ("round in a circle", lambda: cycle(through_a_name=False)),
    "circle of three": ("round in a circle", lambda: cycle(through_a_name=True)),
    "symbol defined by itself": ("round in a circle", instance_into_itself),
    "instance at a bound variable": ("is bound in", instance_at_a_bound_variable),
    "limit of what an enumeration ties": ("may depend on x", lambda: enumerated("limit")),
    "limit by an enumeration": ("rests on the condition", lambda: enumerated("given")),
    "two symbols of one name": ("two things", lambda: second(sp.Gt(sp.Symbol("x", positive=True), y))),
    "two indexed quantities of one name": ("two things", lambda: second(sp.Ge(w_positive[1], y))),
    "two functions of one name": ("two things", lambda: second(sp.Ge(f(x, y), y))),
    "a real and another function of one name": ("two things", lambda: second(eq(sp.Function("f")(x), y))),
}  # fmt: skip
ATTACKS = {"language": LANGUAGE, "indices": INDICES, "definedness": UNDEFINED, "meanings": MEANINGS}
CASES = [(kind, name) for kind, attacks in ATTACKS.items() for name in attacks]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_mutant_attacks_are_refused_for_what_they_are(kind: str, name: str) -> None:
    reason, attack = ATTACKS[kind][name]
    with pytest.raises(CheckFailedError, match=reason):
        attack()


@pytest.mark.parametrize(
    "statement",
    [
        sp.Eq(sp.Sum(w[i] ** 2 / a, (i, 1, m)), sp.Rational(-7, 3) * sp.sqrt(a) + sp.pi * sp.E),
        sp.Ne(sp.Max(x, 0) + sp.Min(y, sp.floor(x), sp.ceiling(y)) + sp.Abs(x), sp.log(a) + sp.exp(-x)),
        sp.Implies(sp.Ge(x, 0), sp.And(sp.Gt(y, x), sp.Or(sp.Lt(x, 1), sp.Not(sp.Eq(x, y))))),
        sp.Le(sp.Derivative(f(x, t), x, (t, 2)), logistic(x) * sp.KroneckerDelta(i, j)),
        sp.Eq(x + x, 2 * x, evaluate=False),
        sp.Eq(sp.Product(f(i), (i, 1, m)), logistic(x) + sp.exp(2 * x)),
    ],
)
def test_property_what_is_rebuilt_is_equal_and_says_the_same(statement: sp.Basic) -> None:
    assert rebuilt(statement) == statement
    assert sp.srepr(rebuilt(statement)) == sp.srepr(statement)


def test_property_what_was_handed_over_may_change_afterwards() -> None:
    d = Derivation("d")
    cases = [{x: sp.Integer(value)} for value in (-1, 1)]
    values: dict[sp.Symbol, sp.Expr] = {x: y}
    d.enumeration("signs", sp.Eq(x**2, 1), "both", cases)
    d.identity("s", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    d.instance("i", "s", values, "at y")
    cases.append({x: sp.Integer(5)})
    values[x] = z
    assert d["i"].values == ((x, y),)
    assert len(next(iter(d["signs"].premises)).statement.args[1]) == 2


def test_evidence_an_instance_shows_what_becomes_of_a_definition() -> None:
    d = Derivation("d")
    d.define("x", sp.Eq(x, y + 1), "x")
    d.identity("s", sp.Eq(2 * x, 2 * y + 2), "twice", given=("x",))
    assert d.instance("i", "s", {y: sp.Integer(3)}, "at 3").evidence.startswith("s with y → 3, where now x = 4")


def test_evidence_a_sum_over_no_terms_is_nothing_whatever_its_limits() -> None:
    d = Derivation("d")
    total, one = sp.Sum(w[i], (i, 3, m)), sp.Product(f(i), (i, 1, 2))
    d.identity("product", sp.Eq(one, f(1) * f(2)), "written out")
    d.limit("constant", total * (1 + b), b, sp.S.Zero, total, "the sum does not depend on b")
    d.limit("quotient", b / (sp.exp(b) - 1), b, sp.S.Zero, sp.S.One, "a denominator that vanishes at 0 alone")
    assert all(step.checked for step in d.steps)
