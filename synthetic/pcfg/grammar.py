"""Probabilistic context-free grammars as values: symbols, rules and their probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

ROW_TOLERANCE = 1e-12
"""How far the probabilities of one left-hand side may be from one: 4,500 units of float64 rounding."""


class GrammarError(ValueError):
    """Rules that are no grammar of the form A → B C, A → terminal, S → A."""


class Rule(NamedTuple):
    """A rule lhs → rhs with its probability, by name."""

    lhs: str
    rhs: tuple[str, ...]
    prob: float


@dataclass(frozen=True, eq=False)
class Grammar:
    """A grammar in Chomsky normal form, A → B C and A → v, with unary rules S → A of the start symbol besides.

    A derivation starts from S and replaces nonterminals independently until only terminals are left; the
    probabilities of each left-hand side sum to one. The start symbol is nonterminal 0 and may occur on the right of
    binary rules. Source: textbook. `Grammar.from_rules` builds one from names.

    Attributes:
        nonterminals: their names, the start symbol first.
        terminals: their names; the vocabulary.
        binary: rows (A, B, C) of nonterminals, no row twice.
        binary_prob: P(A → B C).
        lexical: rows (A, v) of a nonterminal and a terminal, no row twice.
        lexical_prob: P(A → v).
        unary: the nonterminals A ≠ S of the rules S → A, none twice.
        unary_prob: P(S → A).

    >>> grammar = Grammar.from_rules([("S", ("S", "S"), 0.25), ("S", ("a",), 0.75)])
    >>> grammar
    Grammar('S', nonterminals=1, terminals=1, rules=2)
    """

    nonterminals: tuple[str, ...]
    terminals: tuple[str, ...]
    binary: Int64[Tensor, "binary 3"]
    binary_prob: Float64[Tensor, " binary"]
    lexical: Int64[Tensor, "lexical 2"]
    lexical_prob: Float64[Tensor, " lexical"]
    unary: Int64[Tensor, " unary"]
    unary_prob: Float64[Tensor, " unary"]

    def __post_init__(self) -> None:
        """Check names, indices and probabilities.

        Raises:
            GrammarError: if a name repeats, an index is foreign, a rule repeats, a probability is no probability, or
                those of a left-hand side do not sum to one.
        """
        names = [*self.nonterminals, *self.terminals]
        if not self.nonterminals or not self.terminals:
            raise GrammarError(
                f"expected at least one nonterminal and one terminal, got {len(self.nonterminals)} and "
                f"{len(self.terminals)}; every derivation must be able to end"
            )
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise GrammarError(f"expected distinct names of symbols, got {repeated!r} twice; rename one")
        n, c = len(self.nonterminals), len(self.terminals)
        self._check_rows("binary", self.binary, self.binary_prob, torch.tensor([n, n, n]))
        self._check_rows("lexical", self.lexical, self.lexical_prob, torch.tensor([n, c]))
        self._check_rows("unary", self.unary[:, None], self.unary_prob, torch.tensor([n]))
        if (self.unary == 0).any():
            raise GrammarError(
                f"expected no rule {self.start} -> {self.start}, got one; drop it and renormalise the others"
            )
        total = self.row_sums()
        if ((total - 1).abs() > ROW_TOLERANCE).any():
            worst = int((total - 1).abs().argmax())
            raise GrammarError(
                f"expected the probabilities of {self.nonterminals[worst]!r} to sum to 1, got "
                f"1 {float(total[worst]) - 1:+.3g}; correct them, or build the grammar with renormalise=True"
            )

    @classmethod
    def from_rules(
        cls,
        rules: Iterable[tuple[str, tuple[str, ...], float]],
        *,
        start: str | None = None,
        renormalise: bool = False,
    ) -> Grammar:
        """Build a grammar from rules by name: what occurs on a left is a nonterminal, any other symbol a terminal.

        A rule given several times has the sum of its probabilities. Nonterminals are numbered as they first occur on
        a left (the start symbol first), terminals as they first occur in the rules of nonterminals in that order.

        Args:
            rules: (lhs, rhs, probability).
            start: the start symbol; the first left-hand side unless given.
            renormalise: whether to divide the probabilities of each left-hand side by their sum.

        Raises:
            GrammarError: if a rule is of another form, and as the constructor does.
        """
        summed: dict[str, dict[tuple[str, ...], float]] = {}
        for lhs, rhs, prob in rules:
            if not 0 <= prob < float("inf"):
                raise GrammarError(f"expected a probability >= 0 of {show(lhs, rhs)}, got {prob}; correct it")
            of_lhs = summed.setdefault(lhs, {})
            of_lhs[tuple(rhs)] = of_lhs.get(tuple(rhs), 0.0) + prob
        start = next(iter(summed), "") if start is None else start
        if start not in summed:
            raise GrammarError(f"expected rules for the start symbol {start!r}, got none; name another start symbol")
        nonterminals = {lhs: index for index, lhs in enumerate([start, *(lhs for lhs in summed if lhs != start)])}
        terminals: dict[str, int] = {}
        rows: dict[str, list[list[int]]] = {"binary": [], "lexical": [], "unary": []}
        probs: dict[str, list[float]] = {"binary": [], "lexical": [], "unary": []}
        for lhs, a in nonterminals.items():
            total = sum(summed[lhs].values())
            if renormalise and total == 0:
                raise GrammarError(f"expected a rule of positive probability for {lhs!r}, got none; add one")
            for rhs, prob in summed[lhs].items():
                kind = rule_form(lhs, rhs, nonterminals, start)
                probs[kind].append(prob / total if renormalise else prob)
                numbers = nonterminals if kind != "lexical" else terminals
                children = [numbers.setdefault(symbol, len(numbers)) for symbol in rhs]
                rows[kind].append(children if kind == "unary" else [a, *children])
        table = {
            "binary": torch.tensor(rows["binary"], dtype=torch.int64).reshape(-1, 3),
            "lexical": torch.tensor(rows["lexical"], dtype=torch.int64).reshape(-1, 2),
            "unary": torch.tensor(rows["unary"], dtype=torch.int64).reshape(-1),
        }
        table |= {f"{kind}_prob": torch.tensor(row, dtype=torch.float64) for kind, row in probs.items()}
        return cls(tuple(nonterminals), tuple(terminals), **table)

    @property
    def start(self) -> str:
        return self.nonterminals[0]

    @property
    def n_rules(self) -> int:
        return len(self.binary) + len(self.lexical) + len(self.unary)

    def rules(self) -> Iterator[Rule]:
        """Yield every rule by name: by left-hand side, and of one the unary, the binary and the lexical ones."""
        by_lhs: list[list[Rule]] = [[] for _ in self.nonterminals]
        names, words = self.nonterminals, self.terminals
        for a, prob in zip(self.unary.tolist(), self.unary_prob.tolist(), strict=True):
            by_lhs[0].append(Rule(self.start, (names[a],), prob))
        for (a, b, c), prob in zip(self.binary.tolist(), self.binary_prob.tolist(), strict=True):
            by_lhs[a].append(Rule(names[a], (names[b], names[c]), prob))
        for (a, v), prob in zip(self.lexical.tolist(), self.lexical_prob.tolist(), strict=True):
            by_lhs[a].append(Rule(names[a], (words[v],), prob))
        for rules in by_lhs:
            yield from rules

    def alphabetical(self) -> Grammar:
        """Return the same grammar with its terminals numbered in the order of their names.

        >>> Grammar.from_rules([("S", ("b",), 0.5), ("S", ("a",), 0.5)]).alphabetical().terminals
        ('a', 'b')
        """
        terminals = tuple(sorted(self.terminals))
        number = torch.tensor([terminals.index(name) for name in self.terminals])
        lexical = torch.stack([self.lexical[:, 0], number[self.lexical[:, 1]]], 1)
        return replace(self, terminals=terminals, lexical=lexical)

    def row_sums(self) -> Float64[Tensor, " nonterminal"]:
        """Return the total probability of each left-hand side."""
        total = torch.zeros(len(self.nonterminals), dtype=torch.float64)
        total.index_add_(0, self.binary[:, 0], self.binary_prob)
        total.index_add_(0, self.lexical[:, 0], self.lexical_prob)
        total[0] += self.unary_prob.sum()
        return total

    def state(self) -> dict[str, Any]:
        """Return the fields by name; `Grammar(**state)` is an equal grammar."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __repr__(self) -> str:
        sizes = f"nonterminals={len(self.nonterminals)}, terminals={len(self.terminals)}, rules={self.n_rules}"
        return f"Grammar({self.start!r}, {sizes})"

    def _check_rows(self, kind: str, rows: Tensor, prob: Tensor, sizes: Tensor) -> None:
        if len(rows) != len(prob):
            raise GrammarError(
                f"expected a probability for each of {len(rows)} {kind} rules, got {len(prob)}; give one"
            )
        foreign = ((rows < 0) | (rows >= sizes)).any(1)
        if foreign.any():
            raise GrammarError(
                f"expected indices below {sizes.tolist()} in {kind} rules, got {rows[foreign][0].tolist()}; "
                "an index is a position in nonterminals or terminals"
            )
        improper = ~((prob >= 0) & (prob < float("inf")))
        if improper.any():
            index = int(improper.nonzero()[0])
            raise GrammarError(
                f"expected probabilities >= 0 of {kind} rules, got {float(prob[index])} of {rows[index].tolist()}"
            )
        if len(torch.unique(rows, dim=0)) < len(rows):
            raise GrammarError(f"expected each {kind} rule once, got one twice; Grammar.from_rules sums duplicates")


def rule_form(
    lhs: str, rhs: tuple[str, ...], nonterminals: Iterable[str], start: str
) -> Literal["binary", "lexical", "unary"]:
    """Return the form of a rule.

    Raises:
        GrammarError: naming the rule, if it has none of the three forms.
    """
    known = [symbol in nonterminals for symbol in rhs]
    if known == [True, True]:
        return "binary"
    if known == [False]:
        return "lexical"
    if known == [True] and lhs == start and rhs != (start,):
        return "unary"
    raise GrammarError(
        f"expected A -> B C, A -> terminal, or {start} -> A of the start symbol, got {show(lhs, rhs)}; "
        "bring the grammar to Chomsky normal form (a symbol with rules of its own is a nonterminal)"
    )


def show(lhs: str, rhs: tuple[str, ...]) -> str:
    """Return a rule as text."""
    return f"{lhs} -> {' '.join(rhs)}"
