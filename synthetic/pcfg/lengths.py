"""The law of the length of a grammar's sentences, and expected numbers of spans, by recursion over widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from synthetic.pcfg.grammar import Grammar, GrammarError
from synthetic.pcfg.rules import NormalForm, derivable_widths


def inside_lengths(rules: NormalForm, length: int) -> Float64[Tensor, "symbol width"]:
    """Return I_w(A) = Pr(A derives a string of w tokens), w = 0 … length.

    I_1(A) = Σ_v P(A → v) and I_w(A) = Σ_{A→BC} P(A → B C) Σ_{k=1}^{w−1} I_k(B) I_{w−k}(C). Sums of non-negative
    numbers: each is exact to relative float64 rounding times w. Source: textbook.
    """
    found = torch.zeros(rules.n_symbols, length + 1, dtype=torch.float64)
    found[:, 1].index_add_(0, rules.lexical[:, 0], rules.lexical_prob)
    parent, left, right = rules.binary.T
    for w in range(2, length + 1):
        split = (found[left, 1:w] * found[right, 1:w].flip(1)).sum(1)
        found[:, w].index_add_(0, parent, rules.binary_prob * split)
    return found


def start_lengths_exact(grammar: Grammar, length: int) -> list[Fraction]:
    """Return Pr(S derives a string of w tokens), w = 0 … length, in Fractions of the float64 probabilities."""
    n = len(grammar.nonterminals)
    found = [[Fraction(0)] * (length + 1) for _ in range(n)]
    unary = list(zip(grammar.unary.tolist(), map(Fraction, grammar.unary_prob.tolist()), strict=True))
    binary = list(zip(grammar.binary.tolist(), map(Fraction, grammar.binary_prob.tolist()), strict=True))
    for (a, _), prob in zip(grammar.lexical.tolist(), grammar.lexical_prob.tolist(), strict=True):
        found[a][1] += Fraction(prob)
    for w in range(1, length + 1):
        for (a, b, c), prob in binary:
            found[a][w] += prob * sum((found[b][k] * found[c][w - k] for k in range(1, w)), Fraction(0))
        found[0][w] += sum((prob * found[a][w] for a, prob in unary), Fraction(0))
    return found[0]


@dataclass(frozen=True, eq=False)
class LengthLaw:
    """Lengths of sentences drawn from S given that the length is one of `lengths`; exact to float64 rounding.

    Attributes:
        rules: the grammar's rules without unary ones.
        lengths: the admitted lengths, each at least 1.

    >>> from synthetic.pcfg.rules import normal_form
    >>> rules = normal_form(Grammar.from_rules([("S", ("S", "S"), 0.5), ("S", ("a",), 0.5)]))
    >>> LengthLaw(rules, (1, 2, 3)).prob  # 1/2, 1/8 and 1/16 before conditioning
    tensor([0.7273, 0.1818, 0.0909], dtype=torch.float64)
    """

    rules: NormalForm
    lengths: Sequence[int]

    def __post_init__(self) -> None:
        """Check that some length is possible.

        Raises:
            GrammarError: if S derives no string of an admitted length, or with a probability below float64's range.
        """
        if self.total < torch.finfo(torch.float64).tiny:
            possible = derivable_widths(self.rules, max(self.lengths))[0, list(self.lengths)].any()
            why = f"with a probability of only {self.total:.3g}" if possible else "none at all"
            raise GrammarError(
                f"expected sentences of length {self.lengths[0]}..{self.lengths[-1]}, got {why}; "
                "choose a length that the start symbol derives"
            )

    @cached_property
    def inside(self) -> Float64[Tensor, "symbol width"]:
        """I_w(A) for w = 0 … the longest length."""
        return inside_lengths(self.rules, max(self.lengths))

    @property
    def total(self) -> float:
        """Z = Pr(the length is admitted) under the unconditioned grammar."""
        return float(self.inside[0, list(self.lengths)].sum())

    @property
    def prob(self) -> Float64[Tensor, " length"]:
        """Probability of each admitted length."""
        return self.inside[0, list(self.lengths)] / self.total

    @cached_property
    def spans(self) -> Float64[Tensor, "symbol width"]:
        """Expected number of nodes A that span w tokens in the derivation of a sentence.

        N_ℓ(S) starts as the law of the length; a node (A, w) becomes A → B C with split k with probability
        P(A → B C) I_k(B) I_{w−k}(C) / I_w(A) and adds to (B, k) and (C, w − k).
        """
        return self._expected[0]

    @cached_property
    def uses(self) -> Float64[Tensor, " binary"]:
        """Expected number of uses of each binary rule in the derivation of a sentence."""
        return self._expected[1]

    @cached_property
    def unigram(self) -> Float64[Tensor, " token"]:
        """Expected share of each token among all tokens: E[count of v] / E[length]."""
        leaves = self.spans[:, 1] / self.inside[:, 1].clamp(min=torch.finfo(torch.float64).tiny)
        count = leaves @ self.rules.emission()
        return count / count.sum()

    @cached_property
    def _expected(self) -> tuple[Tensor, Tensor]:
        inside = self.inside
        found = torch.zeros_like(inside)
        found[0, list(self.lengths)] = self.prob
        uses = torch.zeros_like(self.rules.binary_prob)
        parent, left, right = self.rules.binary.T
        for w in range(max(self.lengths), 1, -1):
            rate = torch.where(inside[:, w] > 0, found[:, w] / inside[:, w], 0.0)[parent] * self.rules.binary_prob
            split = rate[:, None] * inside[left, 1:w] * inside[right, 1:w].flip(1)
            uses += split.sum(1)
            found[:, 1:w].index_add_(0, left, split)
            found[:, 1:w].index_add_(0, right, split.flip(1))
        return found, uses
