"""Checks of solutions of differential equations, of limits and of series."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits

from theory.kernel.failure import CheckFailedError
from theory.kernel.functions import logistic, logistic_slope
from theory.kernel.normal_form import remainder
from theory.kernel.points import Evaluator, agree_at_random_points, interval, meets_zero, sign
from theory.kernel.signs import gap, is_strict
from theory.kernel.substitution import instantiated


def check_identity(lhs: sp.Expr, rhs: sp.Expr) -> str:
    """Establish lhs = rhs by two channels: exact normal form, and exact values at random rational points.

    Raises:
        CheckFailedError: the message shows the nonzero remainder.
    """
    left_over = remainder(lhs - rhs)
    if left_over != 0:
        raise CheckFailedError(f"{lhs} = {rhs} leaves the remainder {left_over}")
    return f"normal form of the difference is 0; {agree_at_random_points(lhs, rhs)}"


def check_ode(
    time: sp.Symbol,
    system: Mapping[sp.Symbol, sp.Expr],
    solution: Mapping[sp.Symbol, sp.Expr],
    initial: Mapping[sp.Symbol, sp.Expr],
) -> str:
    """Substitute a proposed solution into dx/dt = right-hand side and into the initial values.

    The right-hand side must be smooth in the components, as otherwise a second solution may exist.

    Raises:
        CheckFailedError: a component is missing, leaves a remainder, or need not be the only solution.
    """
    for name, given in (("solution", solution), ("initial value", initial)):
        if given.keys() != system.keys():
            raise CheckFailedError(f"every component {list(system)} needs a {name}; got {list(given)}")
    components = set(system)
    for component, right in system.items():
        if solution[component].free_symbols & components or initial[component].free_symbols & {*components, time}:
            raise CheckFailedError(f"the solution and the initial value of {component} must be explicit")
        _require_smooth(right, components, time)
        flow = instantiated(right, solution)
        check_identity(sp.diff(solution[component], time), flow)
        check_identity(solution[component].subs(time, 0), initial[component])
    return "substituted into the equation and the initial value; both channels agree; the equation is smooth"


def _require_smooth(expr: sp.Expr, components: set[sp.Symbol], time: sp.Symbol) -> None:
    """Refuse what is not continuously differentiable in the components, or jumps in time: two solutions may exist."""
    smooth = (sp.Add, sp.Mul, sp.exp, sp.log, logistic, logistic_slope, sp.tanh, sp.sin, sp.cos)
    for part in sp.preorder_traversal(expr):
        if time in part.free_symbols and isinstance(part, sp.floor | sp.ceiling | sp.KroneckerDelta):
            raise CheckFailedError(f"{part} jumps in {time}: the solution need not be differentiable")
        if not part.free_symbols & components or part in components or isinstance(part, smooth):
            continue
        if not (isinstance(part, sp.Pow) and part.exp.is_integer and not part.exp.free_symbols & components):
            raise CheckFailedError(f"{part} is not evidently smooth: the solution need not be unique")


def check_limit(expr: sp.Expr, variable: sp.Symbol, point: sp.Expr, value: sp.Expr) -> str:
    """Establish lim_{variable → point} expr = value: symbolically, and by 100-digit values approaching it.

    The numerical channel evaluates at distances 10⁻⁸, 10⁻¹² and 10⁻¹⁶ (or their reciprocals at infinity) and
    asks that the error shrinks at least tenfold each time, at six random points.

    Raises:
        CheckFailedError: sympy's limit differs or is undecided, or the values do not approach.
    """
    folds = {fold: sp.Dummy(real=True) for fold in expr.atoms(sp.Sum, sp.Product) if variable not in fold.free_symbols}
    constant_folds = expr.xreplace(folds)  # sympy's limit would look for closed forms, by its own convention
    if constant_folds.has(sp.Sum, sp.Product):
        raise CheckFailedError(f"{expr} has a Σ over what varies with {variable}; state its closed form first")
    found = sp.limit(constant_folds, variable, point, "+").xreplace({name: fold for fold, name in folds.items()})
    if found.has(sp.Limit, sp.AccumBounds, sp.nan, sp.zoo):
        raise CheckFailedError(f"the limit of {expr} is undecided: {found}")
    left_over = remainder(found - value)
    if left_over != 0:
        raise CheckFailedError(f"the limit of {expr} is {found}, not {value}; remainder {left_over}")
    for seed in range(LIMIT_POINTS):
        errors = []
        for power in (8, 12, 16):
            step = sp.Rational(1, 10**power)
            place = 1 / step if point == sp.oo else point + step
            at = Evaluator(f"limit {seed}")
            errors.append(abs(interval(at(expr.subs(variable, place))) - interval(at(value))))
        if not all(b.b * 10 < a.b or b.b < 1e-60 for a, b in pairwise(errors)):
            shown = ", ".join(f"{float(e.b):.3g}" for e in errors)
            raise CheckFailedError(f"values of {expr} do not approach {value}: errors {shown}")
    return f"symbolic limit agrees; 100-digit values approach it at {LIMIT_POINTS} random points"


LIMIT_POINTS = 6


def check_series(expr: sp.Expr, variable: sp.Symbol, order: int, expansion: sp.Expr) -> str:
    """Establish expr = expansion + O(variable^order) at 0, coefficient by coefficient.

    One derivative more must exist at 0: without it the remainder may be worse, as for x^{5/2} at order 3.

    Raises:
        CheckFailedError: a coefficient below `order` differs, or the function is not smooth enough.
    """
    if not expansion.is_polynomial(variable) or sp.degree(expansion, variable) >= order:
        raise CheckFailedError(f"{expansion} is no polynomial in {variable} of degree below {order}")
    for k in range(order + 1):
        coefficient = sp.diff(expr - expansion, variable, k).subs(variable, 0)
        if coefficient.has(sp.nan, sp.zoo, sp.oo, sp.Derivative, sp.Subs):
            raise CheckFailedError(f"{expr} is not smooth at {variable} = 0: derivative {k} is {coefficient}")
        if k == order:
            break
        left_over = remainder(coefficient)
        if left_over != 0:
            raise CheckFailedError(f"the coefficient of {variable}^{k} in {expr} leaves the remainder {left_over}")
        agree_at_random_points(coefficient, sp.S.Zero)
    small = sp.Rational(1, 10**20)
    for seed in range(LIMIT_POINTS):
        at = Evaluator(f"series {seed}")
        ratio = interval(at((expr - expansion).subs(variable, small))) / interval(at(small**order))
        if sign(abs(ratio) - interval(at(sp.Integer(10) ** 6))) == 1:
            raise CheckFailedError(f"the remainder of {expr} at {variable} = 1e-20 is not of order {order}")
    return f"coefficients 0…{order - 1} agree; remainder of order {order} at {variable} = 1e-20"


def check_cases(statement: sp.Basic, cases: list[dict[sp.Symbol, sp.Expr]]) -> str:
    """Establish a statement for each of finitely many exact rational cases.

    Raises:
        CheckFailedError: there is no case, a case is not exact, or the statement is false or undecided in one.
    """
    if not cases:
        raise CheckFailedError(f"an enumeration over no case at all proves nothing: {statement}")
    seen = set()
    for case in cases:
        values = {symbol: sp.sympify(value) for symbol, value in case.items()}
        if not all(value.is_Rational for value in values.values()):
            raise CheckFailedError(f"enumeration needs exact rationals, got {case}")
        if values.keys() != cases[0].keys() or not statement.free_symbols <= values.keys():
            raise CheckFailedError(f"every case must say what each of {statement.free_symbols} is; got {case}")
        key = tuple(sorted((str(symbol), value) for symbol, value in values.items()))
        if key in seen:
            raise CheckFailedError(f"the case {case} is listed twice")
        seen.add(key)
        # xreplace is far faster, having no intermediate symbols to reason about, but may not touch a bound variable.
        bound = statement.has(ExprWithLimits, sp.Lambda, sp.Subs, sp.Derivative)
        verdict = statement.subs(values, simultaneous=True) if bound else statement.xreplace(values)
        verdict = sp.sympify(verdict).doit()
        if verdict is not sp.true:
            raise CheckFailedError(f"{statement} is {verdict} for {case}")
        at = Evaluator("case", {symbol: Fraction(int(v.p), int(v.q)) for symbol, v in values.items()})
        if truth(statement, at) is not True:
            raise CheckFailedError(f"exact values disagree with sympy on {statement} for {case}")
    return f"true in each of {len(cases)} cases, in exact rationals, by two channels"


def truth(statement: sp.Basic, at: Evaluator) -> bool | None:
    """Decide a relation, or a Boolean combination of relations, at a point; None when it stays open.

    Raises:
        CheckFailedError: the statement is of another kind.
    """
    if statement in (sp.true, sp.false):
        return bool(statement)
    if isinstance(statement, sp.Not):
        inner = truth(statement.args[0], at)
        return None if inner is None else not inner
    if isinstance(statement, sp.Implies):
        return truth(sp.Or(sp.Not(statement.args[0]), statement.args[1], evaluate=False), at)
    if isinstance(statement, sp.And | sp.Or):
        decisive = isinstance(statement, sp.Or)
        parts = [truth(part, at) for part in statement.args]
        return decisive if decisive in parts else None if None in parts else not decisive
    if isinstance(statement, sp.Equality):
        return meets_zero(at(statement.lhs - statement.rhs))
    if isinstance(statement, sp.Unequality):
        return not meets_zero(at(statement.lhs - statement.rhs))
    found = sign(at(gap(statement)))
    return None if found is None else found == 1 or (found == 0 and not is_strict(statement))
