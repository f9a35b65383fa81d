"""What a limit, a series or a flow in one variable may rest on: nothing may vary with the variable unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Protocol

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.failure import CheckFailedError
from theory.kernel.premises import Premise, names_in
from theory.kernel.signs import is_inequality


class _HasPremises(Protocol):
    name: str
    kind: str
    premises: frozenset[Premise]


def check_constant_along(variables: Set[sp.Basic], given: Iterable[_HasPremises]) -> None:
    """Check that no given step holds for one value of the variables only.

    Raises:
        CheckFailedError: a hypothesis, an enumeration or an inequality behind a given step speaks of the variable.
    """
    for step in given:
        for premise in step.premises:
            bounds = isinstance(premise.statement, sp.Contains) or is_inequality(premise.statement)
            assumed = premise.kind == "hypothesis" or (premise.kind == "condition" and bounds)
            if assumed and premise.mentions & variables:
                raise CheckFailedError(
                    f"{step.name!r} rests on the {premise.kind} {premise.name!r}, {premise.statement}, about "
                    f"{premise.mentions & variables}, which vary here"
                )


def refuse_dependence(
    variable: sp.Symbol, expr: sp.Basic, varying: Set[sp.Basic], steps: Iterable[_HasPremises]
) -> None:
    """Check that no other symbol of an expression depends on the variable by a definition or an equation.

    Raises:
        CheckFailedError: one does; it must be substituted first.
    """
    others = names_in(expr) - varying
    dependent: set[sp.Basic] = {variable}
    tied: set[sp.Basic] = set()
    ties = [(names, premise.mentions) for step in steps for premise in step.premises if (names := _ties(premise))]
    grew = True
    while grew:
        found = set().union(*(names for names, mentions in ties if mentions & dependent)) - {variable}
        grew = not found <= tied
        tied |= found
        dependent |= found
    hidden = tied & others
    if hidden:
        raise CheckFailedError(f"{hidden} may depend on {variable} by a definition or hypothesis; substitute it first")


def _ties(premise: Premise) -> frozenset[sp.Basic]:
    """Names whose value a premise sets: of an equation X = …, that is X; of another, or of listed cases, all names."""
    if isinstance(premise.statement, sp.Contains):
        return premise.mentions
    if premise.kind != "hypothesis" or not isinstance(premise.statement, sp.Equality):
        return frozenset(premise.defines)
    left = premise.statement.lhs
    if isinstance(left, sp.Symbol | sp.Indexed | AppliedUndef):
        return names_in(left) - frozenset(left.args) | {left}
    return premise.mentions


def flow_premises(
    time: sp.Symbol,
    system: Mapping[sp.Symbol, sp.Expr],
    solution: Mapping[sp.Symbol, sp.Expr],
    initial: Mapping[sp.Symbol, sp.Expr],
) -> frozenset[Premise]:
    """Return what gives the functions x(t) their meaning: the equation and the initial values, with the solution."""
    rule = sp.Tuple(*(sp.Tuple(x, initial[x], system[x]) for x in sorted(system, key=sp.default_sort_key)))
    bound = frozenset({time, *system})
    return frozenset(
        Premise(
            "dynamics",
            f"flow of {x}",
            sp.Tuple(rule, sp.Tuple(time)),
            defines=(sp.Function(x.name)(time),),
            bound=bound,
            solution=value,
        )
        for x, value in solution.items()
    )
