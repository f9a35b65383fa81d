"""Signs that are evident: from the assumptions on symbols, the shape of an expression, and given facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy as sp

from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.substitution import Runs, never


def gap(statement: sp.Rel) -> sp.Expr:
    """Return what the inequality says is nonnegative (positive, for a strict one).

    Raises:
        CheckFailedError: the statement is not an inequality.
    """
    if isinstance(statement, sp.GreaterThan | sp.StrictGreaterThan):
        return statement.lhs - statement.rhs
    if isinstance(statement, sp.LessThan | sp.StrictLessThan):
        return statement.rhs - statement.lhs
    raise CheckFailedError(f"expected an inequality, got {statement}")


def is_strict(statement: sp.Rel) -> bool:
    """Whether the inequality excludes equality."""
    return isinstance(statement, sp.StrictGreaterThan | sp.StrictLessThan)


def is_inequality(statement: object) -> bool:
    """Whether a statement is one of <, ≤, >, ≥."""
    return isinstance(statement, sp.GreaterThan | sp.StrictGreaterThan | sp.LessThan | sp.StrictLessThan)


class Signs:
    """What is evident about signs, given some facts.

    A sum over an empty range is 0, as everywhere in the kernel.

    Args:
        facts: statements that may be relied on; only inequalities and ≠ 0 tell signs.
        runs: whether a fact holds for every value of an index, so that it may be used under a Σ.
    """

    def __init__(self, facts: Iterable[object] = (), runs: Runs = never) -> None:
        self._facts = tuple(fact for fact in facts if isinstance(fact, sp.Basic))
        self._runs = runs
        self._known: dict[sp.Expr, bool] = {}
        self._nonzero: set[sp.Expr] = set()
        for fact in self._facts:
            if is_inequality(fact):
                expr = sp.expand(gap(fact))
                self._known[expr] = self._known.get(expr, False) or is_strict(fact)
            elif isinstance(fact, sp.Unequality):
                self._nonzero.add(sp.expand(fact.lhs - fact.rhs))

    def under(self, indices: Iterable[sp.Basic]) -> Signs:
        """What stays evident under a Σ: a fact about one value of an index says nothing of the others."""
        bound = tuple(indices)
        return Signs([fact for fact in self._facts if all(self._runs(index, fact) for index in bound)], self._runs)

    def with_facts(self, facts: Iterable[sp.Basic]) -> Signs:
        """What is evident with more facts."""
        return Signs((*self._facts, *facts), self._runs)

    def positive(self, expr: sp.Expr) -> bool:
        """Whether `expr` > 0 is evident."""
        return self._sign(sp.sympify(expr)) == 1

    def nonnegative(self, expr: sp.Expr) -> bool:
        """Whether `expr` ≥ 0 is evident."""
        return self._sign(sp.sympify(expr)) is not None

    def nonzero(self, expr: sp.Expr) -> bool:
        """Whether `expr` ≠ 0 is evident."""
        expr = sp.sympify(expr)
        if isinstance(expr, sp.Mul):
            return all(self.nonzero(arg) for arg in expr.args)
        if isinstance(expr, sp.Pow) and expr.exp.is_positive:
            return self.nonzero(expr.base)
        if (expr.is_zero is False and (expr.is_number or expr.is_Symbol)) or isinstance(expr, sp.exp):
            return True
        stated = {sp.expand(expr), sp.expand(-expr)} & self._nonzero
        return bool(stated) or self.positive(expr) or self.positive(sp.expand(-expr))

    def _sign(self, expr: sp.Expr) -> int | None:
        """1: positive; 0: nonnegative; None: not evident."""
        strict = self._known.get(sp.expand(expr))
        if strict is not None:
            return int(strict)
        if expr.is_number and expr.is_comparable and not expr.has(sp.Sum, sp.Product):  # sympy's sums run backwards
            return 1 if expr.is_positive else 0 if expr.is_zero else None
        if expr.is_Symbol or isinstance(expr, sp.Indexed):
            return 1 if expr.is_positive else 0 if expr.is_nonnegative else None
        if isinstance(expr, sp.exp | logistic | logistic_slope):
            return 1 if expr.args[0].is_extended_real else None
        if isinstance(expr, sp.Abs):
            return 0
        if isinstance(1 - expr, logistic):
            return self._sign(1 - expr)
        if isinstance(expr, sp.Sum | sp.Product):
            return self._sign_of_fold(expr)
        if isinstance(expr, sp.Derivative | sp.Subs):
            return None
        signs = [self._sign(arg) for arg in expr.args]
        if isinstance(expr, sp.Pow):
            if signs[0] == 1 and expr.exp.is_extended_real:
                return 1
            if expr.exp.is_even and expr.base.is_extended_real:
                return 0
            return 0 if signs[0] == 0 and expr.exp.is_positive else None
        if isinstance(expr, sp.Mul):
            unsigned = [arg for arg, found in zip(expr.args, signs, strict=True) if found is None]
            known = [found for found in signs if found is not None]
            return min(known, default=1) if not unsigned else 0 if _consecutive(unsigned) else None
        if isinstance(expr, sp.Add):
            if None in signs:  # a whole number that is positive is at least 1
                return 0 if expr.is_integer and expr.args[0] == -1 and self.positive(expr + 1) else None
            return max(signs)  # type: ignore[type-var]
        if isinstance(expr, sp.floor):
            factor, inside = expr.args[0].as_coeff_Mul()
            return 1 if factor.is_positive and self.nonnegative(inside - 1 / factor) else None
        return None

    def _sign_of_fold(self, fold: sp.Sum | sp.Product) -> int | None:
        """Sign of a sum or product: that of its terms, or 1 for an empty product; infinite ones are left open."""
        indices = [limit[0] for limit in fold.limits]
        if any(end.is_infinite for limit in fold.limits for end in limit[1:]):
            return None
        one = self.under(indices)._sign(fold.function)
        return None if one is None else one if isinstance(fold, sp.Product) else 0

    def vanishing_factor(self, term: sp.Expr) -> sp.Expr:
        """Return the product of the bases that must vanish for the term to vanish (1 when it never does)."""
        powers = [factor.as_base_exp() for factor in sp.Mul.make_args(term) if not self.positive(factor)]
        return sp.Mul(*(base for base, exponent in powers if not exponent.is_negative))


def _consecutive(factors: Sequence[sp.Expr]) -> bool:
    """Whether the factors are two neighbouring whole numbers: between them there is none, so n(n + 1) ≥ 0."""
    if len(factors) != 2 or not all(factor.is_integer for factor in factors):
        return False
    return sp.expand(factors[0] - factors[1]) in {1, -1}
