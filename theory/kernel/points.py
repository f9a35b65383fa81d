"""Exact evaluation at rational points: the second channel of every check, independent of sympy's simplifiers.

A value is a `Fraction` as long as the arithmetic stays rational; exponentials and roots leave the rationals and
are then enclosed by interval arithmetic of 100 digits, so that "equal" means enclosures that meet and are
narrower than 1e-60, and "unequal" is certain.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from mpmath import iv
from sympy.core.function import AppliedUndef

from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope

DIGITS = 100
WIDTH = Fraction(1, 10**60)
LARGEST_EXACT_EXPONENT = 1000
Value = Any  # Fraction, or an mpmath interval


class UndefinedAtPointError(Exception):
    """The expression has no value at this point (division by zero, root of a negative number)."""


def interval(value: Value) -> Value:
    """Enclose a rational in an interval of `DIGITS` digits; an interval is returned as it is."""
    if isinstance(value, Fraction):
        return iv.mpf(value.numerator) / iv.mpf(value.denominator)
    return value


def sign(value: Value) -> int | None:
    """Sign of a value: −1, 0, 1; None when an enclosure contains 0 and so leaves it open."""
    if isinstance(value, Fraction):
        return (value > 0) - (value < 0)
    if value.a > 0:
        return 1
    return -1 if value.b < 0 else None


def meets_zero(value: Value) -> bool:
    """Whether a value is 0: exactly for a Fraction; a narrow enclosure of 0 for an interval.

    Raises:
        CheckFailedError: the enclosure is too wide to tell.
    """
    verdict = sign(value)
    if verdict is None and interval(value).delta > interval(WIDTH):
        raise CheckFailedError(f"an enclosure of width {value.delta} leaves open whether the difference is 0")
    return verdict is None or verdict == 0


class Evaluator:
    """Evaluates sympy expressions at one random rational point that respects the assumptions on the symbols.

    Symbols are drawn on first use; indexed quantities w[1], w[2], … are independent draws; an undefined
    function is a random polynomial, so that its derivatives are those of a function.

    Args:
        seed: names the point; equal seeds give equal points.
        fixed: values of symbols that are prescribed, such as one drawn from an interval.
    """

    def __init__(self, seed: str, fixed: Mapping[sp.Expr, Fraction] | None = None) -> None:
        self._seed = seed
        self._symbols: dict[Any, Fraction] = dict(fixed or {})
        self._memo: dict[tuple[sp.Expr, tuple[int | None, ...]], Value] = {}

    def _random(self, name: str) -> random.Random:
        return random.Random(hashlib.sha256(f"{self._seed}|{name}".encode()).digest())

    def symbol(self, symbol: sp.Expr) -> Fraction:
        """Return the point's value of a symbol or indexed quantity."""
        if symbol not in self._symbols:
            self._symbols[symbol] = self._draw(symbol)
        return self._symbols[symbol]

    def _draw(self, symbol: sp.Expr) -> Fraction:
        source = self._random(str(symbol))
        if symbol.is_integer:
            low = 1 if symbol.is_positive else 0 if symbol.is_nonnegative else -6
            value = source.randint(low, 6)
            if symbol.is_even:
                value *= 2
            return Fraction(2 * value + 1 if symbol.is_odd else value)
        magnitude = Fraction(source.randint(1, 60), source.randint(7, 31))
        if symbol.is_positive or symbol.is_nonnegative:
            return magnitude
        return -magnitude if symbol.is_negative or source.random() < 0.5 else magnitude

    def __call__(self, expr: sp.Expr) -> Value:
        """Value of `expr` at the point.

        Raises:
            UndefinedAtPointError: the expression has no value here; try another point.
            CheckFailedError: the expression contains something that has no numerical meaning.
        """
        iv.dps = DIGITS
        return self._evaluate(_realised(sp.sympify(expr)), {})

    def describe(self) -> str:
        """The point in words, for messages."""
        named = ((symbol, value) for symbol, value in self._symbols.items() if not symbol.is_Dummy)
        return ", ".join(f"{symbol} = {value}" for symbol, value in named) or "every point"

    def _evaluate(self, expr: sp.Expr, indices: Mapping[sp.Symbol, int]) -> Value:
        if expr.is_Rational:
            return Fraction(int(expr.p), int(expr.q))
        if expr in indices:
            return Fraction(indices[expr])
        if expr.is_Symbol:
            return self.symbol(expr)
        if isinstance(expr, sp.Indexed):
            places = [self._integer(index, indices) for index in expr.indices]
            return self.symbol(expr.func(expr.base, *places))
        if isinstance(expr, sp.Sum | sp.Product):
            return self._fold(expr, indices)
        rule = _RULES.get(expr.func)
        if rule is None:
            raise CheckFailedError(f"cannot evaluate {expr.func.__name__} at a point: {expr}")
        return rule([self._remembered(arg, indices) for arg in expr.args])

    def _remembered(self, expr: sp.Expr, indices: Mapping[sp.Symbol, int]) -> Value:
        """Evaluate once for each value of the indices that occur: sums within sums repeat themselves."""
        if not expr.args:
            return self._evaluate(expr, indices)
        key = (expr, tuple(indices.get(symbol) for symbol in _free(expr)))
        if key not in self._memo:
            self._memo[key] = self._evaluate(expr, indices)
        return self._memo[key]

    def _integer(self, expr: sp.Expr, indices: Mapping[sp.Symbol, int]) -> int:
        value = self._evaluate(expr, indices)
        if not isinstance(value, Fraction) or value.denominator != 1:
            raise CheckFailedError(f"expected an integer index or summation limit, got {expr} = {value}")
        return int(value)

    def _fold(self, expr: sp.Sum | sp.Product, indices: Mapping[sp.Symbol, int]) -> Value:
        *inner, (index, low, high) = expr.limits
        body = expr.func(expr.function, *inner) if inner else expr.function
        terms = [
            self._remembered(body, {**indices, index: place})
            for place in range(self._integer(low, indices), self._integer(high, indices) + 1)
        ]
        return _add([Fraction(0), *terms]) if isinstance(expr, sp.Sum) else _multiply([Fraction(1), *terms])


