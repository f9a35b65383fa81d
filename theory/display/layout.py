"""Statements laid out in a given width: broken at relations and terms, and long parts of them named.

A statement that would take more than a few rows is abbreviated. What repeats and is long gets a name, with the indices
of sums that it depends on as arguments; the definition is shown once in a derivation, before its first use. Names and
order depend on the statements alone.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import networkx as nx
import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.pretty.stringpict import prettyForm

from theory.display.printer import beside, drawn, lines_of, relation_sign, signed_terms

ROWS = 3
"""How many rows of terms a statement may take before parts of it are named."""
_LETTERS = "SAUYVZBEGHJKMNQRTWX"
Relation = tuple[str, sp.Expr, sp.Expr | None]


@dataclass
class Layout:
    """The statements of one derivation, with the abbreviations they share.

    Attributes:
        width: of a line, in characters.
        letter: of the abbreviations, S₁, S₂, …
        indices: over which sums of the derivation run.
        known: what has been abbreviated: expression, its name, and the number of the step that defines it.
    """

    width: int
    letter: str = "S"
    indices: frozenset[sp.Basic] = frozenset()
    known: list[tuple[sp.Expr, sp.Expr, int]] = field(default_factory=list)

    @classmethod
    def of(cls, statements: Iterable[object], width: int) -> Layout:
        """Return a layout whose abbreviations collide with no name of the statements."""
        parts = {p for s in statements if isinstance(s, sp.Basic) for p in sp.preorder_traversal(s)}
        named = [p.func.__name__ for p in parts if isinstance(p, AppliedUndef)] + [p.name for p in parts if p.is_Symbol]
        free = (letter for letter in _LETTERS if not any(name.startswith(letter) for name in named))
        indices = frozenset(limit[0] for part in parts if isinstance(part, sp.Sum) for limit in part.limits)
        return cls(width, next(free, "_"), indices)

    def lines(self, statement: sp.Basic, step: int) -> list[str]:
        """Return a statement, preceded by the definitions of what it abbreviates for the first time."""
        relations = relations_of(statement)
        if all(map(self._fits, relations)):
            return self._joined(relations)
        where = {name: number for _, name, number in self.known}
        for expr, name, _ in self.known:
            relations = _named(relations, expr, name)
        relations, new = self.abbreviated(relations)
        self.known += [(expr, name, step) for _, name, expr in new]
        shown = [side for _, *sides in (*relations, *new) for side in sides if side is not None]
        sources: dict[int, list[str]] = {}
        for name, number in where.items():
            if any(side.has(name) for side in shown):
                sources.setdefault(number, []).append(str(drawn(name)).partition("(")[0])
        told = [f"with {', '.join(names)} as in step {number}" for number, names in sources.items()]
        told = [line for text in told for line in textwrap.wrap(text, self.width)]
        return told + self._joined(new, "let ") + self._joined(relations)

    def abbreviated(self, relations: list[Relation]) -> tuple[list[Relation], list[Relation]]:
        """Name parts until all fits, then put back what need not be named; return relations and definitions."""
        new: list[Relation] = []
        while (long := [r for r in (*relations, *new) if not self._fits(r)]) and (chosen := self._choose(long, new)):
            name = self._name(chosen, f"{self.letter}_{len(self.known) + len(new)}_")
            relations, new = _named(relations, chosen, name), [*_named(new, chosen, name), ("==", name, chosen)]
        for name in [name for _, name, _ in reversed(new)]:
            (expr,) = (expr for _, other, expr in new if other == name)
            restored = _named([*relations, *(other for other in new if other[1] != name)], name, expr)
            if all(map(self._fits, restored)):
                relations, new = restored[: len(relations)], restored[len(relations) :]
        new = _ordered(new)
        for number, (_, name, expr) in enumerate(new, len(self.known) + 1):
            final = self._name(expr, f"{self.letter}_{number}")
            relations, new = _named(relations, name, final), _named(new, name, final)
        return relations, new

    def _fits(self, relation: Relation) -> bool:
        rows = self._rows(relation)
        return len(rows) <= ROWS and all(row.width() <= self.width for row in rows)

    def _rows(self, relation: Relation, first: str = "    ") -> list[prettyForm]:
        """Break a relation into rows of at most the width, as far as its terms allow."""
        sign, left, right = relation
        rows = self._filled(left, first, " " * len(first) + "  ")
        if right is None:
            return rows
        between = relation_sign(sign)
        joint = beside(rows[-1], between, drawn(right))
        if joint.width() <= self.width:
            return [*rows[:-1], joint]
        margin = rows[0].width() + len(between)
        if len(rows) == 1 and margin <= self.width // 3:
            aligned = self._filled(right, beside(rows[0], between), " " * margin)
            if all(row.width() <= self.width for row in aligned):
                return aligned
        return rows + self._filled(right, f" {between}", "    ")

    def _filled(self, expr: sp.Expr, first: prettyForm | str, rest: str) -> list[prettyForm]:
        rows: list[prettyForm] = []
        for number, (sign, term) in enumerate(signed_terms(expr)):
            form = drawn(term)
            form = prettyForm(*form.parens()) if form.binding >= prettyForm.ADD and isinstance(expr, sp.Add) else form
            if not number:
                rows.append(beside(first, "-" if sign == "-" else "", form))
            elif rows[-1].width() + 3 + form.width() <= self.width:
                rows[-1] = beside(rows[-1], f" {sign} ", form)
            else:
                rows.append(beside(rest, f"{sign} ", form))
        return rows

    def _choose(self, relations: list[Relation], named: list[Relation]) -> sp.Expr | None:
        """What to name next: the sum of terms that saves most; where none is left, the longest product or power."""
        sides = [side for _, *sides in relations for side in sides if side is not None]
        whole = {*sides, *(expr for *_, expr in named)}
        count = Counter(part for side in sides for part in _parts(side))
        sizes = {part: drawn(part).width() for part in count if part not in whole}
        for kinds in ((sp.Sum, sp.Add), (sp.Mul, sp.Pow, sp.exp)):
            fits = {p: isinstance(p, sp.Add) or size <= self.width - 4 for p, size in sizes.items()}
            fitting = [p for p, size in sizes.items() if isinstance(p, kinds) and size >= 12 and fits[p]]
            if fitting:
                return max(fitting, key=lambda p: ((count[p] - 1) * (sizes[p] - 8), sizes[p]))
        return None

    def _name(self, expr: sp.Expr, name: str) -> sp.Expr:
        arguments = sorted(expr.free_symbols & self.indices, key=str)
        return sp.Function(name)(*arguments) if arguments else sp.Symbol(name)

    def _joined(self, relations: Iterable[Relation], first: str = "") -> list[str]:
        """Stack rows; a blank line keeps apart what takes more than one."""
        found: list[str] = []
        apart = False
        for rows in (self._rows(relation, first) for relation in relations):
            for row in rows:
                tall = row.height() > 1
                found += [""] * bool(found and (apart or tall)) + lines_of(row, self.width)
                apart = tall
            apart = apart or len(rows) > 1
        return [*found, ""] if first and apart else found


def relations_of(statement: sp.Basic) -> list[Relation]:
    """Take a statement apart into relations: their operator and sides; one without operator has only a left side."""
    if isinstance(statement, sp.And):
        return [relation for part in statement.args for relation in relations_of(part)]
    if isinstance(statement, sp.Rel):
        return [(statement.rel_op, statement.lhs, statement.rhs)]
    return [("", statement, None)]


def _named(relations: Iterable[Relation], expr: sp.Expr, name: sp.Expr) -> list[Relation]:
    return [
        (sign, left.xreplace({expr: name}), right if right is None else right.xreplace({expr: name}))
        for sign, left, right in relations
    ]


def _ordered(definitions: list[Relation]) -> list[Relation]:
    """Put what a definition uses before it."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(definitions)))
    for k, (_, name, _) in enumerate(definitions):
        graph.add_edges_from((k, user) for user, (*_, expr) in enumerate(definitions) if expr and expr.has(name))
    return [definitions[k] for k in nx.lexicographical_topological_sort(graph)]


def _parts(expr: sp.Basic) -> Iterator[sp.Expr]:
    """Subexpressions worth a name, in order; limits of sums and arguments of functions have none."""
    if isinstance(expr, sp.Sum | sp.Add | sp.Mul | sp.Pow | sp.exp) and expr.free_symbols:
        yield expr
    inside = expr.args[:1] if isinstance(expr, sp.Sum | sp.Derivative) else expr.args
    for part in inside:
        if not isinstance(part, sp.IndexedBase | sp.Tuple):
            yield from _parts(part)
