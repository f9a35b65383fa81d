"""Where an expression has a value: denominators that must not vanish, radicands and logarithms of known sign.

An identity of rational functions says nothing where a denominator vanishes. (u² − v²)/(u − v) = u + v and u² = v²
would otherwise prove u = −v. So whatever is not evidently defined becomes a condition that travels with the step.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from theory.kernel.failure import CheckFailedError
from theory.kernel.premises import Premise, is_generic
from theory.kernel.signs import Signs

_ALLOWED = {"integer", "positive", "nonnegative", "real", "rational", "finite", "nonzero", "commutative"}
_UNSOUND = (sp.nan, sp.zoo, sp.Float, sp.I)


def check_sums(statement: sp.Basic) -> None:
    """Check that every index runs over values that the assumptions on it allow, and that nothing is inexact.

    Raises:
        CheckFailedError: an index is assumed to be what it is not, a sum is infinite, or the statement contains a
            floating-point number, an imaginary unit or an undefined value.
    """
    if statement.has(*_UNSOUND):
        raise CheckFailedError(f"only exact, real, defined numbers can be checked: {statement}")
    for fold in statement.atoms(sp.Sum, sp.Product):
        for limit in fold.limits:
            if len(limit) != 3:
                raise CheckFailedError(f"{fold} has no limits")
            index, low, high = limit
            if low.is_infinite or high.is_infinite:
                raise CheckFailedError(f"{fold} has infinitely many terms; write it as a limit")
            assumed = {name for name, value in index._assumptions_orig.items() if value is not None}
            first = 1 if index.is_positive else 0 if index.is_nonnegative else None
            if assumed - _ALLOWED or (first is not None and not Signs().nonnegative(low - first)):
                raise CheckFailedError(f"in {fold} the index {index} starts at {low}, outside of what is assumed of it")


def conditions(statement: sp.Basic, signs: Signs) -> frozenset[Premise]:
    """Return the conditions under which every part of a statement has a value, those that are evident left out.

    Raises:
        CheckFailedError: a condition under a Σ is no statement about each term.
    """
    found = {condition for condition in _walk(statement, signs, ()) if condition not in (sp.true, None)}
    if sp.false in found:
        raise CheckFailedError(f"a denominator, root or logarithm in {statement} has no value")
    return frozenset(Premise("condition", str(condition), condition) for condition in found)


def _walk(node: sp.Basic, signs: Signs, limits: tuple[sp.Tuple, ...]) -> Iterator[sp.Basic]:
    if isinstance(node, sp.Limit | sp.Order):
        return
    if isinstance(node, sp.Sum | sp.Product):
        for limit in node.limits:
            for end in limit[1:]:
                yield from _walk(end, signs, limits)
        yield from _walk(node.function, signs, (*limits, *node.limits))
        return
    needed = _needed(node, signs)
    if needed is not None:
        yield _for_all(needed, limits)
    for arg in node.args:
        yield from _walk(arg, signs, limits)


def _needed(node: sp.Basic, signs: Signs) -> sp.Basic | None:
    """Condition on the arguments of one node, None if evident."""
    if isinstance(node, sp.log):
        return None if signs.positive(node.args[0]) else sp.Gt(node.args[0], 0)
    if not isinstance(node, sp.Pow) or node.base.is_number:
        return None
    base, exponent = node.as_base_exp()
    if (exponent.is_integer and exponent.is_nonnegative) or base.is_number:
        return None
    if exponent.is_integer:
        return None if signs.nonzero(base) else sp.Ne(base, 0)
    if signs.positive(exponent):
        return None if signs.nonnegative(base) else sp.Ge(base, 0)
    return None if signs.positive(base) else sp.Gt(base, 0)


def _for_all(condition: sp.Basic, limits: tuple[sp.Tuple, ...]) -> sp.Basic:
    """State a condition for every value of the indices around it."""
    for limit in reversed(limits):
        index = limit[0]
        if index not in condition.free_symbols or is_generic(index, condition):
            continue
        if not isinstance(condition, sp.Unequality):
            raise CheckFailedError(f"{condition} is not evident for every {index} from {limit[1]} to {limit[2]}")
        condition = sp.Ne(sp.Product(condition.lhs, limit), 0)
    return condition