@lru_cache(maxsize=65536)
def _free(expr: sp.Expr) -> tuple[sp.Symbol, ...]:
    return tuple(sorted(expr.free_symbols, key=str))


@lru_cache(maxsize=4096)
def _realised(expr: sp.Expr) -> sp.Expr:
    """Put polynomials for undefined functions and carry out derivatives; the coefficients are left to the point."""
    if not expr.has(AppliedUndef, sp.Derivative, sp.Subs):
        return expr
    realised = expr.replace(lambda e: isinstance(e, AppliedUndef), lambda e: _polynomial(e.func, len(e.args))(*e.args))
    # Only derivatives are carried out: sympy's doit would also look for closed forms of every sum.
    realised = realised.replace(lambda e: isinstance(e, sp.Derivative), lambda e: sp.diff(e.expr, *e.variable_count))
    return realised.replace(
        lambda e: isinstance(e, sp.Subs), lambda e: e.expr.subs(dict(zip(e.variables, e.point, strict=True)))
    )


@lru_cache(maxsize=1024)
def _polynomial(head: Any, arity: int) -> sp.Lambda:
    arguments = sp.symbols(f"x:{arity}", cls=sp.Dummy)
    monomials = sorted(sp.itermonomials(list(arguments), 3), key=str)
    # Dummies, so that nothing in a statement can name them; a point draws by the printed name.
    body = sum(sp.Dummy(f"{head}|{monomial}", positive=True) * monomial for monomial in monomials)
    return sp.Lambda(arguments, body)


