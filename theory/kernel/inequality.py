"""Certificates of inequalities: terms of known sign, earlier inequalities, or exact root isolation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp
from sympy.polys.polyerrors import BasePolynomialError

from theory.kernel.failure import CheckFailedError
from theory.kernel.normal_form import remainder
from theory.kernel.points import Evaluator, UndefinedAtPointError, sign
from theory.kernel.signs import Signs, gap, is_inequality, is_strict
from theory.kernel.substitution import Runs, never, rewritten


@dataclass(frozen=True)
class Terms:
    """lhs − rhs = Σ terms + Σ multiplierᵢ·(lhsᵢ − rhsᵢ), every term and multiplier of known sign.

    A term is read as it is written, so write it factored: its sign is the product of the signs of its factors,
    where a factor is a square, a number, a symbol of known sign, a sum of such, or the gap of a fact.

    Attributes:
        terms: expressions whose sign is evident.
        using: earlier inequality steps by name, with nonnegative multipliers.
    """

    terms: tuple[sp.Expr, ...] = ()
    using: Mapping[str, sp.Expr] = field(default_factory=dict)


@dataclass(frozen=True)
class RootIsolation:
    """A univariate rational function keeps its sign between `low` and `high`, by Sturm's theorem."""

    symbol: sp.Symbol
    low: sp.Expr
    high: sp.Expr


@dataclass(frozen=True)
class Termwise:
    """Σ_{j=low}^{high} a_j ≥ Σ_{j=low}^{high} b_j because an earlier step says a ≥ b for one term.

    Attributes:
        step: the earlier step, on plain symbols.
        index: summation index.
        low: first index.
        high: last index.
        instance: what each symbol of that step becomes for the term of that index.
    """

    step: str
    index: sp.Symbol
    low: sp.Expr
    high: sp.Expr
    instance: Mapping[sp.Symbol, sp.Expr]


def check_terms(
    statement: sp.Rel,
    certificate: Terms,
    gaps: Mapping[str, sp.Expr],
    strict: Mapping[str, bool],
    signs: Signs,
    rewrite: Mapping[sp.Expr, sp.Expr],
    runs: Runs = never,
) -> tuple[sp.Expr, ...]:
    """Verify a `Terms` certificate; return the factors that all vanish in the case of equality.

    Raises:
        CheckFailedError: a sign is not evident, or the certificate does not add up.
    """
    total = sp.S.Zero
    positive = False
    vanishing = []
    for term in map(sp.sympify, certificate.terms):
        if not signs.nonnegative(term):
            raise CheckFailedError(f"the sign of the term {term} is not evident")
        positive = positive or signs.positive(term)
        vanishing.append(signs.vanishing_factor(term))
        total += term
    for name, multiplier in certificate.using.items():
        multiplier = sp.sympify(multiplier)
        if multiplier == 0:
            raise CheckFailedError(f"the multiplier of step {name!r} is 0; leave it out")
        if not signs.nonnegative(multiplier):
            raise CheckFailedError(f"the multiplier {multiplier} of step {name!r} is not evidently nonnegative")
        positive = positive or (strict[name] and signs.positive(multiplier))
        total += multiplier * gaps[name]
    left_over = remainder(rewritten(gap(statement) - total, rewrite, runs))
    if left_over != 0:
        raise CheckFailedError(f"the certificate of {statement} does not add up; the remainder is {left_over}")
    if is_strict(statement) and not positive:
        raise CheckFailedError(f"{statement} is strict, but no term of its certificate is evidently positive")
    return tuple(factor for factor in vanishing if factor != 1)


def check_root_isolation(statement: sp.Rel, certificate: RootIsolation, signs: Signs) -> tuple[sp.Expr, ...]:
    """Verify an inequality in one variable on an interval; return the factor that vanishes where equality holds.

    Raises:
        CheckFailedError: the function changes sign in the interval, has a pole there or is not a rational function
            of the symbol; or nothing says that the symbol stays in the interval.
    """
    x, low, high = certificate.symbol, sp.sympify(certificate.low), sp.sympify(certificate.high)
    for end, infinite, distance in ((low, -sp.oo, x - low), (high, sp.oo, high - x)):
        if end != infinite and not (end.is_Rational and signs.nonnegative(distance)):
            raise CheckFailedError(
                f"nothing given says that {x} lies in the interval [{low}, {high}], its ends rational"
            )
    if not low < high:
        raise CheckFailedError(f"the interval [{low}, {high}] is empty or a point")
    if not x.is_extended_real:
        raise CheckFailedError(f"the symbol {x} is not assumed to be real")
    try:
        numerator, denominator = (sp.Poly(part, x, domain="QQ") for part in sp.fraction(sp.together(gap(statement))))
    except BasePolynomialError as error:
        raise CheckFailedError(f"root isolation needs a rational function of {x} over ℚ: {statement}") from error
    if denominator.count_roots(low, high):
        raise CheckFailedError(f"{denominator.as_expr()} vanishes for {x} in [{low}, {high}]")
    if numerator.is_zero:
        raise CheckFailedError(f"both sides of {statement} are the same; state an identity")
    vanishing = []
    for factor, multiplicity in numerator.factor_list()[1]:
        roots = factor.count_roots(low, high)
        at_ends = sum(1 for end in {low, high} if end.is_finite and factor.eval(end) == 0)
        if roots > at_ends and multiplicity % 2:
            raise CheckFailedError(f"{factor.as_expr()} changes sign for {x} in [{low}, {high}]")
        if roots and is_strict(statement):
            raise CheckFailedError(f"{factor.as_expr()} vanishes for {x} in [{low}, {high}]")
        if roots:
            vanishing.append(factor.as_expr())
    sample = _inside(low, high, numerator)
    if numerator.eval(sample) * denominator.eval(sample) < 0:
        raise CheckFailedError(f"{statement} fails at {x} = {sample}")
    return (sp.Mul(*vanishing),) if vanishing else ()


def _inside(low: sp.Expr, high: sp.Expr, polynomial: sp.Poly) -> sp.Rational:
    """Return a rational point strictly between `low` and `high` that is no root."""
    if low == -sp.oo:
        low = (sp.S.Zero if high == sp.oo else high) - 1
    if high == sp.oo:
        high = low + 1
    sample = (low + high) / 2
    while polynomial.eval(sample) == 0:
        sample = (low + sample) / 2
    return sample


def sample_inequality(
    statement: sp.Rel,
    facts: Sequence[object],
    rewrite: Mapping[sp.Expr, sp.Expr],
    runs: Runs = never,
    *,
    points: int = 6,
) -> str:
    """Second channel: the inequality holds at random rational points where the facts hold.

    Raises:
        CheckFailedError: a point violates it, or no point satisfies the facts.
    """
    conditions = [(rewritten(gap(fact), rewrite, runs), is_strict(fact)) for fact in facts if is_inequality(fact)]
    expr = rewritten(gap(statement), rewrite, runs)
    tried = 0
    for attempt in range(400):
        at = Evaluator(f"{statement}|{attempt}")
        try:
            signs = [(sign(at(condition)), strict) for condition, strict in conditions]
            if any(found == -1 or (found == 0 and strict) for found, strict in signs):
                continue
            found = sign(at(expr))
        except UndefinedAtPointError:
            continue
        if found == -1 or (found == 0 and is_strict(statement)):
            raise CheckFailedError(f"{statement} is false at {at.describe()}")
        tried += 1
        if tried == points:
            return f"true at {points} random rational points"
    raise CheckFailedError(f"no random point satisfies the hypotheses of {statement}; {tried} of {points} found")
