"""What a step rests on, and what becomes of it when symbols are replaced or an index runs.

A step says: *if* its premises hold, then its statement holds for all values that the assumptions on its symbols
allow. Premises are what was assumed or defined, what the kernel adds of itself (denominators that must not vanish,
the recurrence that a quantity obeys), and they travel with every step that uses the step.

An integer symbol that occurs in a hypothesis only as an index or as an argument of an undefined function is read
as "for every": a_j ≥ 0 is a hypothesis about every a_j.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.failure import CheckFailedError
from theory.kernel.signs import Signs, gap, is_strict
from theory.kernel.substitution import check_forward, instantiated


@dataclass(frozen=True)
class Premise:
    """Something a step rests on.

    Attributes:
        kind: hypothesis, definition, condition (added by the kernel) or dynamics (a recurrence or a flow).
        name: how it is referred to.
        statement: a sympy relation; for dynamics the rule and the place on the trajectory; text if only in words.
        defines: symbols or functions that this premise gives their meaning.
        bound: symbols of a rule that stand for the state and the counter, not for values.
        of_indexed: whether what it defines is indexed, so that it may speak of every x_j at once.
        every: symbols for every value of which it is assumed.
        solution: of a flow, as a function of its time, once it was checked.
    """

    kind: str
    name: str
    statement: Any
    defines: tuple[sp.Basic, ...] = ()
    bound: frozenset[sp.Basic] = frozenset()
    of_indexed: bool = False
    every: frozenset[sp.Basic] = frozenset()
    solution: sp.Expr | None = None

    @property
    def mentions(self) -> frozenset[sp.Basic]:
        """Symbols and undefined functions whose values matter to it."""
        if self.kind == "dynamics":
            rule, place = self.statement.args
            return (names_in(rule) - self.bound) | names_in(place) | frozenset(self.defines)
        return names_in(self.statement)

    @property
    def rests_on(self) -> frozenset[sp.Basic]:
        """Names without which what it defines has no meaning."""
        if self.kind == "dynamics":
            rule, place = self.statement.args
            return (names_in(rule) - self.bound - frozenset(self.defines)) | names_in(place)
        return names_in(self.statement.rhs)


def names_in(statement: Any) -> frozenset[sp.Basic]:
    """Free symbols and undefined functions of a statement; none for text."""
    if not isinstance(statement, sp.Basic):
        return frozenset()
    return frozenset(statement.free_symbols | statement.atoms(AppliedUndef))


def meaning_of(quantity: sp.Basic) -> sp.Basic:
    """The name that a definition or recurrence gives a meaning: of x_j, for every j, it is x."""
    return quantity.base.label if isinstance(quantity, sp.Indexed) else quantity


def is_generic(index: sp.Basic, statement: sp.Basic) -> bool:
    """Whether an integer symbol occurs only as an index or as an argument of undefined functions."""
    if not index.is_integer:
        return False
    masked = statement.replace(lambda e: isinstance(e, sp.Indexed | AppliedUndef), lambda _: sp.Dummy())
    return index not in masked.free_symbols


def combined(statement: Any, premises: Iterable[Premise]) -> frozenset[Premise]:
    """Unite premises: no symbol may have two meanings, and meanings of symbols that no longer occur are dropped.

    Raises:
        CheckFailedError: a symbol would have two meanings, or one that rests on itself.
    """
    kept = set(premises)
    meaning: dict[sp.Basic, Premise] = {}
    for premise in kept:
        for symbol in premise.defines:
            other = meaning.setdefault(symbol, premise)
            if other.statement != premise.statement:
                raise CheckFailedError(
                    f"{symbol} has two meanings: {other.name!r} says {_text(other)}, "
                    f"{premise.name!r} says {_text(premise)}"
                )
    changed = True
    while changed:
        changed = False
        for premise in [p for p in kept if p.defines]:
            elsewhere = names_in(statement).union(*(p.mentions for p in kept if p is not premise))
            if not elsewhere & set(premise.defines):
                kept.discard(premise)
                changed = True
    _refuse_cycles([premise for premise in kept if premise.defines])
    return frozenset(kept)


def _refuse_cycles(meanings: list[Premise]) -> None:
    """Check that what gives symbols their meaning can be put in an order, each resting on earlier ones only."""
    open_ones = meanings
    while open_ones:
        still_open = frozenset().union(*(premise.defines for premise in open_ones))
        ready = [premise for premise in open_ones if not premise.rests_on & still_open]
        if not ready:
            shown = "; ".join(sorted(_text(premise) for premise in open_ones))
            raise CheckFailedError(f"these meanings go round in a circle: {shown}")
        open_ones = [premise for premise in open_ones if premise not in ready]


def _text(premise: Premise) -> str:
    return str(premise.statement)


def check_values(values: Mapping[sp.Symbol, sp.Expr], signs: Signs) -> None:
    """Check that each value has every property that is assumed of the symbol it replaces.

    Raises:
        CheckFailedError: a property is not evident, or a value has a Σ that runs backwards.
    """
    for symbol, value in values.items():
        check_forward(sp.sympify(value))
        for assumption, wanted in _assumptions(symbol).items():
            if not _has(sp.sympify(value), assumption, wanted, signs):
                said = assumption if wanted else f"not {assumption}"
                raise CheckFailedError(f"{symbol} is {said}, but {value} is not evidently so")


def _assumptions(symbol: sp.Basic) -> dict[str, bool]:
    """Assumptions the symbol was made with, commutativity apart; an indexed quantity has those of its base."""
    stated = meaning_of(symbol)._assumptions_orig
    return {name: value for name, value in stated.items() if name != "commutative" and value is not None}


def _has(value: sp.Expr, assumption: str, wanted: bool, signs: Signs) -> bool:
    if value.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        return False
    if wanted and assumption in {"positive", "extended_positive"}:
        return signs.positive(value) or value.is_positive is True
    if wanted and assumption in {"nonnegative", "extended_nonnegative"}:
        return signs.nonnegative(value) or value.is_nonnegative is True
    if wanted and assumption == "negative":
        return signs.positive(-value) or value.is_negative is True
    if wanted and assumption == "nonzero":
        return signs.nonzero(value)
    if wanted and assumption in {"real", "extended_real", "finite", "complex"}:
        return is_real(value)
    if wanted and assumption == "integer":
        return is_integer(value)
    return getattr(value, f"is_{assumption}") is wanted


def is_real(value: sp.Expr) -> bool:
    """Whether a value is evidently real, sums of real terms included."""
    if isinstance(value, sp.Sum):
        return is_real(value.function) and not any(bound.is_infinite for limit in value.limits for bound in limit[1:])
    if isinstance(value, sp.Subs | sp.Derivative):
        return is_real(value.expr) and all(variable.is_extended_real for variable in value.variables)
    if isinstance(value, sp.Add | sp.Mul):
        return all(is_real(arg) for arg in value.args)
    if isinstance(value, sp.Pow) and value.exp.is_integer:
        return is_real(value.base)  # where it is defined; a denominator is a condition of its own
    return bool(value.is_extended_real)


def is_integer(value: sp.Expr) -> bool:
    """Whether a value is evidently an integer: also a polynomial such as d(d − 1)/2.

    A polynomial is integer-valued if it is so at the points 0, …, degree of each variable (Newton's formula).
    """
    if value.is_integer:
        return True
    symbols = sorted(value.free_symbols, key=str)
    if not symbols or not all(symbol.is_integer for symbol in symbols) or not value.is_polynomial(*symbols):
        return False
    grid = itertools.product(*(range(int(sp.degree(value, symbol)) + 1) for symbol in symbols))
    return all(value.subs(dict(zip(symbols, point, strict=True))).is_integer for point in grid)


def undischarged(
    premises: Iterable[Premise], values: Mapping[sp.Symbol, sp.Expr], facts: Iterable[sp.Basic], signs: Signs
) -> frozenset[Premise]:
    """Return the premises that remain when symbols are replaced by values that `facts` describe.

    A hypothesis about a replaced symbol must hold of the value, evidently or by a fact. Definitions, conditions and
    recurrences are restated for the value.

    Raises:
        CheckFailedError: a hypothesis is not known of the value.
    """
    facts = tuple(facts)
    kept: set[Premise] = set()
    for premise in premises:
        touched = {s for s in values.keys() & premise.mentions if values[s] != s}
        if premise.kind in {"hypothesis", "condition"}:
            touched = {s for s in touched - premise.every if not is_generic(s, premise.statement)}
        if not touched:
            kept.add(premise)
        elif premise.kind == "dynamics":
            kept.add(_moved(premise, {s: values[s] for s in touched}))
        else:
            needed = instantiated(premise.statement, {s: values[s] for s in touched})
            if needed == sp.false:
                raise CheckFailedError(f"{premise.kind} {premise.name!r} becomes false: {premise.statement}")
            if _holds(needed, facts, signs):
                continue
            if premise.kind == "hypothesis" or touched & set(premise.defines):
                raise CheckFailedError(f"the hypothesis {premise.name!r} becomes {needed}, which is not given")
            kept.add(replace(premise, statement=needed))
    return frozenset(kept)


def _moved(premise: Premise, values: Mapping[sp.Symbol, sp.Expr]) -> Premise:
    """Restate a recurrence: parameters and counters take their values, a state may only be renamed."""
    rule, place = premise.statement.args
    renamed = {}
    for state in premise.defines:
        new = sp.sympify(values.get(state, state))
        if not new.is_Symbol:
            raise CheckFailedError(f"{state} obeys a recurrence ({premise.name}); it cannot be replaced by {new}")
        renamed[state] = new
    parameters = {s: v for s, v in values.items() if s not in premise.bound}
    return replace(
        premise,
        statement=sp.Tuple(instantiated(rule, parameters), instantiated(place, values)),
        defines=tuple(renamed.values()),
    )


def _holds(needed: sp.Basic, facts: Iterable[sp.Basic], signs: Signs) -> bool:
    if needed == sp.true or any(fact == needed for fact in facts):
        return True
    if isinstance(needed, sp.Unequality):
        return signs.nonzero(needed.lhs - needed.rhs)
    if isinstance(needed, sp.Rel) and not isinstance(needed, sp.Equality):
        difference = gap(needed)
        return signs.positive(difference) or (not is_strict(needed) and signs.nonnegative(difference))
    return False


def check_runs(index: sp.Symbol, premises: Iterable[Premise], evident: Signs) -> frozenset[Premise]:
    """Return the premises of a statement that is to hold for every value of an index.

    Raises:
        CheckFailedError: a premise speaks of one value of the index only.
    """
    kept = set()
    for premise in premises:
        if index in premise.mentions:
            indexed = premise.kind in {"hypothesis", "condition"} or index not in premise.bound | set(premise.defines)
            of_quantity = all(name.is_Symbol and premise.of_indexed for name in premise.defines)
            speaks_of_all = index in premise.every or (indexed and of_quantity and is_generic(index, premise.statement))
            if not speaks_of_all:
                if premise.kind in {"hypothesis", "condition"} and _holds(premise.statement, (), evident):
                    continue
                raise CheckFailedError(
                    f"{premise.kind} {premise.name!r} speaks of one value of {index}, the statement of all: "
                    f"{_text(premise)}"
                )
        kept.add(premise)
    return frozenset(kept)
