"""Whether the conditions of Γ contradict each other, over the real numbers and for general constants."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.polys.matrices import DomainMatrix


def contradiction(residuals: Sequence[sp.Expr], parameters: Sequence[sp.Symbol]) -> sp.Expr | None:
    """Return an expression that the conditions residual = 0 make vanish although it cannot, or None if none is found.

    It is looked for among the linear combinations of the conditions (their echelon form, with the terms in θ as
    unknowns): a number, or an expression of one sign. A product vanishes if a factor does, and a sum of even powers of
    one sign if each of them does; these cases are followed, and each must end so. If there are polynomial conditions
    at least as many as their parameters, a Gröbner basis equal to (1) leaves no solution, not even a complex one.

    What is returned proves that Γ is empty; None proves nothing. Constants count as independent numbers, so that α is
    not 0. Ours.

    Args:
        residuals: the left sides; zero on Γ.
        parameters: θ, real.
    """
    real = {
        symbol: sp.Dummy(symbol.name, real=True)
        for symbol in {*parameters, *sp.Tuple(*residuals).free_symbols}
        if symbol in parameters or symbol.is_real is None
    }
    unknown = [real[symbol] for symbol in parameters]
    found = _contradiction([residual.xreplace(real) for residual in residuals], unknown)
    return None if found is None else found.xreplace({dummy: symbol for symbol, dummy in real.items()})


def _contradiction(residuals: Sequence[sp.Expr], unknown: Sequence[sp.Symbol]) -> sp.Expr | None:
    rows = _echelon(residuals, unknown)
    for row in (*rows, *residuals):
        if row.is_positive or row.is_negative:
            return row
    for row in rows:
        if not row.free_symbols & set(unknown):  # not 0, or the echelon form would have no such row
            return row
    for place, row in enumerate(rows):
        cases = _cases(row, unknown)
        if cases is not None:
            others = [*rows[:place], *rows[place + 1 :]]
            return row if all(_holds_nowhere(case, others, unknown) for case in cases) else None
    occurring = sorted(sp.Tuple(*rows).free_symbols & set(unknown), key=str)
    if len(rows) >= len(occurring) > 0 and all(row.is_polynomial(*occurring) for row in rows):
        basis = sp.groebner(rows, *occurring, order="grevlex")
        return basis.exprs[0] if basis.exprs == [1] else None
    return None


def _holds_nowhere(case: Sequence[sp.Expr], others: Sequence[sp.Expr], unknown: Sequence[sp.Symbol]) -> bool:
    """Whether the other conditions contradict a case, in which some expressions, or parameters, vanish."""
    zero = {symbol: sp.S.Zero for symbol in case if symbol in unknown}
    left = [sp.expand(row.subs(zero)) for row in (*others, *(expr for expr in case if expr not in zero))]
    return _contradiction([row for row in left if row != 0], unknown) is not None


def _cases(row: sp.Expr, unknown: Sequence[sp.Symbol]) -> list[list[sp.Expr]] | None:
    """Return the cases of which one must hold where a polynomial vanishes; None if it tells nothing more."""
    if not row.is_polynomial(*unknown):
        return None
    _, factors = sp.factor_list(row, *unknown)
    if len(factors) > 1 or factors[0][1] > 1:
        return [[factor] for factor, _ in factors]
    terms = sp.Poly(row, *unknown).terms()
    signs = {1 if value.is_positive else -1 if value.is_negative else 0 for _, value in terms}
    if len(terms) > 1 and signs in ({1}, {-1}) and not any(power % 2 for powers, _ in terms for power in powers):
        return [[sp.Mul(*(x ** (p // 2) for x, p in zip(unknown, powers, strict=True))) for powers, _ in terms]]
    return [[row]] if row in unknown else None


def _echelon(residuals: Sequence[sp.Expr], unknown: Sequence[sp.Symbol]) -> list[sp.Expr]:
    """Return the reduced echelon form of the conditions, linear in their terms; what is free of θ comes last."""
    rows: list[dict[sp.Expr, sp.Expr]] = []
    for residual in residuals:
        row: dict[sp.Expr, sp.Expr] = {}
        for term in sp.Add.make_args(sp.expand(sp.expand_log(residual, factor=True))):
            value, monomial = term.as_independent(*unknown, as_Add=False)
            row[monomial] = row.get(monomial, sp.S.Zero) + value
        rows.append(row)
    terms = sorted({term for row in rows for term in row}, key=lambda term: (term == 1, sp.default_sort_key(term)))
    if not terms:
        return []
    matrix = sp.Matrix(len(rows), len(terms), lambda i, j: rows[i].get(terms[j], sp.S.Zero))
    reduced, pivots = DomainMatrix.from_Matrix(matrix).to_field().rref()
    found = reduced.to_Matrix()[: len(pivots), :] * sp.Matrix(terms)
    return [sp.expand(row) for row in found]
