"""What a symbolic model is made of, and that it is whole: symbols known, numbers exact, probabilities adding up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import sympy as sp

from theory.kernel import logistic

Values = Mapping[sp.Symbol, sp.Expr]


class SymbolicModelError(ValueError):
    """The definition of a model is incomplete or contradicts itself, or a quantity does not exist for it."""


@dataclass(frozen=True, eq=False)
class SymbolicDefinition:
    """A family of conditionals over finitely many contexts, in symbols.

    Args:
        name: short name.
        parameters: θ, in order.
        scores: s_y for every token y, in the parameters, the symbols of the contexts and the constants.
        contexts: for every context the values of its symbols; one empty mapping if there is nothing to tell apart.
        conditional: p*(y | x) for every token, in the symbols of the contexts and the constants; or one such row for
            every context.
        context_prob: π(x); uniform if left out.
        constants: other symbols that may occur, such as the logit of the target.
        layout: named blocks of θ; every parameter is a block of its own if left out.

    Raises:
        SymbolicModelError: see the message; it says what is expected.
    """

    name: str
    parameters: tuple[sp.Symbol, ...]
    scores: tuple[sp.Expr, ...]
    contexts: tuple[Values, ...]
    conditional: Sequence[sp.Expr] | Sequence[Sequence[sp.Expr]]
    context_prob: tuple[sp.Expr, ...] = ()
    constants: tuple[sp.Symbol, ...] = ()
    layout: Mapping[str, slice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.contexts:
            raise SymbolicModelError(f"{self.name}: expected at least one context, got none; one may be empty: {{}}")
        count = len(self.contexts)
        settle = object.__setattr__
        settle(self, "parameters", tuple(self.parameters))
        settle(self, "scores", tuple(map(sp.sympify, self.scores)))
        contexts = tuple(
            MappingProxyType({symbol: sp.sympify(value) for symbol, value in context.items()})
            for context in self.contexts
        )
        settle(self, "contexts", contexts)
        settle(self, "context_prob", tuple(map(sp.sympify, self.context_prob)) or (sp.Rational(1, count),) * count)
        layout = dict(self.layout) or {str(symbol): slice(i, i + 1) for i, symbol in enumerate(self.parameters)}
        settle(self, "layout", MappingProxyType(layout))
        self._check_symbols()
        self._check_probabilities()

    @property
    def features(self) -> tuple[sp.Symbol, ...]:
        """Symbols whose values make a context, in order."""
        return tuple(self.contexts[0])

    @cached_property
    def truth(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """p*(y | x): a row per context, an entry per token."""
        rows = tuple(self.conditional)
        per_context = bool(rows) and isinstance(rows[0], Sequence | sp.Tuple)
        written = rows if per_context else (rows,) * len(self.contexts)
        return tuple(
            tuple(sp.sympify(p).subs(dict(context)) for p in row)
            for row, context in zip(written, self.contexts, strict=True)
        )

    @cached_property
    def context_scores(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """s_y at every context: a row per context, an entry per token."""
        return tuple(tuple(s.subs(dict(context)) for s in self.scores) for context in self.contexts)

    def _check_symbols(self) -> None:
        own = (*self.parameters, *self.features, *self.constants)
        if not self.parameters or not all(isinstance(symbol, sp.Symbol) for symbol in own):
            raise SymbolicModelError(f"{self.name}: expected symbols as parameters (one at least), got {own}")
        if len(set(own)) < len(own):
            raise SymbolicModelError(f"{self.name}: a symbol is listed twice among {own}")
        for context in self.contexts:
            if tuple(context) != self.features:
                raise SymbolicModelError(f"{self.name}: every context must give {self.features}, got {tuple(context)}")
        if len(self.scores) < 2:
            raise SymbolicModelError(f"{self.name}: expected a score for each of two or more tokens, got {self.scores}")
        covered = sorted(i for block in self.layout.values() for i in range(len(self.parameters))[block])
        if covered != list(range(len(self.parameters))):
            raise SymbolicModelError(f"{self.name}: the blocks {dict(self.layout)} do not cut θ into pieces")
        stated = sp.Tuple(*self.scores, *self.context_prob, *(v for context in self.contexts for v in context.values()))
        if len(self.truth[0]) != len(self.scores):
            raise SymbolicModelError(
                f"{self.name}: expected {len(self.scores)} probabilities, one per token, got {self.truth[0]}"
            )
        for kind, expr, allowed in (
            ("scores", sp.Tuple(*self.scores), set(own)),
            ("contexts", sp.Tuple(*(v for context in self.contexts for v in context.values())), set(self.constants)),
            ("true conditional", sp.Tuple(*(p for row in self.truth for p in row)), set(self.constants)),
            ("probabilities of contexts", sp.Tuple(*self.context_prob), set(self.constants)),
        ):
            unknown = expr.free_symbols - allowed
            if unknown:
                raise SymbolicModelError(f"{self.name}: unknown symbols {unknown} in the {kind}; known are {allowed}")
            if expr.has(sp.nan, sp.zoo, sp.oo, -sp.oo) or stated.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
                raise SymbolicModelError(f"{self.name}: the {kind} or the contexts are not finite: {expr}")
            if expr.has(sp.Float) or stated.has(sp.Float):
                raise SymbolicModelError(f"{self.name}: expected exact numbers such as Rational(1, 3) in the {kind}")

    def _check_probabilities(self) -> None:
        if len(self.context_prob) != len(self.contexts):
            raise SymbolicModelError(
                f"{self.name}: expected {len(self.contexts)} probabilities of contexts, got {len(self.context_prob)}"
            )
        for what, row in (("contexts", self.context_prob), *(("tokens", row) for row in self.truth)):
            total = sp.simplify(sp.Add(*row).replace(logistic, lambda x: sp.exp(x) / (1 + sp.exp(x))))
            if total != 1:
                raise SymbolicModelError(f"{self.name}: probabilities of {what} must sum to one; {row} sum to {total}")
            if any(p.is_negative for p in row):
                raise SymbolicModelError(f"{self.name}: probabilities of {what} must not be negative: {row}")
