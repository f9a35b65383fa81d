"""Substitution that never lets a free symbol be captured by a Σ, a limit or a derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp

from theory.kernel.failure import CheckFailedError

_BINDERS = (sp.Sum, sp.Product, sp.Integral, sp.Limit, sp.Derivative, sp.Lambda, sp.Subs, sp.Order)
_OPAQUE = (sp.Limit, sp.Lambda, sp.Subs, sp.Order)
Runs = Callable[[sp.Basic, sp.Basic], bool]


def never(index: sp.Basic, statement: sp.Basic) -> bool:
    """Whether a statement holds for every value of an index, when nothing is known of it: if it does not name it."""
    return index not in statement.free_symbols


def bound_symbols(node: sp.Basic) -> frozenset[sp.Basic]:
    """Symbols that a node binds, those of the nodes inside it included."""
    found: set[sp.Basic] = set()
    for part in sp.preorder_traversal(node):
        if isinstance(part, sp.Derivative | sp.Lambda | sp.Subs | sp.Order):
            found |= set(part.variables)
        elif isinstance(part, sp.Limit):
            found.add(part.args[1])
        elif isinstance(part, sp.Sum | sp.Product | sp.Integral):
            found |= {limit[0] for limit in part.limits}
    return frozenset(found)


def rewritten(expr: sp.Basic, equations: Mapping[sp.Expr, sp.Expr], runs: Runs = never) -> sp.Basic:
    """Replace left sides by right sides, one equation after the other; a number is never replaced.

    Under a Σ or a derivative an equation that speaks of the index or the variable is applied only if it holds for
    every value of it, as `runs` says of the variable and the equation; under a limit or an integral it never is.
    """
    for old, new in equations.items():
        if not old.is_number:
            expr = _replaced(expr, old, new, runs)
    return expr


def _replaced(expr: sp.Basic, old: sp.Expr, new: sp.Expr, runs: Runs) -> sp.Basic:
    hidden: dict[sp.Basic, sp.Dummy] = {}

    def hide(node: sp.Basic) -> sp.Basic:
        if isinstance(node, _BINDERS):
            return hidden.setdefault(node, sp.Dummy(real=node.is_extended_real or None))
        if not node.has(*_BINDERS):
            return node
        return node.func(*(hide(arg) for arg in node.args))

    changed = hide(expr).subs(hide(old), new)
    remaining = [(node, dummy) for node, dummy in hidden.items() if dummy in changed.free_symbols]
    return changed.xreplace({dummy: _replaced_inside(node, old, new, runs) for node, dummy in remaining})


def _replaced_inside(node: sp.Basic, old: sp.Expr, new: sp.Expr, runs: Runs) -> sp.Basic:
    if isinstance(node, sp.Sum | sp.Product):
        *inner, (index, *ends) = node.limits
        body = node.func(node.function, *inner) if inner else node.function  # Σ_j Σ_i as the sum over j of Σ_i
        if runs(index, sp.Eq(old, new, evaluate=False)):
            body = _replaced(body, old, new, runs)
        return node.func(body, (index, *(_replaced(end, old, new, runs) for end in ends)))
    equation = sp.Eq(old, new, evaluate=False)
    if isinstance(node, sp.Subs) and all(runs(variable, equation) for variable in node.variables):
        places = tuple(_replaced(place, old, new, runs) for place in node.point)
        return sp.Subs(_replaced(node.expr, old, new, runs), node.variables, places)
    if not isinstance(node, sp.Derivative) or not all(runs(variable, equation) for variable in node.variables):
        return node
    return node.func(_replaced(node.expr, old, new, runs), *node.variable_count)


def check_forward(expr: sp.Basic) -> None:
    """Check that no Σ or Π of numbers runs backwards, where sympy would take it for a negative sum.

    Raises:
        CheckFailedError: one does, or has a range of numbers that is not written out.
    """
    for fold in expr.atoms(sp.Sum, sp.Product):
        for index, low, high in fold.limits:
            length = high - low + 1
            if length.is_negative or (not fold.free_symbols and not (low.is_Integer and high.is_Integer)):
                raise CheckFailedError(
                    f"{fold} runs over {index} from {low} to {high}: write 0 for a sum over no terms, 1 for a product, "
                    f"and a sum of numbers with its limits as integers"
                )


def instantiated(statement: sp.Basic, values: Mapping[sp.Symbol, sp.Expr]) -> sp.Basic:
    """Replace symbols by values everywhere at once.

    Raises:
        CheckFailedError: a key is no symbol, or a symbol of a value would be captured.
    """
    bound = bound_symbols(statement)
    for symbol, value in values.items():
        if not isinstance(symbol, sp.Symbol):
            raise CheckFailedError(f"only symbols take values; {symbol} is none")
        if any(symbol == base.label for base in statement.atoms(sp.IndexedBase)):
            raise CheckFailedError(f"{symbol} is an indexed quantity; replace the symbols that index it")
        captured = bound & sp.sympify(value).free_symbols
        if captured and symbol in statement.free_symbols and value != symbol:
            raise CheckFailedError(f"{value} would be captured: {statement} already binds {captured}")
    free = {symbol: value for symbol, value in values.items() if symbol in statement.free_symbols}
    elsewhere = free.keys() & {s for part in statement.atoms(*_OPAQUE) for s in bound_symbols(part)}
    if elsewhere:
        raise CheckFailedError(f"{elsewhere} occur both free and bound in {statement}; rename the bound ones")
    for fold in statement.atoms(sp.Sum, sp.Product):
        check_forward(fold.subs(free, simultaneous=True))
    return statement.subs(free, simultaneous=True)
