"""Mutants: statements outside of the language, undefined subterms, reversed sums, definitions that move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation, RootIsolation, Terms, Termwise, logistic

x, y, z, t = sp.symbols("x y z t", real=True)
a, b = sp.symbols("a b", positive=True)
i, j, m = sp.symbols("i j m", integer=True, positive=True)
k = sp.Symbol("k", integer=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
w = sp.IndexedBase("w", real=True)
f = sp.Function("f", real=True)
D = Derivation


class Sly(sp.Symbol):  # type: ignore[misc]
    """A symbol that says of itself what it likes."""

    is_positive = True
    is_nonnegative = True


class SlyFunction(sp.Function):  # type: ignore[misc]
    """A function that is equal to 0 or positive, as it is asked."""

    nargs = 1
    is_positive = True

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """Vanish at rational points, where the second channel looks."""
        return sp.S.Zero if x.is_Rational else None


class SlyNumber:
    """An object that becomes another number each time it is read."""

    def __init__(self) -> None:
        self.read = 0

    def _sympy_(self) -> sp.Expr:
        self.read += 1
        return sp.Integer(self.read)


def unevaluated_zero() -> sp.Expr:
    """√2·√2 − 2, which sympy does not see to be 0."""
    return sp.Add(sp.Mul(sp.sqrt(2), sp.sqrt(2), evaluate=False), -2, evaluate=False)


def zero_of_radicals() -> sp.Expr:
    """√(5 + 2√6) − √2 − √3 = 0."""
    return sp.sqrt(5 + 2 * sp.sqrt(6)) - sp.sqrt(2) - sp.sqrt(3)


def identity(lhs: sp.Expr, rhs: sp.Expr) -> Any:
    return D("d").identity("i", sp.Eq(lhs, rhs, evaluate=False), "said so")


def inequality(statement: sp.Rel, *terms: sp.Expr) -> Any:
    return D("d").inequality("i", statement, "said so", Terms(terms))


def assume(statement: Any) -> Any:
    return D("d").assume("h", statement, "said so")


def definition(value: sp.Expr) -> Any:
    return D("d").define("y", sp.Eq(y, value, evaluate=False), "said so")


def cycle_through_a_lemma(first: bool) -> Any:
    source = D("source")
    source.define("x", sp.Eq(x, y + 1), "x")
    source.identity("s", sp.Eq(2 * x, 2 * y + 2), "twice", given=("x",))
    user = D("user")
    if first:
        user.define("y", sp.Eq(y, x), "y is x")
        user.lemma("s", source, "s")
    else:
        user.lemma("s", source, "s")
        user.define("y", sp.Eq(y, x), "y is x")
    return user.identity("i", sp.Eq(2 * x, 2 * x + 2, evaluate=False), "x = x + 1", given=("s", "y"))


def hidden_cycle() -> Any:
    source = D("source")
    source.define("x", sp.Eq(x, y + 1), "x")
    source.define("z", sp.Eq(z, x), "z")
    source.identity("s", sp.Eq(2 * z, 2 * x), "twice", given=("z",))
    source.identity("r", sp.Eq(3 * z, 3 * y + 3), "twice", given=("z", "x"))
    user = D("user")
    user.define("y", sp.Eq(y, z), "y is z")
    user.lemma("r", source, "r")
    return user.identity("i", sp.Eq(3 * z, 3 * z + 3, evaluate=False), "z = z + 1", given=("r", "y"))


def instance_into_itself() -> Any:
    d = D("d")
    d.define("x", sp.Eq(x, y**2), "x")
    d.identity("s", sp.Eq(2 * x, 2 * y**2), "twice", given=("x",))
    return d.instance("i", "s", {y: x}, "x = x²")


def fact_about_a_free_index() -> Any:
    d = D("d")
    d.assume("here", sp.Ne(w[j] * 1 - j, 0), "for this j")
    total = sp.Sum((w[j] - j) / (w[j] - j) ** 1 + y / (w[j] - j), (j, 1, m))
    return d.identity("i", sp.Eq(2 * total, total + total.func(*total.args), evaluate=False), "twice", given=("here",))


def _free(step: Any) -> bool:
    return not [p for p in step.premises if p.kind == "condition"]


def flow(right: sp.Expr, solution: sp.Expr, initial: sp.Expr) -> Any:
    return D("d").ode("flow", t, "said so", system={x: right}, solution={x: solution}, initial={x: initial})


def recurrence(invariant: sp.Rel, initial: Any, update: Any, certificate: Any = None) -> Any:
    return D("d").induction("i", invariant, "said so", initial=initial, update=update, certificate=certificate)


def reversed_value() -> Any:
    d = D("d")
    d.inequality("s", sp.Gt(a + y**2, 0), "a > 0", Terms((a, y**2)))
    return d.instance("i", "s", {a: sp.Sum(-i, (i, 3, 1))}, "Karr's sum is 2")


def reversed_inner_value() -> Any:
    d = D("d")
    d.inequality("s", sp.Gt(a + y**2, 0), "a > 0", Terms((a, y**2)))
    return d.instance("i", "s", {a: sp.Sum(sp.Sum(-i, (i, j, 1)), (j, 3, 3))}, "Karr's sum is 2")


def reversed_hypothesis() -> Any:
    d = D("d")
    total = sp.Sum(k, (k, 1, n - 4))
    d.assume("h", sp.Gt(total, 0), "assumed")
    d.inequality("s", sp.Gt(total + y**2, 0), "and a square", Terms((y**2,), {"h": sp.S.One}), given=("h",))
    return d.instance("i", "s", {n: sp.S.Zero}, "Karr's sum to −4 is 6")


ATTACKS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        # One language.
        "a subclass of Symbol": lambda: inequality(sp.Gt(Sly("s", real=True), 0), Sly("s", real=True)),
        "a subclass of Function": lambda: identity(SlyFunction(x) + y, y + SlyFunction(x) * 1 + 0 * x + SlyFunction(0)),
        "a float in a hypothesis": lambda: assume(sp.Gt(x, 0.1)),
        "a float as a value of an instance": lambda: _instance({x: 0.5}),
        "an object that becomes a number": lambda: _instance({x: SlyNumber()}),
        "a fraction of Python": lambda: _instance({x: Fraction(1, 2)}),
        "text that sympy would read": lambda: _instance({x: "y + 1"}),
        "infinity in a hypothesis": lambda: assume(sp.Lt(x, sp.oo, evaluate=False)),
        "a value assumed to be infinite": lambda: assume(sp.Ge(sp.Symbol("u", extended_positive=True), y)),
        "a non-commutative symbol": lambda: identity(
            sp.Symbol("A", commutative=False) * x + x, x * sp.Symbol("A", commutative=False) + x * 1 + 0
        ),
        "a dummy": lambda: assume(sp.Ge(sp.Dummy("x", real=True), 0)),
        "a dummy as a bound variable": lambda: assume(sp.Ge(sp.Sum(w[sp.Dummy("j", integer=True)], (j, 1, m)), 0)),
        "a matrix": lambda: assume(sp.Eq(sp.MatrixSymbol("A", 2, 2), sp.MatrixSymbol("B", 2, 2))),
        "a Piecewise": lambda: identity(
            sp.Piecewise((x, x > 0), (2 * x, True)) + y, y + sp.Piecewise((x, x > 0), (2 * x, True)) * 1 + 0 * y
        ),
        "Heaviside": lambda: assume(sp.Eq(sp.Heaviside(x), 1)),
        "a random symbol": lambda: assume(sp.Ge(_random(), 0)),
        "an unproved limit in a hypothesis": lambda: assume(sp.Eq(sp.Limit(1 / x, x, 0), 0, evaluate=False)),
        "an order term in a hypothesis": lambda: assume(sp.Eq(x, sp.Order(x), evaluate=False)),
        "an integral": lambda: assume(sp.Eq(sp.Integral(1 / x, (x, -1, 1)), 0, evaluate=False)),
        "the imaginary unit": lambda: assume(sp.Eq(sp.exp(sp.I * x), y)),
        "a relation as a value": lambda: assume(sp.Eq(sp.Ge(x, 0), sp.Ge(y, 0), evaluate=False)),
        "a symbol as a statement": lambda: assume(x),
        "a name that prints as an expression": lambda: assume(sp.Ge(sp.Symbol("x + y", real=True), 0)),
        "a name that prints as an indexed quantity": lambda: assume(sp.Ge(sp.Symbol("w[1]", real=True), w[1])),
        "a negative assumption": lambda: assume(sp.Ge(sp.Symbol("u", real=False), 0, evaluate=False)),
        "a function with properties of its own": lambda: assume(
            sp.Ge(sp.Function("g", _eval_is_positive=_says_yes)(x), 0)
        ),
        "an array of fixed shape": lambda: assume(sp.Ge(sp.IndexedBase("v", shape=(2,))[5], 0)),
        "a certificate with a float": lambda: inequality(sp.Ge(x**2, 0), 1.0 * x**2),
        "a certificate of another kind": lambda: D("d").inequality("i", sp.Ge(x, y), "", SlyNumber()),  # type: ignore[arg-type]
        # Indices.
        "an index that is no integer": lambda: assume(sp.Ge(sp.Sum(x, (x, 1, m)), 0)),
        "an index assumed not to be 0 that passes 0": lambda: identity(*_past_zero()),
        "an index assumed to be even": lambda: assume(sp.Ge(sp.Sum(*_even()), 0)),
        "a range that ends at a real number": lambda: assume(sp.Ge(sp.Sum(w[i], (i, 1, x)), 0)),
        "a range that ends at its own index": lambda: assume(sp.Ge(sp.Sum(w[i], (i, 1, i)), 0)),
        "an index bound twice": lambda: assume(sp.Ge(sp.Sum(y * sp.Sum(w[i], (i, 1, i)), (i, 1, m)), 0)),
        "a reversed sum": lambda: identity(sp.Sum(i, (i, 3, 1)) + y, y - 2),
        "a reversed sum as a positive value": reversed_value,
        "a reversed sum inside a sum as a value": reversed_inner_value,
        "a reversed sum discharges a hypothesis": reversed_hypothesis,
        "a reversed product": lambda: identity(y * sp.Product(i, (i, 3, 1)), y / 2),
        "a limit of a sum that may be reversed": lambda: _limits_of_reversed(),
        "an invariant that is true by a reversed sum": lambda: recurrence(
            sp.Gt(sp.Sum(i, (i, 1, k)) + y**2, 0), {k: -4, y: 0}, {k: k + 1, y: y}, Terms((), {"previous": sp.S.One})
        ),
        # Definedness.
        "a denominator of radicals that is 0": lambda: definition(1 / unevaluated_zero()),
        "a denominator of nested radicals that is 0": lambda: definition(1 / zero_of_radicals()),
        "0 to the power −1": lambda: definition(sp.Pow(sp.Add(1, -1, evaluate=False), -1, evaluate=False)),
        "0 to the power 0": lambda: assume(sp.Eq(sp.Pow(0, 0, evaluate=False), y, evaluate=False)),
        "0 to a power that may be negative": lambda: assume(sp.Eq(sp.Pow(0, k, evaluate=False), y, evaluate=False)),
        "a fractional power of a negative number": lambda: assume(sp.Eq(sp.Pow(-8, sp.Rational(1, 3), evaluate=False), y, evaluate=False)),
        "a real power of a negative number": lambda: assume(sp.Eq((-2) ** x, y)),
        "the logarithm of 0": lambda: assume(sp.Eq(sp.log(unevaluated_zero(), evaluate=False), y, evaluate=False)),
        "the logarithm of a negative number": lambda: assume(sp.Eq(sp.log(1 - sp.sqrt(2), evaluate=False), y, evaluate=False)),
        "a fact about one index under a sum": lambda: _refuse_unless_conditional(fact_about_a_free_index()),
        "an update that divides by 0": lambda: recurrence(
            sp.Eq(y, 0), {n: 0, y: 0}, {n: n + 1, y: y / (n - 3)}
        ),
        "an initial value that divides by 0": lambda: _refuse_unless_conditional(
            recurrence(sp.Eq(x * y, x * y), {n: 0, y: 1 / x}, {n: n + 1, y: y})
            if False
            else recurrence(sp.Eq(n * 0 + y * x, 1), {n: 0, y: 1 / x}, {n: n + 1, y: y})
        ),
        "a right side that is undefined at time 0": lambda: flow(x / t, y * t, sp.S.Zero),
        "a right side that is undefined at the start": lambda: flow(1 + sp.Mul(x**2, 1 / x, evaluate=False) - x, t, sp.S.Zero),
        "a right side that jumps": lambda: flow(1 + (x - t) * sp.floor(t), t, sp.S.Zero),
        "the derivative of an absolute value": lambda: assume(sp.Eq(sp.Derivative(sp.Abs(x), x), y)),
        "the derivative of a root at 0": lambda: _refuse_unless_conditional(
            assume(sp.Eq(sp.Derivative(sp.sqrt(sp.Abs(x)), x), y))
        ),
        "a derivative along an integer": lambda: assume(sp.Eq(sp.Derivative(f(n), n), y)),
        "a limit of what is undefined": lambda: D("d").limit(
            "l", x + (y - y * 1) * sp.log(unevaluated_zero()) * 0 + 0 / a + x * sp.log(-b * b), x, 0, 0, ""
        ),
        "an instance with an undefined value": lambda: _refuse_unless_conditional(_instance({x: z / (y - z)})),
        # Definitions and bound variables.
        "a cycle of definitions through a lemma": lambda: cycle_through_a_lemma(True),
        "a cycle of definitions before a lemma": lambda: cycle_through_a_lemma(False),
        "a cycle of three definitions": hidden_cycle,
        "a definition of a symbol by itself": instance_into_itself,
        "an instance at a bound variable of a limit": lambda: _instance_of_a_limit(),
        "two symbols of one name": lambda: _two_names(sp.Symbol("x", positive=True)),
        "two functions of one name": lambda: _two_names(sp.Function("f")(x)),
    }
)


def _says_yes(self: sp.Expr) -> bool:
    return True


def _random() -> sp.Expr:
    from sympy.stats import Normal

    return Normal("X", 0, 1)


def _instance(values: Any) -> Any:
    d = D("d")
    d.identity("s", sp.Eq((x + 1) ** 2 - x**2 - 2 * x, 1), "expand")
    return d.instance("i", "s", values, "said so")


def _even() -> tuple[sp.Expr, tuple[sp.Expr, ...]]:
    e = sp.Symbol("e", even=True)
    return w[e], (e, 1, m)


def _past_zero() -> tuple[sp.Expr, sp.Expr]:
    q = sp.Symbol("q", integer=True, nonzero=True)
    total = sp.Sum(1 / q + y, (q, -1, 1))
    return total + x, x + sp.Sum(y + 1 / q, (q, -1, 1)) * 1 + 0 * x


def _limits_of_reversed() -> Any:
    total = sp.Sum(j, (j, 3, m))
    return D("d").limit("l", total * (1 + b), b, sp.S.Zero, m * (m + 1) / 2 - 3, "Karr's sum")


def _instance_of_a_limit() -> Any:
    d = D("d")
    d.limit("l", (1 + b) ** 2, b, sp.S.Zero, sp.S.One, "continuous")
    return d.instance("i", "l", {b: a + 1}, "b is bound")


def _two_names(other: sp.Expr) -> Any:
    d = D("d")
    d.assume("one", sp.Ge(f(x), x), "said so")
    return d.assume("other", sp.Ge(f(x) + x, other, evaluate=False), "said so")


def _refuse_unless_conditional(step: Any) -> Any:
    if any(premise.kind == "condition" for premise in step.premises):
        raise CheckFailedError("accepted with the condition shown")
    return step


@pytest.mark.parametrize("attack", ATTACKS)
def test_mutant_attacks(attack: str) -> None:
    with pytest.raises(CheckFailedError):
        ATTACKS[attack]()
