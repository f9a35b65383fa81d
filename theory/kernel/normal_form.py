"""Exact normal form of an expression: numerator of a rational function in independent generators.

Every expression of the claims is a rational function of a few generators: symbols, exponentials, radicals, sums over
an index, undefined functions. Radicals r = b^(1/n) are the only generators with a relation, rⁿ = b; the numerator is
reduced modulo those. A numerator that reduces to 0 proves the identity wherever the denominators do not vanish.
The converse can fail (two radicals may be dependent), so the form may reject a truth but never accept a falsehood.
"""

from __future__ import annotations

import itertools
from functools import cache
from math import lcm

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.functions import logistic, logistic_slope


def collect_sums(expr: sp.Expr) -> sp.Expr:
    """Write every Σ as a linear combination of Σ of monomials, constants drawn out and empty sums removed.

    Linearity: Σ_j (c a_j + b_j) → c Σ_j a_j + Σ_j b_j, Σ_{j=1}^m c → m c if m ≥ 0 is
    known, as a sum over an empty range is 0. Limits: a sum of a known number of terms
    is written out, and Σ_{j=2}^{n+1} becomes Σ_{j=1}^{n} with the terms at its ends written out, where n ≥ 0 is
    known. Kronecker: Σ_j Σ_k a_jk δ_jk over one range is Σ_j a_jj, and Σ_k a_k δ_kl is a_l Σ_k δ_kl, whether or not
    l is in the range. Summation indices are renamed in order of nesting so that equal sums become the same object.
    """

    def one(summand: sp.Expr, index: sp.Symbol, low: sp.Expr, high: sp.Expr) -> sp.Expr:
        summand = sp.expand(collect_sums(summand))
        low, high, result = _canonical_limits(summand, index, low, high)
        for term in sp.Add.make_args(summand) if high != low - 1 else ():
            constant, varying = _primitive_denominators(term).as_independent(index, as_Add=False)
            varying = _diagonal(varying, index, low, high)
            sifted, varying = _sifted(varying, index)
            constant *= sifted
            if varying == 1 and (high - low + 1).is_nonnegative:
                result += constant * (high - low + 1)
            elif _is_one(varying, index, low, high):
                result += constant
            else:
                canonical = _canonical_index(sum_depth(varying))
                result += constant * sp.Sum(varying.xreplace({index: canonical}), (canonical, low, high))
        return result

    def rewrite(total: sp.Sum) -> sp.Expr:
        value = total.function
        for index, low, high in total.limits:
            value = one(value, index, low, high)
        return value

    return expr.replace(lambda e: isinstance(e, sp.Sum), rewrite)


def _diagonal(term: sp.Expr, index: sp.Symbol, low: sp.Expr, high: sp.Expr) -> sp.Expr:
    """Return a_jj for Σ_k a_jk δ_jk, where k runs over the range of the index j."""
    for total in sp.Mul.make_args(term):
        if isinstance(total, sp.Sum) and total.limits[0].args[1:] == (low, high) and len(total.limits) == 1:
            other = total.limits[0][0]
            equal = sp.KroneckerDelta(index, other)
            if equal in sp.Mul.make_args(total.function):
                return term / total * (total.function / equal).xreplace({other: index})
    return term


