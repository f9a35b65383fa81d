"""A grammar's rules without unary ones, and which nonterminals can span how many tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from synthetic.pcfg.grammar import Grammar


@dataclass(frozen=True, eq=False)
class NormalForm:
    """Rules A → B C and A → v of positive probability, each once; the unary rules of S folded into its others.

    P(S → β) + Σ_A P(S → A) P(A → β) is the weight of S → β, so S has the same strings with the same probabilities;
    the symbols A keep their own rules. Source: ours (elimination of unary rules, textbook).
    """

    n_symbols: int
    n_tokens: int
    binary: Int64[Tensor, "binary 3"]
    binary_prob: Float64[Tensor, " binary"]
    lexical: Int64[Tensor, "lexical 2"]
    lexical_prob: Float64[Tensor, " lexical"]

    def emission(self) -> Float64[Tensor, "symbol token"]:
        """Return the matrix P(A → v)."""
        table = torch.zeros(self.n_symbols, self.n_tokens, dtype=torch.float64)
        table[self.lexical[:, 0], self.lexical[:, 1]] = self.lexical_prob
        return table


def normal_form(grammar: Grammar) -> NormalForm:
    """Return the grammar's rules with the unary ones folded away."""
    n, c = len(grammar.nonterminals), len(grammar.terminals)
    binary = _folded(grammar.binary, grammar.binary_prob, grammar, n)
    lexical = _folded(grammar.lexical, grammar.lexical_prob, grammar, max(n, c))
    return NormalForm(n, c, *binary, *lexical)


def _folded(
    rows: Int64[Tensor, "rule part"], prob: Float64[Tensor, " rule"], grammar: Grammar, base: int
) -> tuple[Int64[Tensor, "folded part"], Float64[Tensor, " folded"]]:
    share = torch.zeros(len(grammar.nonterminals), dtype=torch.float64)
    share[grammar.unary] = grammar.unary_prob
    moved = rows.clone()
    moved[:, 0] = 0
    rows, prob = torch.cat([rows, moved]), torch.cat([prob, share[rows[:, 0]] * prob])
    rows, prob = rows[prob > 0], prob[prob > 0]
    place = base ** torch.arange(rows.shape[1] - 1, -1, -1)
    key, index = torch.unique((rows * place).sum(1), return_inverse=True)
    summed = torch.zeros(len(key), dtype=torch.float64).index_add_(0, index, prob)
    return key[:, None] // place % base, summed


def derivable_widths(rules: NormalForm, length: int) -> Bool[Tensor, "symbol width"]:
    """Return whether each symbol derives some string of w tokens, w = 0 … length."""
    found = torch.zeros(rules.n_symbols, length + 1, dtype=torch.bool)
    found[rules.lexical[:, 0], 1] = True
    parent, left, right = rules.binary.T
    for w in range(2, length + 1):
        split = (found[left, 1:w] & found[right, 1:w].flip(1)).any(1)
        found[parent[split], w] = True
    return found


def useful_widths(
    rules: NormalForm, derivable: Bool[Tensor, "symbol width"], lengths: list[int]
) -> Bool[Tensor, "symbol width"]:
    """Return whether each symbol spans w tokens in some derivation from S of a sentence of one of the lengths."""
    found = torch.zeros_like(derivable)
    found[0, lengths] = derivable[0, lengths]
    parent, left, right = rules.binary.T
    for w in range(derivable.shape[1] - 1, 1, -1):
        used = found[parent, w]
        split = derivable[left, 1:w] & derivable[right, 1:w].flip(1) & used[:, None]
        for side, widths in ((left, split), (right, split.flip(1))):
            rule, offset = widths.nonzero(as_tuple=True)
            found[side[rule], offset + 1] = True
    return found
