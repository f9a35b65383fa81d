"""Premises that no point can satisfy: from them anything would follow, so a step that rests on them is refused."""

from __future__ import annotations

from collections.abc import Iterable

import sympy as sp

from theory.kernel.normal_form import remainder
from theory.kernel.premises import Premise
from theory.kernel.signs import Signs, gap, is_inequality, is_strict
from theory.kernel.substitution import rewritten

MOST_SYMBOLS = 8
"""In equations of which a Gröbner basis is computed."""


def contradiction(premises: Iterable[Premise]) -> str | None:
    """Return in words why no point satisfies all premises; None when that is not found, which proves nothing.

    A premise is evidently false once the equations of the others are substituted in it, given their inequalities; or
    the polynomial equations have no common zero, not even a complex one, where positive symbols are not 0.
    """
    parts = [
        part
        for premise in sorted(premises, key=lambda premise: premise.name)
        if premise.kind != "dynamics" and isinstance(premise.statement, sp.Basic)
        for part in (premise.statement.args if isinstance(premise.statement, sp.And) else (premise.statement,))
        if isinstance(part, sp.Rel)
    ]
    for part in parts:
        others = [other for other in parts if other is not part]
        equations = {other.lhs: other.rhs for other in others if isinstance(other, sp.Equality)}
        left, right = (rewritten(side, equations) for side in part.args)
        facts = [
            other.func(*(rewritten(side, equations) for side in other.args), evaluate=False)
            for other in others
            if not isinstance(other, sp.Equality)
        ]
        if _is_false(part.func(left, right, evaluate=False), Signs(facts)):
            return f"{part} is false by {', '.join(map(str, others)) or 'what is assumed of its symbols'}"
    return _without_common_zero([part for part in parts if isinstance(part, sp.Equality)])


def _is_false(part: sp.Rel, signs: Signs) -> bool:
    difference = sp.expand(part.lhs - part.rhs)
    if isinstance(part, sp.Equality):
        return signs.nonzero(difference)
    if isinstance(part, sp.Unequality):
        return bool(remainder(difference) == 0)
    missing = sp.expand(-gap(part))
    return is_inequality(part) and (signs.positive(missing) or (is_strict(part) and signs.nonnegative(missing)))


def _without_common_zero(equations: list[sp.Equality]) -> str | None:
    symbols = sorted(sp.Tuple(*equations).free_symbols, key=str)
    polynomials = [equation.lhs - equation.rhs for equation in equations]
    if not 0 < len(symbols) <= MOST_SYMBOLS or not all(p.is_polynomial(*symbols) for p in polynomials):
        return None
    inverses = {symbol: sp.Dummy() for symbol in symbols if symbol.is_positive}
    nonzero = [symbol * inverse - 1 for symbol, inverse in inverses.items()]
    basis = sp.groebner([*polynomials, *nonzero], *symbols, *inverses.values(), order="grevlex")
    return f"{', '.join(map(str, equations))} have no common solution" if basis.exprs == [1] else None
