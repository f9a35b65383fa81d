"""Expressions as functions of a point: each node becomes a closure, evaluated once for each value of what it binds.

Conventions: Σ over an empty or reversed range is 0, Π is 1; 0^0 is 1; a derivative is the coefficient of an
infinitesimal (`values.Jet`), taken with all that a definition names held fixed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Protocol

import sympy as sp
from mpmath import iv
from sympy.core.function import AppliedUndef

from theory.kernel.door import values
from theory.kernel.door.values import (
    EXACT,
    Jet,
    OpenError,
    UndefinedHereError,
    Value,
    add,
    base,
    multiply,
    negative,
    sign,
)
from theory.kernel.functions import logistic, logistic_slope

Env = Mapping[sp.Basic, Value]
MOST_TERMS = 64


class NotAttackableError(Exception):
    """The statement contains what has no value at a point, such as a limit inside a sum."""


class World(Protocol):
    """What an expression is evaluated at."""

    memo: dict[Any, Value]

    def quantity(self, head: sp.Basic, places: tuple[Value, ...]) -> Value:
        """Value of a symbol, or of an indexed quantity at its places."""

    def function(self, head: Any, arguments: tuple[Value, ...]) -> Value:
        """Value of an undefined function."""

    def equal(self, left: Value, right: Value) -> bool | None:
        """Whether two values are the same; None when enclosures leave it open."""


Closure = Callable[[World, Env], Value]
_SLOTS = itertools.count()


def evaluated(expr: sp.Basic, world: World, env: Env) -> Value:
    """Value of an expression, the symbols of `env` being bound.

    Raises:
        UndefinedHereError: it has no value at the point.
        OpenError: enclosures leave it open.
        NotAttackableError: it has no value at any point.
    """
    return compiled(expr, frozenset(env))(world, env)


@lru_cache(maxsize=65536)
def compiled(expr: sp.Basic, bound: frozenset[sp.Basic]) -> Closure:
    """Return the closure of an expression inside of what binds `bound`."""
    if expr in bound:
        return lambda world, env: env[expr]
    if expr.is_Rational:
        number = int(expr.p) if expr.q == 1 else Fraction(int(expr.p), int(expr.q))
        return lambda world, env: number
    if expr.is_Symbol:
        return lambda world, env: world.quantity(expr, ())
    closure = _node(expr, bound)
    scope = tuple(sorted(bound & expr.free_symbols, key=str))
    if not scope and not expr.args:
        return closure

    def remembered(world: World, env: Env) -> Value:
        key = (expr, *(env[symbol] for symbol in scope))
        found = world.memo.get(key)
        if found is None:
            found = world.memo[key] = closure(world, env)
        return found

    return remembered


def _node(expr: sp.Basic, bound: frozenset[sp.Basic]) -> Closure:
    for kinds, build in _BINDERS:
        if isinstance(expr, kinds):
            return build(expr, bound)
    rule = _RULES.get(expr.func)
    if rule is None:
        raise NotAttackableError(f"{expr.func.__name__} has no value at a point")
    parts = [compiled(arg, bound) for arg in expr.args]
    return lambda world, env: rule(*[part(world, env) for part in parts])


def _indexed(expr: sp.Indexed, bound: frozenset[sp.Basic]) -> Closure:
    places = [compiled(index, bound) for index in expr.indices]
    label = expr.base
    return lambda world, env: world.quantity(label, tuple(whole(place(world, env)) for place in places))


def _applied(expr: Any, bound: frozenset[sp.Basic]) -> Closure:
    parts = [compiled(arg, bound) for arg in expr.args]
    return lambda world, env: world.function(expr.func, tuple(part(world, env) for part in parts))


def whole(value: Value) -> int:
    """Return an index or a limit of a sum, which must be an integer.

    Raises:
        UndefinedHereError: it is none.
    """
    found = base(value)
    if not isinstance(found, EXACT) or found.denominator != 1:
        raise UndefinedHereError
    return int(found)


def _fold(expr: sp.Sum | sp.Product, bound: frozenset[sp.Basic]) -> Closure:
    *inner, limit = expr.limits
    if len(limit) != 3:
        raise NotAttackableError("a sum without limits has no value at a point")
    index = limit[0]
    low, high = (compiled(end, bound) for end in limit[1:])
    body = compiled(expr.func(expr.function, *inner) if inner else expr.function, bound | {index})
    is_sum = isinstance(expr, sp.Sum)

    def closure(world: World, env: Env) -> Value:
        first, last = whole(low(world, env)), whole(high(world, env))
        if last - first >= MOST_TERMS:
            raise OpenError
        total = 0 if is_sum else 1
        for place in range(first, last + 1):
            term = body(world, {**env, index: place})
            total = add(total, term) if is_sum else multiply(total, term)
        return total

    return closure


def _derivative(expr: sp.Derivative, bound: frozenset[sp.Basic]) -> Closure:
    pairs = [(variable, int(count)) for variable, count in expr.variable_count if count.is_Integer]
    names = {variable for variable, _ in pairs}
    if len(names) < len(expr.variable_count) or not all(name.is_Symbol for name in names):
        raise NotAttackableError(f"the derivative {expr} is not along symbols")
    at = [compiled(variable, bound) for variable, _ in pairs]
    body = compiled(expr.expr, bound | names)

    def closure(world: World, env: Env) -> Value:
        inside, slots = dict(env), []
        for (variable, order), here in zip(pairs, at, strict=True):
            slots.append(next(_SLOTS))
            inside[variable] = values.shifted(here(world, env), slots[-1], order)
        found = body(world, inside)
        for (_, order), slot in zip(pairs, slots, strict=True):
            found = multiply(math.factorial(order), values.coefficient(found, slot, order))
        return found

    return closure


def _substituted(expr: sp.Subs, bound: frozenset[sp.Basic]) -> Closure:
    at = [compiled(place, bound) for place in expr.point]
    body = compiled(expr.expr, bound | set(expr.variables))
    names = expr.variables
    return lambda world, env: body(
        world, {**env, **{name: place(world, env) for name, place in zip(names, at, strict=True)}}
    )


def _piecewise(expr: sp.Piecewise, bound: frozenset[sp.Basic]) -> Closure:
    branches = [(compiled(value, bound), condition) for value, condition in expr.args]

    def closure(world: World, env: Env) -> Value:
        for value, condition in branches:
            holds = truth(condition, world, env)
            if holds is None:
                raise OpenError
            if holds:
                return value(world, env)
        raise UndefinedHereError

    return closure


def truth(statement: sp.Basic, world: World, env: Env) -> bool | None:
    """Whether a statement holds at a point; None when enclosures leave it open.

    Raises:
        UndefinedHereError: one side has no value.
        NotAttackableError: it is no relation between numbers.
    """
    if statement in (sp.true, sp.false):
        return bool(statement)
    if isinstance(statement, sp.Not):
        inner = truth(statement.args[0], world, env)
        return None if inner is None else not inner
    if isinstance(statement, sp.Implies):
        return truth(sp.Or(sp.Not(statement.args[0]), statement.args[1], evaluate=False), world, env)
    if isinstance(statement, sp.And | sp.Or):
        decisive = isinstance(statement, sp.Or)
        parts = [truth(part, world, env) for part in statement.args]
        return decisive if decisive in parts else None if None in parts else not decisive
    if isinstance(statement, sp.Contains) and isinstance(statement.args[1], sp.FiniteSet):
        element, cases = statement.args
        entries = element.args if isinstance(element, sp.Tuple) else (element,)
        listed = [case.args if isinstance(case, sp.Tuple) else (case,) for case in cases]
        equations = [
            sp.And(*(sp.Eq(*pair, evaluate=False) for pair in zip(entries, case, strict=True))) for case in listed
        ]
        return truth(sp.Or(*equations, evaluate=False), world, env)
    if not isinstance(statement, sp.Rel):
        raise NotAttackableError(f"{type(statement).__name__} is no relation between numbers")
    if isinstance(statement, sp.Equality | sp.Unequality):
        equal = world.equal(*(evaluated(side, world, env) for side in statement.args))
        return equal if equal is None or isinstance(statement, sp.Equality) else not equal
    found = sign(difference(statement, world, env))
    upward = found if isinstance(statement, sp.Gt | sp.Ge) or found is None else -found
    strict = isinstance(statement, sp.Gt | sp.Lt)
    return None if upward is None else upward == 1 or (upward == 0 and not strict)


def difference(statement: sp.Rel, world: World, env: Env) -> Value:
    """Return lhs − rhs of a relation."""
    left, right = (evaluated(side, world, env) for side in statement.args)
    return base(add(left, negative(right)))


def _absolute(value: Value) -> Value:
    return _by_sign(value, {1: value, -1: negative(value), 0: value})


def _by_sign(value: Value, chosen: Mapping[int, Value]) -> Value:
    found = sign(base(value))
    if found is None and not isinstance(value, Jet) and set(chosen) == {-1, 0, 1} and chosen[1] is value:
        return abs(value)
    if found is None or (found == 0 and isinstance(value, Jet)):
        raise OpenError
    return chosen[found]


def _extreme(largest: bool) -> Callable[..., Value]:
    def rule(*found: Value) -> Value:
        best = found[0]
        for value in found[1:]:
            ahead = add(value, negative(best))
            best = _by_sign(ahead, {0: best, 1: value if largest else best, -1: best if largest else value})
        return best

    return rule


def _rounded(rounding: Callable[[Any], int]) -> Callable[[Value], Value]:
    def rule(value: Value) -> Value:
        found = base(value)
        if not isinstance(found, EXACT) or (isinstance(value, Jet) and found.denominator == 1):
            raise OpenError
        return rounding(found)

    return rule


def _logistic(value: Value) -> Value:
    return values.power(add(1, values.exponential(negative(value))), -1)


def _logistic_slope(value: Value) -> Value:
    one = _logistic(value)
    return multiply(one, add(1, negative(one)))


def _hyperbolic(odd: int) -> Callable[[Value], Value]:
    def rule(value: Value) -> Value:
        other = multiply(odd, values.exponential(negative(value)))
        return multiply(Fraction(1, 2), add(values.exponential(value), other))

    return rule


def _ratio(top: Callable[[Value], Value], bottom: Callable[[Value], Value]) -> Callable[[Value], Value]:
    return lambda value: multiply(top(value), values.power(bottom(value), -1))


def _kronecker(left: Value, right: Value) -> Value:
    return int(base(add(left, negative(right))) == 0)


def _factorial(value: Value) -> Value:
    number = whole(value)
    if number < 0:
        raise UndefinedHereError
    return math.factorial(number)


def _step(value: Value, half: Value = Fraction(1, 2)) -> Value:
    return _by_sign(value, {1: 1, -1: 0, 0: half})


def _all(operation: Callable[[Value, Value], Value], start: int) -> Callable[..., Value]:
    def rule(*found: Value) -> Value:
        total: Value = start
        for value in found:
            total = operation(total, value)
        return total

    return rule


_BINDERS: tuple[tuple[Any, Callable[[Any, frozenset[sp.Basic]], Closure]], ...] = (
    (sp.Indexed, _indexed),
    (AppliedUndef, _applied),
    ((sp.Sum, sp.Product), _fold),
    (sp.Derivative, _derivative),
    (sp.Subs, _substituted),
    (sp.Piecewise, _piecewise),
)
_sin, _cos = partial(values.wave, quarter=0), partial(values.wave, quarter=1)
_sinh, _cosh = _hyperbolic(-1), _hyperbolic(1)
_RULES: dict[Any, Callable[..., Value]] = {
    sp.Add: _all(add, 0),
    sp.Mul: _all(multiply, 1),
    sp.Pow: values.power,
    sp.exp: values.exponential,
    sp.log: values.logarithm,
    sp.sin: _sin,
    sp.cos: _cos,
    sp.tan: _ratio(_sin, _cos),
    sp.sinh: _sinh,
    sp.cosh: _cosh,
    sp.tanh: _ratio(_sinh, _cosh),
    sp.Abs: _absolute,
    sp.sign: lambda value: _by_sign(value, {1: 1, -1: -1, 0: 0}),
    sp.Heaviside: _step,
    sp.Max: _extreme(largest=True),
    sp.Min: _extreme(largest=False),
    sp.floor: _rounded(math.floor),
    sp.ceiling: _rounded(math.ceil),
    sp.factorial: _factorial,
    sp.KroneckerDelta: _kronecker,
    logistic: _logistic,
    logistic_slope: _logistic_slope,
    type(sp.E): lambda: +iv.e,
    type(sp.pi): lambda: +iv.pi,
}
