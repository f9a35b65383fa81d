"""The premises of a step, solved for what they determine.

Every premise becomes a rule for one quantity that it mentions, if there is one in which it is affine or quadratic:
x − 1 ≥ 0 makes x = 1 + slack, Σ_j q_j = 1 sets q_1, z² = 1 picks a root, and a recurrence is run. What has no rule is
tested.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from theory.kernel.door.evaluate import NotAttackableError
from theory.kernel.failure import CheckFailedError
from theory.kernel.premises import Premise, is_generic


def head_of(atom: Any) -> Any:
    """What a rule or an assumption is about: of w_j it is w, of g(x) it is g."""
    return atom.base if isinstance(atom, sp.Indexed) else atom.func if isinstance(atom, AppliedUndef) else atom


def places_of(atom: Any) -> tuple[sp.Expr, ...]:
    """Indices or arguments."""
    return tuple(atom.indices) if isinstance(atom, sp.Indexed) else tuple(atom.args)


@dataclass(frozen=True)
class Rule:
    """A premise, solved for one quantity: `places` are its indices, of which `generic` ones stand for every value."""

    premise: sp.Rel
    head: Any
    places: tuple[sp.Expr, ...]
    generic: frozenset[sp.Basic]
    value: sp.Expr | None
    """The other side, if one side is the quantity itself."""


class Setting:
    """The premises of a step, made ready to be satisfied.

    Args:
        statement: what is said.
        premises: what it rests on.
        slack: whether inequalities are solved as well, not only tested.
        interpreted: quantities whose values are given, so that no premise is solved for them.
    """

    def __init__(
        self,
        statement: sp.Basic,
        premises: Iterable[Premise],
        *,
        slack: bool,
        interpreted: frozenset[Any] = frozenset(),
    ) -> None:
        self._interpreted = interpreted
        self.rules: dict[Any, list[Rule]] = {}
        self.tests: list[tuple[sp.Basic, frozenset[sp.Basic]]] = []
        self.runs: dict[Any, tuple[sp.Tuple, sp.Tuple]] = {}
        self.flows: dict[Any, tuple[sp.Symbol, sp.Expr]] = {}
        self.cases: list[tuple[sp.Tuple, tuple[sp.Basic, ...]]] = []
        self._needs: dict[Any, set[Any]] = {}
        self.effort = 0
        """How many values were computed to satisfy the premises."""
        self._cased: set[sp.Basic] = set()
        self.meanings: set[Any] = set()
        """What definitions and recurrences give a meaning: these may not rest on each other in a circle."""
        ordered = sorted((p for p in premises if isinstance(p.statement, sp.Basic)), key=lambda p: (p.kind, p.name))
        everything = [statement, *(p.statement for p in ordered)]
        self.discrete = _discrete(everything)
        self._popular: dict[Any, int] = {}
        for part in everything:
            for head in heads(part):
                self._popular[head] = self._popular.get(head, 0) + 1
        solvable: list[tuple[int, sp.Basic, frozenset[sp.Basic], Premise]] = []
        for premise in ordered:
            if premise.kind == "dynamics":
                self._follow(premise)
                self.meanings |= self.runs.keys() | self.flows.keys()
                continue
            generic = generic_of(premise)
            parts = premise.statement.args if isinstance(premise.statement, sp.And) else (premise.statement,)
            for part in parts:
                easy = 0 if premise.kind == "definition" else 1 if isinstance(part, sp.Equality) else 2
                easy = 3 if premise.kind == "condition" else easy
                solvable.append((easy, part, generic & part.free_symbols, premise))
        for easy, part, generic, _ in sorted(solvable, key=lambda item: item[0]):
            if easy == 0 and part.lhs.is_Symbol and part.lhs not in interpreted:
                if part.lhs in self.meanings:
                    raise CheckFailedError(f"{part.lhs} has two meanings; give one of them another name")
                self.meanings.add(part.lhs)
                self.rules[part.lhs] = [Rule(part, part.lhs, (), frozenset(), part.rhs)]
                self._needs[part.lhs] = set(heads(part.rhs))
            elif isinstance(part, sp.Contains) and isinstance(part.args[1], sp.FiniteSet):
                self._list_cases(part)
            elif (
                not isinstance(part, sp.Rel) or (easy == 2 and not slack) or easy == 3 or not self._solve(part, generic)
            ):
                self.tests.append((part, generic))
                if not all(symbol.is_integer or symbol in interpreted for symbol in generic):
                    raise NotAttackableError("a hypothesis about every real number is solved for none")

    @property
    def fixed(self) -> frozenset[Any]:
        """Quantities with a rule, a recurrence or a list of cases."""
        return frozenset(self.rules.keys() | self.runs.keys() | self._cased)

    def _follow(self, premise: Premise) -> None:
        rule, place = premise.statement.args
        if premise.solution is not None:
            self.flows.update({state.func: (place[0], premise.solution) for state in premise.defines})
            return
        for state, _, _ in rule:
            if any(name in (state, getattr(getattr(state, "base", None), "label", None)) for name in premise.defines):
                self.runs[head_of(state)] = (rule, place)

    def _list_cases(self, part: sp.Contains) -> None:
        entries = part.args[0].args if isinstance(part.args[0], sp.Tuple) else (part.args[0],)
        symbols = [entry for entry in entries if entry.is_Symbol and entry not in self.rules]
        if len(symbols) == len(entries):
            self.cases.append((sp.Tuple(*entries), tuple(part.args[1].args)))
            self._cased |= set(entries)
        else:
            self.tests.append((part, frozenset()))

    def _solve(self, part: sp.Rel, generic: frozenset[sp.Basic]) -> bool:
        """Find a quantity to solve a premise for; whether that is enough, so that nothing is left to test."""
        equation = isinstance(part, sp.Equality)
        for atom, value in self._candidates(part):
            head, places = head_of(atom), places_of(atom)
            if head in self.runs or head in self.flows or head in self._cased or head in generic:
                continue
            if head in self._interpreted:
                continue
            if generic - set(places) or any(places.count(index) > 1 for index in generic):
                continue
            if isinstance(atom, AppliedUndef) and value is None and not all(self.discrete[head]):
                continue
            before = self.rules.get(head, [])
            if before and (equation or set(before[-1].places) & before[-1].generic == set(before[-1].places)):
                continue
            needs = heads(part) - {head} - generic
            if self._reaches(needs, head):
                continue
            self.rules[head] = [*before, Rule(part, head, places, generic, value if equation else None)]
            self._needs[head] = self._needs.get(head, set()) | needs
            return not before
        return False

    def _candidates(self, part: sp.Rel) -> Iterator[tuple[Any, sp.Expr | None]]:
        """Quantities that a premise may be solved for, the simplest first, with the other side where it is explicit."""
        for side, other in ((part.lhs, part.rhs), (part.rhs, part.lhs)):
            if _is_atom(side) and head_of(side) not in heads(other):
                yield side, other
        inner = sorted(_ranked(part), key=lambda pair: (pair[0], self._popular.get(head_of(pair[1]), 0)))
        yield from ((atom, None) for _, atom in inner)
        for head in sorted(heads(part) & self.runs.keys(), key=str):
            for state, _, update in self.runs[head][0]:
                if head_of(state) == head:
                    started = {s: start for s, start, again in self.runs[head][0] if again == s + 1}
                    yield from ((a, None) for a in _elements(update.xreplace(started)) if isinstance(a, sp.Indexed))

    def _reaches(self, heads: Iterable[Any], goal: Any) -> bool:
        seen, front = set(), list(heads)
        while front:
            head = front.pop()
            if head == goal:
                return True
            if head not in seen:
                seen.add(head)
                front += self._needs.get(head, ())
        return False


@lru_cache(maxsize=8192)
def generic_of(premise: Premise) -> frozenset[sp.Basic]:
    """Symbols for every value of which a premise holds."""
    if premise.kind == "definition":
        return frozenset()
    free = frozenset(s for s in premise.statement.free_symbols if s.is_Symbol)
    return (premise.every & free) | {s for s in free if is_generic(s, premise.statement)}


def _is_atom(side: Any) -> bool:
    return isinstance(side, sp.Symbol | sp.Indexed | AppliedUndef)


@lru_cache(maxsize=16384)
def heads(expr: sp.Basic) -> frozenset[Any]:
    """Symbols, indexed bases and undefined functions of an expression."""
    atoms = expr.atoms(sp.Indexed, AppliedUndef)
    return frozenset({head_of(a) for a in atoms}) | {s for s in expr.free_symbols if s.is_Symbol}


@lru_cache(maxsize=8192)
def _ranked(part: sp.Rel) -> tuple[tuple[bool, Any], ...]:
    """Quantities of a premise, with whether it is evidently no polynomial in them."""
    difference = part.lhs - part.rhs
    found = [(not difference.is_polynomial(atom), atom) for atom in _elements(part)]
    return tuple(sorted(found, key=lambda pair: (pair[0], str(pair[1]))))


def _elements(part: sp.Basic) -> Iterator[Any]:
    """Quantities of a premise, those inside of a Σ at its first index."""

    def walk(node: sp.Basic, bound: dict[sp.Basic, sp.Expr]) -> Iterator[Any]:
        if isinstance(node, sp.Sum | sp.Product):
            first = {limit[0]: limit[1].xreplace(bound) for limit in node.limits}
            yield from walk(node.function, {**bound, **first})
            return
        if isinstance(node, sp.Derivative | sp.Subs | sp.Limit | sp.Order):
            return
        if _is_atom(node):
            if node not in bound:
                yield node.xreplace(bound)
            return
        for arg in node.args:
            yield from walk(arg, bound)

    return iter(dict.fromkeys(walk(part, {})))


def _discrete(parts: Iterable[sp.Basic]) -> dict[Any, tuple[bool, ...]]:
    """Arguments of undefined functions that are integers wherever the function occurs."""
    found: dict[Any, tuple[bool, ...]] = {}
    for part in parts:
        for atom in part.atoms(AppliedUndef):
            here = tuple(bool(arg.is_integer) for arg in atom.args)
            before = found.get(atom.func, (True,) * len(here))
            found[atom.func] = tuple(a and b for a, b in zip(before, here, strict=False))
    return found