def _sifted(term: sp.Expr, index: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    """Return a_l and δ_kl for a term a_k δ_kl of Σ_k, if a_l has a value for every integer l; else 1 and the term."""
    for delta in sp.Mul.make_args(term):
        other = _partner(delta, index)
        if other is not None:
            rest = term / delta
            if not rest.has(sp.log) and all(p.exp.is_Integer and p.exp > 0 for p in rest.atoms(sp.Pow)):
                return rest.xreplace({index: other}), delta
    return sp.S.One, term


def _partner(delta: sp.Expr, index: sp.Symbol) -> sp.Expr | None:
    """Return the integer l of δ_kl for the index k; None if it is not of that form."""
    if not (isinstance(delta, sp.KroneckerDelta) and index in delta.args):
        return None
    other = sum(delta.args) - index
    return other if other.is_integer and index not in other.free_symbols else None


def _is_one(term: sp.Expr, index: sp.Symbol, low: sp.Expr, high: sp.Expr) -> bool:
    """Whether a sum is Σ_k δ_kl = 1, l being evidently in the range of k."""
    other = _partner(term, index)
    return other is not None and bool((other - low).is_nonnegative and (high - other).is_nonnegative)


def _interchanged(expr: sp.Expr) -> sp.Expr:
    """Write Σ_i a_i Σ_j b_ij, and the same with the sums exchanged, as one sum over pairs.

    Of the orders of indices that run over one range, the one whose summand comes first is taken.
    """
    if not isinstance(expr, sp.Sum):
        return expr.func(*map(_interchanged, expr.args)) if expr.has(sp.Sum) else expr
    summand, limits = _over_tuples(expr, frozenset())
    groups: dict[tuple[sp.Expr, ...], list[sp.Symbol]] = {}
    for index, *ends in limits:
        groups.setdefault(tuple(ends), []).append(index)
    ranges = sorted(groups, key=sp.default_sort_key)
    depth = sum_depth(summand)
    names = [_canonical_index(depth + place) for place in range(len(limits))]
    orders = itertools.product(*(itertools.permutations(groups[ends]) for ends in ranges))
    written = [summand.xreplace(dict(zip(itertools.chain(*order), names, strict=True))) for order in orders]
    ends = [each for each in ranges for _ in groups[each]]
    return sp.Sum(min(written, key=sp.default_sort_key), *((n, *end) for n, end in zip(names, ends, strict=True)))


def _over_tuples(total: sp.Sum, outer: frozenset[sp.Symbol]) -> tuple[sp.Expr, list[tuple[sp.Expr, ...]]]:
    """Summand and limits of nested sums over ranges that do not depend on `outer` indices, nor on each other's."""
    own = {limit[0]: sp.Dummy(integer=True) for limit in total.limits}
    bound = outer.union(own.values())
    summand, limits = sp.S.One, [(own[index], *ends) for index, *ends in total.limits]
    for factor in sp.Mul.make_args(total.function.xreplace(own)):
        inner = (
            isinstance(factor, sp.Sum) and not sp.Tuple(*(limit[1:] for limit in factor.limits)).free_symbols & bound
        )
        more, ranges = _over_tuples(factor, bound) if inner else (_interchanged(factor), [])
        summand, limits = summand * more, limits + ranges
    return summand, limits


def _primitive_denominators(term: sp.Expr) -> sp.Expr:
    """Draw common factors out of denominators, 1/(ab + ac) → 1/(a (b + c)): they may not depend on the index."""
    return sp.Mul(
        *(
            sp.factor_terms(factor.base) ** factor.exp
            if factor.is_Pow and factor.base.is_Add and factor.exp.is_Integer and factor.exp.is_negative
            else factor
            for factor in sp.Mul.make_args(term)
        )
    )


@cache
def _canonical_index(depth: int) -> sp.Dummy:
    """Index of sums of that depth: a symbol that no statement can contain."""
    return sp.Dummy(f"i_{depth}", integer=True)


WRITTEN_OUT = 64
"""Most terms that a sum of known length is written out into."""


def _canonical_limits(
    summand: sp.Expr, index: sp.Symbol, low: sp.Expr, high: sp.Expr
) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Return limits low', high' and terms with Σ_{low}^{high} = Σ_{low'}^{high'} + terms, for high ≥ low − 1."""

    def terms(first: sp.Expr, count: int) -> sp.Expr:
        return sp.Add(*(summand.subs(index, first + place) for place in range(count)))

    length = high - low + 1
    if length.is_Integer and length <= WRITTEN_OUT:
        return sp.S.One, sp.S.Zero, terms(low, max(0, int(length)))
    shift, base = high.as_coeff_Add()
    ordinary = base.is_integer and base.is_nonnegative and shift.is_Integer and low.is_Integer
    if not ordinary or low < 1 or shift < low - 1 or shift > WRITTEN_OUT:
        return low, high, sp.S.Zero
    ends = terms(base + 1, int(shift)) - terms(sp.S.One, int(low) - 1)
    return (low, high, sp.S.Zero) if ends.has(sp.nan, sp.zoo, sp.oo) else (sp.S.One, base, ends)


def sum_depth(expr: sp.Expr) -> int:
    """Nesting depth of Σ and Π signs in `expr`: sympy writes e^Σ as Π."""
    inner = max((sum_depth(arg) for arg in expr.args), default=0)
    return inner + len(expr.limits) if isinstance(expr, sp.Sum | sp.Product) else inner


def remainder(difference: sp.Expr) -> sp.Expr:
    """Return the reduced numerator of `difference`; it is 0 exactly when the identity is established.

    Args:
        difference: left side minus right side.

    Returns:
        0, or a nonzero expression in the symbols of the input that shows what is left over.
    """
    expr = difference.replace(logistic, lambda x: sp.exp(x) / (1 + sp.exp(x)))
    expr = expr.replace(logistic_slope, lambda x: sp.exp(x) / (1 + sp.exp(x)) ** 2)
    expr = collect_sums(_performed(expr.rewrite([sp.tanh, sp.cosh, sp.sinh], sp.exp)))
    joined = _joined(expr)
    if joined is not None and remainder(joined) == 0:
        return sp.S.Zero
    names: dict[sp.Expr, sp.Symbol] = {}
    expr = _name_opaque(_interchanged(expr), names)
    expr = _name_exponentials(expr, names)
    relations: list[sp.Expr] = []
    expr = _name_radicals(expr, names, relations)
    numerator = sp.fraction(sp.together(expr))[0]
    numerator = sp.expand(numerator)
    if relations and numerator != 0:
        radicals = [symbol for symbol in names.values() if symbol.name.startswith("radical")]
        others = sorted(
            (numerator.free_symbols | set().union(*(r.free_symbols for r in relations))) - set(radicals),
            key=str,
        )
        _, numerator = sp.reduced(numerator, relations, *radicals, *others, order="lex")
    back = {symbol: original for original, symbol in names.items()}
    result = sp.expand(numerator)
    for _ in range(len(back) + 1):
        result = result.xreplace(back)
    return result


def _joined(expr: sp.Expr) -> sp.Expr | None:
    """Return f = Σ_k c_k f_k of Σ_k c_k Σ_i f_k(i), all over one range; None if the expression is not of that form.

    If f is 0 for every i, so is the expression: h/(2 − h) = h/2 + h²/(2(2 − h)) is seen under a Σ as well.
    """
    total, ranges = sp.S.Zero, set()
    for term in sp.Add.make_args(sp.expand(expr)):
        sums = [factor for factor in sp.Mul.make_args(term) if isinstance(factor, sp.Sum)]
        if len(sums) != 1:
            return None
        ranges.add(sums[0].limits)
        total += term / sums[0] * sums[0].function
    return total if len(ranges) == 1 and not total.has(sp.Sum) else None


def _performed(expr: sp.Expr) -> sp.Expr:
    """Carry out derivatives and unevaluated operations, but never look for the closed form of a sum."""
    if not expr.args:
        return expr
    rebuilt = expr.func(*(_performed(arg) for arg in expr.args))
    if isinstance(rebuilt, sp.Product):
        return _written_out(rebuilt)
    return rebuilt if isinstance(rebuilt, sp.Sum | sp.Tuple) else rebuilt.doit(deep=False)


def _written_out(product: sp.Product) -> sp.Expr:
    """Write out a product over numbers, 1 over no number; sympy would take a reversed one for a quotient."""
    *inner, (index, low, high) = product.limits
    if not (low.is_Integer and high.is_Integer and high - low < WRITTEN_OUT):
        return product
    one = sp.Product(product.function, *inner) if inner else product.function
    factors = [one.subs(index, place) for place in range(int(low), int(high) + 1)]
    return sp.Mul(*(_performed(factor) for factor in factors))


_OPAQUE = (sp.Sum, sp.Product, sp.Indexed, sp.Derivative, sp.Subs, sp.Abs, sp.log, sp.Max, sp.Min)


def _name_opaque(expr: sp.Expr, names: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    """Replace sums, indexed quantities, undefined functions and derivatives by symbols of their own."""
    if isinstance(expr, (*_OPAQUE, AppliedUndef)):
        return names.setdefault(expr, sp.Dummy(f"opaque{len(names)}", **_assumptions(expr)))
    if not expr.args:
        return expr
    return expr.func(*(_name_opaque(arg, names) for arg in expr.args))


def _assumptions(expr: sp.Expr) -> dict[str, bool]:
    if expr.is_positive:
        return {"positive": True}
    return {"real": True} if expr.is_extended_real else {}


def _name_exponentials(expr: sp.Expr, names: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    """Replace e^{k·μ} by integer powers of one generator for each monomial μ of the exponents."""
    exponentials = expr.atoms(sp.exp)
    coefficients: dict[sp.Expr, list[sp.Rational]] = {}
    for exponential in exponentials:
        for term in sp.Add.make_args(sp.expand(exponential.args[0])):
            coefficient, monomial = term.as_coeff_Mul(rational=True)
            coefficients.setdefault(monomial, []).append(coefficient)
    generators = {}
    for monomial, values in coefficients.items():
        unit = sp.Rational(1, lcm(*(int(value.q) for value in values)))
        original = sp.exp(unit * monomial)
        generators[monomial] = (unit, names.setdefault(original, sp.Dummy(f"exp{len(names)}", positive=True)))
    table = {}
    for exponential in exponentials:
        power = sp.S.One
        for term in sp.Add.make_args(sp.expand(exponential.args[0])):
            coefficient, monomial = term.as_coeff_Mul(rational=True)
            unit, generator = generators[monomial]
            power *= generator ** (coefficient / unit)
        table[exponential] = power
    return expr.xreplace(table)


def _name_radicals(expr: sp.Expr, names: dict[sp.Expr, sp.Symbol], relations: list[sp.Expr]) -> sp.Expr:
    """Replace b^{p/q} by powers of r with the relation r^q = b, for b a prime, a symbol or a polynomial."""
    degrees: dict[sp.Expr, int] = {}
    pieces: dict[sp.Pow, list[tuple[sp.Expr, sp.Rational]]] = {}
    for power in sorted(expr.atoms(sp.Pow), key=sp.count_ops):
        base, exponent = power.as_base_exp()
        if not (exponent.is_Rational and not exponent.is_Integer):
            continue
        base = _name_radicals(base, names, relations)
        factors = sp.factorint(base).items() if base.is_Integer and base > 0 else [(base, 1)]
        pieces[power] = [(sp.sympify(factor), multiplicity * exponent) for factor, multiplicity in factors]
        for factor, power_of_factor in pieces[power]:
            degrees[factor] = lcm(degrees.get(factor, 1), int(power_of_factor.q))
    generators = {}
    for base, degree in degrees.items():
        original = base ** sp.Rational(1, degree)
        if original not in names:
            names[original] = sp.Dummy(f"radical{len(names)}", positive=bool(base.is_positive) or None)
            numerator, denominator = sp.fraction(sp.together(base))
            relations.append(sp.expand(denominator * names[original] ** degree - numerator))
        generators[base] = (degree, names[original])
    table = {}
    for power, parts in pieces.items():
        value = sp.S.One
        for base, exponent in parts:
            degree, generator = generators[base]
            value *= generator ** (degree * exponent)
        table[power] = value
    return expr.xreplace(table)
