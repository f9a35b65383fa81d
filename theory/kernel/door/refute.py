"""The attack on a step: a statement that fails where its premises hold, or has no value there, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.door.admissible import InadmissibleError, Point
from theory.kernel.door.contradiction import contradiction
from theory.kernel.door.evaluate import NotAttackableError, evaluated, truth
from theory.kernel.door.setting import Setting
from theory.kernel.door.values import (
    OpenError,
    UndefinedHereError,
    Value,
    add,
    base,
    coefficient,
    digits,
    enclosure,
    negative,
    shifted,
    sign,
)
from theory.kernel.failure import CheckFailedError, RefutedError
from theory.kernel.premises import Premise

POINTS = 5
MORE_POINTS = 8
"""Tried as long as they are cheap: until `EFFORT` values were computed."""
EFFORT = 600
ATTEMPTS = 24
PATIENCE = 10
"""Attempts after which a single admissible point is enough."""


def attack(kind: str, statement: Any, premises: frozenset[Premise]) -> str:
    """Try to refute "if the premises hold, the statement holds"; return the evidence.

    Exact rationals or enclosures, so that a refutation is certain (limits apart, which are approached to 10⁻¹²).

    Raises:
        CheckFailedError: it is false, or without a value, at an admissible point; the message names the point.
    """
    if not isinstance(statement, sp.Basic):
        return "not attacked: the statement is in words"
    return _attacked(kind == "ode", statement, premises)


@lru_cache(maxsize=8192)
def _attacked(flow: bool, statement: sp.Basic, premises: frozenset[Premise]) -> str:
    tried = opened = effort = 0
    try:
        with digits():
            for attempt, point, spent in _points(statement, premises):
                costly = effort + spent > EFFORT
                if tried >= MORE_POINTS or opened == POINTS or (costly and tried and attempt >= PATIENCE):
                    break
                if costly and tried >= POINTS:
                    break
                try:
                    if holds(flow, statement, premises, point):
                        tried += 1
                    else:
                        opened += 1
                except OpenError:
                    opened += 1
                except InadmissibleError:
                    continue
                finally:
                    effort += len(point.memo)
    except NotAttackableError as failure:
        return f"not attacked: {failure}"
    if tried:
        return f"attacked at {tried} admissible point{'s' if tried > 1 else ''}"
    if opened:
        raise CheckFailedError(
            f"whether {statement} has a value, and is true, stays open at each of {opened} admissible points, in "
            "enclosures of 40 digits: write it so that what is 0 is evidently 0"
        )
    if reason := contradiction(premises):
        raise CheckFailedError(f"the premises contradict each other, so that anything would follow: {reason}")
    return (
        f"not attacked: none of {ATTEMPTS} points satisfies the premises for certain; nothing shows here that they do "
        "not contradict each other"
    )


def _points(statement: sp.Basic, premises: frozenset[Premise]) -> Iterator[tuple[int, Point, int]]:
    setting = Setting(statement, premises, slack=True)
    # What is said of an expansion is said near 0: a condition on the variable must hold there, not where it is drawn.
    variables = {s for order in statement.atoms(sp.Order) for s in order.variables if s not in setting.fixed}
    for attempt in range(ATTEMPTS):
        if attempt == 2 * ATTEMPTS // 3:
            setting = Setting(statement, premises, slack=False)
        point = Point(setting, attempt)
        for variable in variables:
            point = point.moved(variable, Fraction(1, 10**12))
        try:
            point.admit()
        except InadmissibleError:
            continue
        yield attempt, point, setting.effort


def holds(flow: bool, statement: sp.Basic, premises: frozenset[Premise], point: Point) -> bool:
    """Whether the statement holds; False when that stays open.

    Raises:
        RefutedError: it does not, or has no value.
    """
    try:
        if flow:
            found = _solves(statement, premises, point)
        elif isinstance(statement, sp.Equality) and isinstance(statement.lhs, sp.Limit):
            found = _tends(statement, point)
        elif isinstance(statement, sp.Equality) and isinstance(statement.rhs, sp.Expr) and statement.rhs.has(sp.Order):
            found = _expands(statement, point)
        else:
            verdict = truth(statement, point, {})
            if verdict is None and (point.strict or not isinstance(statement, sp.Equality)):
                return False
            found = verdict is not False
    except UndefinedHereError as failure:
        point.confirm(everywhere=True)
        raise RefutedError(
            f"{statement} has no value at {point.describe()}, where all its premises hold: "
            "add the condition under which it has one"
        ) from failure
    point.confirm(everywhere=not found)
    if found:
        return True
    raise RefutedError(f"refuted: {statement} is false at {point.describe()}, where all its premises hold")


def _solves(statement: sp.Basic, premises: frozenset[Premise], point: Point) -> bool:
    """X' = f(x) at the point's time and x(0) = x_0, for every component."""
    solution = _solution(statement)
    for premise in premises:
        if premise.kind != "dynamics" or not isinstance(premise.defines[0], AppliedUndef):
            continue
        rule, (time,) = premise.statement.args
        now = evaluated(time, point, {})
        along = {time: shifted(now, -1, 1)}
        state = {x: evaluated(solution[x.name], point, along) for x, _, _ in rule}
        first = {time: 0, **{x: evaluated(start, point, {}) for x, start, _ in rule}}
        for x, start, rate in rule:
            evaluated(rate, point, first)  # where the right side has no value at the start, the solution is not unique
            flow = evaluated(rate, point, {**{s: base(v) for s, v in state.items()}, time: base(now)})
            begin = evaluated(solution[x.name], point, {time: 0})
            errors = (
                add(coefficient(state[x], -1, 1), negative(flow)),
                add(begin, negative(evaluated(start, point, {}))),
            )
            if any(sign(base(error)) not in (0, None) for error in errors):
                return False
    return True


def _solution(statement: sp.Basic) -> dict[str, sp.Expr]:
    parts = statement.args if isinstance(statement, sp.And) else (statement,)
    return {part.lhs.func.__name__: part.rhs for part in parts}


def _tends(statement: sp.Equality, point: Point) -> bool:
    """Whether the error falls by a tenth or more from distance 10⁻⁴ to 10⁻¹², or ends below 10⁻¹⁰.

    Even an error ∝ 1/|log distance| falls to a third; 10⁻¹⁰ is that of a slope of 100, so that an error already small
    at 10⁻⁴ need not fall. This can let a wrong limit through, and refuses one that is approached more slowly.

    Raises:
        OpenError: the enclosures are too wide to tell.
    """
    expr, variable, place, direction = statement.lhs.args
    side = -1 if str(direction) == "-" else 1
    errors = []
    for power in (4, 8, 12):
        step = Fraction(1, 10**power)
        if place in (sp.oo, -sp.oo):
            here: Value = (1 / step) * (1 if place == sp.oo else -1)
        else:
            here = add(evaluated(place, point, {}), side * step)
        near = point.moved(variable, here)
        limit = evaluated(statement.rhs, point, {})
        errors.append(abs(enclosure(base(add(evaluated(expr, near, {}), negative(limit))))))
    if any(error.delta > 1e-6 for error in errors):
        raise OpenError
    return bool(errors[-1].a < 1e-10 or errors[-1].a < errors[0].b * 0.9)


def _expands(statement: sp.Equality, point: Point) -> bool:
    """Whether the coefficients of expr − expansion vanish below the order."""
    order = next(iter(statement.rhs.atoms(sp.Order)))
    if len(order.variables) != 1 or order.point != (0,) or statement.rhs != statement.rhs.removeO() + order:
        raise NotAttackableError("a series in several variables, or not at 0, is not expanded")
    (variable,) = order.variables
    degree = sp.degree(order.expr, variable)
    at = {variable: shifted(0, -1, int(degree))}
    sides = (evaluated(side, point, at) for side in (statement.lhs, statement.rhs.removeO()))
    left, right = sides
    gap = add(left, negative(right))
    return all(sign(base(coefficient(gap, -1, k))) in (0, None) for k in range(int(degree)))
