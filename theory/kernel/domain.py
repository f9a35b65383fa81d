"""Where an expression has a value: denominators that must not vanish, radicands and logarithms of known sign.

An identity of rational functions says nothing where a denominator vanishes. (u² − v²)/(u − v) = u + v and u² = v²
would otherwise prove u = −v. So whatever is not evidently defined becomes a condition that travels with the step: in
every subterm, under Σ, limits and derivatives, in rules of recurrences and right sides of flows. Of a number it is
decided by its normal form and an enclosure, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.normal_form import remainder
from theory.kernel.points import Evaluator, UndefinedAtPointError, sign
from theory.kernel.premises import Premise, is_generic, is_integer
from theory.kernel.signs import Signs
from theory.kernel.substitution import check_forward, instantiated

_ALLOWED = {"integer", "positive", "nonnegative", "real", "rational", "finite", "commutative"}
_UNSOUND = (sp.nan, sp.zoo, sp.Float, sp.I)
_SMOOTH = (sp.Add, sp.Mul, sp.exp, sp.log, logistic, logistic_slope, AppliedUndef)
Bound = tuple[sp.Tuple, ...]


def check_sums(statement: sp.Basic) -> None:
    """Check that every index runs over integers that the assumptions on it allow, and that nothing is inexact.

    A range [low, high] is empty when high < low: its sum is 0, its product 1. Sympy reads a range with
    high < low − 1 as a negative sum instead (Karr's convention), so no such range of numbers is let in.

    Raises:
        CheckFailedError: an index is assumed to be what it is not, a range is infinite, reversed or not of integers,
            or the statement contains a floating-point number, an imaginary unit or an undefined value.
    """
    if statement.has(*_UNSOUND):
        raise CheckFailedError(f"only exact, real, defined numbers can be checked: {statement}")
    for fold in statement.atoms(sp.Sum, sp.Product):
        indices = [limit[0] for limit in fold.limits]
        if len(set(indices)) < len(indices):
            raise CheckFailedError(f"{fold} binds an index twice; give each range an index of its own")
        for limit in fold.limits:
            _check_range(fold, limit)
    check_forward(statement)


def _check_range(fold: sp.Expr, limit: sp.Tuple) -> None:
    if len(limit) != 3:
        raise CheckFailedError(f"{fold} has no limits")
    index, low, high = limit
    if low.is_infinite or high.is_infinite:
        raise CheckFailedError(f"{fold} has infinitely many terms; write it as a limit")
    if index in low.free_symbols | high.free_symbols or not (is_integer(low) and is_integer(high)):
        raise CheckFailedError(f"{fold} must run over integers, between limits without {index}, not {low} to {high}")
    assumed = {name for name, value in index._assumptions_orig.items() if value is not None}
    first = 1 if index.is_positive else 0 if index.is_nonnegative else None
    if assumed - _ALLOWED or (first is not None and not Signs().nonnegative(low - first)):
        raise CheckFailedError(f"in {fold} the index {index} starts at {low}, outside of what is assumed of it")
    if not index.is_integer:
        raise CheckFailedError(f"in {fold} the index {index} runs over integers; declare it with integer=True")


def conditions(statement: sp.Basic, signs: Signs) -> frozenset[Premise]:
    """Return the conditions under which every part of a statement has a value, those that are evident left out.

    Raises:
        CheckFailedError: a part has no value, a condition under a Σ is no statement about each term, or a derivative
            or limit is of what need not be differentiable or defined there.
    """
    found = {condition for condition in _walk(statement, signs, ()) if condition not in (sp.true, None)}
    if sp.false in found:
        raise CheckFailedError(f"a denominator, root or logarithm in {statement} has no value")
    return frozenset(Premise("condition", str(condition), condition) for condition in found)


def evident_conditions(parts: Iterable[sp.Basic], signs: Signs, varying: Iterable[sp.Basic]) -> frozenset[Premise]:
    """Return the conditions under which parts have a value all along, where some symbols vary.

    Raises:
        CheckFailedError: a condition that is not evident is about a symbol that varies.
    """
    found = conditions(sp.Tuple(*parts), signs)
    for condition in found:
        if condition.mentions & set(varying):
            raise CheckFailedError(f"{condition.name} is not evident at every step of the rule {sp.Tuple(*parts)}")
    return found


def conditions_along(
    time: sp.Symbol,
    system: Mapping[sp.Symbol, sp.Expr],
    solution: Mapping[sp.Symbol, sp.Expr],
    initial: Mapping[sp.Symbol, sp.Expr],
    signs: Signs,
) -> frozenset[Premise]:
    """Return the conditions under which a solution and its right side have a value all the way from 0 to a time t.

    Each is g ≠ 0 or g > 0 for some g(t). On the whole way it holds if it is evident at every time; if g does not depend
    on t, where it is a condition on the parameters; and if g is monotone and it holds at both ends, g(0) g(t) > 0.

    Raises:
        CheckFailedError: it is false at the start, or g is none of these.
    """
    always = signs.under([time])
    needed = {p.statement for p in conditions(sp.Tuple(*solution.values()), always)}
    for condition in conditions(sp.Tuple(*system.values()), Signs()):
        for place in ({**initial, time: sp.S.Zero}, solution):
            needed.add(instantiated(condition.statement, place))
            if sp.false in needed:
                raise CheckFailedError(f"the right side needs {condition.name}, which is false for {place}")
    found: set[sp.Basic] = set()
    for condition in needed - {sp.true}:
        if not isinstance(condition, sp.Rel):
            raise CheckFailedError(f"{condition} is not decided along the flow; write the right side without it")
        strictly = Signs.nonzero if isinstance(condition, sp.Unequality) else Signs.positive
        gap_now = condition.lhs - condition.rhs
        parts = sp.Mul.make_args(gap_now) if isinstance(condition, sp.Unequality) else (gap_now,)
        for part in parts:
            found |= _on_the_way(part, time, always, signs, strictly)
    return frozenset(Premise("condition", str(condition), condition) for condition in found)


def _on_the_way(
    part: sp.Expr, time: sp.Symbol, always: Signs, now: Signs, strictly: Callable[[Signs, sp.Expr], bool]
) -> set[sp.Basic]:
    """Conditions at time 0 and t under which g ≠ 0, or g > 0, on the whole way between them."""
    start = instantiated(part, {time: sp.S.Zero})
    if _is_number(start) and number_sign(start) not in ((1,) if strictly is Signs.positive else (1, -1)):
        raise CheckFailedError(f"the solution needs {part} at {time} = 0, where it is {start}")
    at_start = (
        set() if strictly(always, start) else {sp.Gt(start, 0) if strictly is Signs.positive else sp.Ne(start, 0)}
    )
    if strictly(always, part) or time not in part.free_symbols:
        return at_start
    _, slope = sp.factor_terms(sp.diff(part, time)).as_independent(time, as_Add=False)
    if not (always.nonnegative(slope) or always.nonnegative(sp.expand(-slope))):
        raise CheckFailedError(
            f"{part} may vanish between {time} = 0 and {time}, where the solution has no value: it is neither of one "
            "sign nor monotone, evidently; write it so that it is, or assume what makes it so"
        )
    for sign_at_start in (1, -1):
        if always.positive(sign_at_start * start):
            later = sp.expand(sign_at_start * part)
            return set() if now.positive(later) else {sp.Gt(later, 0)}
    if strictly is Signs.positive:
        return at_start | {sp.Gt(part, 0)}
    return {sp.Gt(start * part, 0)}


def _walk(node: sp.Basic, signs: Signs, limits: Bound) -> Iterator[sp.Basic]:
    if isinstance(node, sp.Order):
        return
    if isinstance(node, sp.Limit):
        yield from _near(node, signs, limits)
        return
    if isinstance(node, sp.Sum | sp.Product):
        for limit in node.limits:
            for end in limit[1:]:
                yield from _walk(end, signs, limits)
        under = signs.under([limit[0] for limit in node.limits])
        yield from _walk(node.function, under, (*limits, *node.limits))
        return
    if isinstance(node, sp.Subs):
        place = dict(zip(node.variables, node.point, strict=True))
        for condition in _walk(node.expr, signs.under(node.variables), limits):
            yield instantiated(condition, place)
        for end in node.point:
            yield from _walk(end, signs, limits)
        return
    if isinstance(node, sp.Derivative):
        _require_differentiable(node)
        yield from (_for_all(sp.Gt(base, 0), limits) for base in _roots(node) if not signs.positive(base))
    needed = _needed(node, signs)
    if needed is not None:
        yield _for_all(needed, limits)
    for arg in node.args:
        yield from _walk(arg, signs, limits)


def _near(limit: sp.Limit, signs: Signs, limits: Bound) -> Iterator[sp.Basic]:
    """Conditions for an expression to be defined near the point of a limit: evident there, or not about the variable.

    Raises:
        CheckFailedError: a condition on the variable is neither evident beyond the point nor by a limit of its own.
    """
    expr, variable, point, _ = limit.args
    beyond = [] if point == sp.oo else [sp.Gt(variable, point)]
    for condition in _walk(expr, signs.under([variable]).with_facts(beyond), limits):
        if variable not in condition.free_symbols:
            yield condition
            continue
        strictly = signs.nonzero if isinstance(condition, sp.Unequality) else signs.positive
        distance = 1 / variable if point == sp.oo else variable - point
        if not any(
            strictly(sp.limit((condition.lhs - condition.rhs) / distance**order, variable, point, "+"))
            for order in ORDERS
        ):
            raise CheckFailedError(f"{condition} is not evident for {variable} near {point}")


ORDERS = (0, 1, -1, 2, -2, 3, -3)
"""Orders to which a denominator may vanish or grow at the point of a limit: c·t^k is not 0 near t = 0 if c ≠ 0."""


def _require_differentiable(node: sp.Derivative) -> None:
    variables = set(node.variables)
    if any(variable.is_integer for variable in variables):
        raise CheckFailedError(f"{node} is along an integer; a derivative needs a real variable")
    for part in sp.preorder_traversal(node.expr):
        varies = part.free_symbols & variables and part not in variables
        if not varies or isinstance(part, (*_SMOOTH, sp.Pow, sp.Derivative, sp.Sum, sp.Product, sp.Tuple)):
            continue
        raise CheckFailedError(f"{part} need not be differentiable along {variables}; carry the derivative out")


def _roots(node: sp.Derivative) -> Iterator[sp.Expr]:
    """Bases of fractional powers under a derivative: they must be positive, not only nonnegative."""
    for power in node.expr.atoms(sp.Pow):
        if power.free_symbols & set(node.variables) and not power.exp.is_integer:
            yield power.base


def _needed(node: sp.Basic, signs: Signs) -> sp.Basic | None:
    """Condition on the arguments of one node, None if evident.

    Raises:
        CheckFailedError: a number is outside of where the node is defined, or on which side is not decided.
    """
    if isinstance(node, sp.log):
        argument = node.args[0]
        if _is_number(argument):
            _require_value(node, number_sign(argument) == 1)
            return None
        return None if signs.positive(argument) else sp.Gt(argument, 0)
    if not isinstance(node, sp.Pow):
        return None
    base, exponent = node.base, node.exp
    if _is_number(base):
        found = number_sign(base)
        _require_value(node, found == 1 or (signs.positive(exponent) if found == 0 else is_integer(exponent)))
        return None
    if exponent.is_integer and exponent.is_nonnegative:
        return None
    if exponent.is_integer:
        return None if signs.nonzero(base) else sp.Ne(base, 0)
    if signs.positive(exponent):
        return None if signs.nonnegative(base) else sp.Ge(base, 0)
    return None if signs.positive(base) else sp.Gt(base, 0)


def _is_number(expr: sp.Expr) -> bool:
    return not expr.free_symbols and not expr.has(AppliedUndef)


def _require_value(node: sp.Basic, defined: bool) -> None:
    if not defined:
        raise CheckFailedError(f"{node} has no value: a base or argument is 0 or negative, where it must not be")


def number_sign(number: sp.Expr) -> int:
    """Sign of a number, decided: 0 by its normal form, ±1 by an enclosure that excludes 0.

    Raises:
        CheckFailedError: it has no value, or its sign is not decided.
    """
    try:
        found = sign(Evaluator("number")(number))
    except UndefinedAtPointError as error:
        raise CheckFailedError(f"{number} has no value") from error
    if found is None and remainder(number) != 0:
        raise CheckFailedError(f"the sign of {number} is not decided; write it in a simpler form")
    return found or 0


def _for_all(condition: sp.Basic, limits: tuple[sp.Tuple, ...]) -> sp.Basic:
    """State a condition for every value of the indices around it."""
    for limit in reversed(limits):
        index = limit[0]
        if index not in condition.free_symbols or is_generic(index, condition):
            continue
        if not isinstance(condition, sp.Unequality):
            raise CheckFailedError(f"{condition} is not evident for every {index} from {limit[1]} to {limit[2]}")
        condition = sp.Ne(sp.Product(condition.lhs, limit), 0, evaluate=False)
    if isinstance(condition, sp.Unequality) and _is_number(condition.lhs):
        return sp.true if number_sign(condition.lhs) else sp.false
    return condition