def _fold_binary(operation: Callable[[Value, Value], Value], values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        if isinstance(total, Fraction) != isinstance(value, Fraction):
            total, value = interval(total), interval(value)
        total = operation(total, value)
    return total


def _add(values: list[Value]) -> Value:
    return _fold_binary(lambda a, b: a + b, values)


def _multiply(values: list[Value]) -> Value:
    if any(isinstance(value, Fraction) and value == 0 for value in values):
        return Fraction(0)
    return _fold_binary(lambda a, b: a * b, values)


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    roots = [sp.integer_nthroot(part, degree) for part in (value.numerator, value.denominator)]
    return Fraction(int(roots[0][0]), int(roots[1][0])) if all(exact for _, exact in roots) else None


def _power(values: list[Value]) -> Value:
    base, exponent = values
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        if exponent < 0 and sign(base) in (0, None):
            raise UndefinedAtPointError
        if abs(exponent) > LARGEST_EXACT_EXPONENT and sign(base) in (1, -1):
            magnitude = iv.exp(interval(exponent) * iv.log(interval(abs(base))))
            return -magnitude if sign(base) == -1 and exponent.numerator % 2 else magnitude
        return base ** int(exponent)
    if sign(base) == 0 and sign(exponent) == 1:
        return Fraction(0)
    if sign(base) != 1:
        raise UndefinedAtPointError
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        root = _exact_root(base, exponent.denominator)
        if root is not None:
            return root**exponent.numerator
    return iv.exp(interval(exponent) * iv.log(interval(base)))


def _exp(values: list[Value]) -> Value:
    return Fraction(1) if sign(values[0]) == 0 else iv.exp(interval(values[0]))


def _log(values: list[Value]) -> Value:
    if sign(values[0]) != 1:
        raise UndefinedAtPointError
    return iv.log(interval(values[0]))


def _absolute(values: list[Value]) -> Value:
    return abs(values[0])


def _extreme(largest: bool) -> Callable[[list[Value]], Value]:
    def rule(values: list[Value]) -> Value:
        best = values[0]
        for value in values[1:]:
            order = sign(_add([value, _multiply([Fraction(-1), best])]))
            if order is None:
                raise UndefinedAtPointError
            if order == (1 if largest else -1):
                best = value
        return best

    return rule


def _rounded(rounding: Callable[[Fraction], int]) -> Callable[[list[Value]], Value]:
    def rule(values: list[Value]) -> Value:
        if not isinstance(values[0], Fraction):
            raise UndefinedAtPointError
        return Fraction(rounding(values[0]))

    return rule


def _logistic(values: list[Value]) -> Value:
    return 1 / (1 + iv.exp(-interval(values[0])))


def _logistic_slope(values: list[Value]) -> Value:
    growth = iv.exp(interval(values[0]))
    return growth / (1 + growth) ** 2


def _kronecker(values: list[Value]) -> Value:
    return Fraction(int(values[0] == values[1]))


_RULES: dict[Any, Callable[[list[Value]], Value]] = {
    sp.Add: _add,
    sp.Mul: _multiply,
    sp.Pow: _power,
    sp.exp: _exp,
    sp.log: _log,
    sp.Abs: _absolute,
    sp.Max: _extreme(largest=True),
    sp.Min: _extreme(largest=False),
    sp.floor: _rounded(math.floor),
    sp.ceiling: _rounded(math.ceil),
    logistic: _logistic,
    logistic_slope: _logistic_slope,
    sp.KroneckerDelta: _kronecker,
}
_CONSTANTS = {sp.E: lambda: iv.e, sp.pi: lambda: iv.pi}
for _constant, _value in _CONSTANTS.items():
    _RULES[type(_constant)] = lambda _, value=_value: value()  # type: ignore[misc]


def agree_at_random_points(lhs: sp.Expr, rhs: sp.Expr, *, points: int = 4, seed: str = "identity") -> str:
    """Compare two expressions at random rational points; return the evidence.

    Raises:
        CheckFailedError: they differ at a point (the point and both values are named), or no point could be
            evaluated.
    """
    compared = 0
    for attempt in range(8 * points):
        at = Evaluator(f"{seed}|{attempt}")
        try:
            left, right = at(lhs), at(rhs)
        except UndefinedAtPointError:
            continue
        difference = _add([left, _multiply([Fraction(-1), right])])
        if not meets_zero(difference):
            raise CheckFailedError(f"the sides differ at {at.describe()}: {_show(left)} against {_show(right)}")
        compared += 1
        if compared == points:
            return f"equal at {points} random rational points"
    raise CheckFailedError(f"only {compared} of {points} random points could be evaluated: {lhs} = {rhs}")


def _show(value: Value) -> str:
    return str(value) if isinstance(value, Fraction) else f"{float(value.mid):.15g}"
