"""Exact sampling of derivations with a given number of tokens, many sentences at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from synthetic.pcfg.rules import NormalForm
from synthetic.tokens import PAD

CHUNK = 2**17
"""Sentences drawn at once."""


@dataclass(frozen=True, eq=False)
class Lottery:
    """Categorical laws, one for each row, drawn by one binary search in integer thresholds of all rows together.

    Row r owns the integers [r · 2^b, (r + 1) · 2^b), b = 62 − ⌈log₂(rows)⌉, and each of its outcomes a part
    of them proportional to its weight, rounded: probabilities are exact to an absolute 2^−b, and an outcome of weight 0
    is never drawn.
    """

    upper: Int64[Tensor, " outcome"]
    bits: int

    @classmethod
    def of(cls, row: Int64[Tensor, " outcome"], weight: Float64[Tensor, " outcome"], n_rows: int) -> Lottery:
        """Return the lottery of outcomes sorted by row, with weights of any positive total."""
        bits = 62 - max(1, math.ceil(math.log2(n_rows)))
        total = torch.zeros(n_rows, dtype=torch.float64).index_add_(0, row, weight)
        # Cumulated within each row: from the whole sum, rounding would leak from row to row.
        first = torch.searchsorted(row, torch.arange(n_rows))
        longest = int(torch.bincount(row, minlength=n_rows).max())
        place = torch.arange(len(row)) - first[row]
        table = torch.zeros(n_rows, longest, dtype=torch.float64)
        table[row, place] = weight
        share = table.cumsum(1)[row, place] / total[row]
        upper = (share.clamp(max=1.0) * 2**bits).round().to(torch.int64)
        # The last outcome of positive weight, and any after it, end the row exactly.
        upper = torch.where(share >= table.cumsum(1)[row, longest - 1] / total[row], 2**bits, upper)
        return cls(row * 2**bits + upper, bits)

    def draw(self, row: Int64[Tensor, " draw"], generator: torch.Generator) -> Int64[Tensor, " draw"]:
        """Return one outcome (its index among all) for each row asked for."""
        ticket = torch.randint(0, 2**self.bits, row.shape, generator=generator, device=generator.device)
        return torch.searchsorted(self.upper.to(row.device), row * 2**self.bits + ticket, right=True)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Derivations of strings of a given length, from the top down.

    A node A that must span w > 1 tokens becomes A → B C with a left part of k tokens with probability
    P(A → B C) I_k(B) I_{w−k}(C) / I_w(A), I the probabilities of lengths; a node that spans one token becomes v with
    probability P(A → v) / I_1(A). All nodes of one depth, of all sentences, are expanded together. Source: ours.

    Attributes:
        rules: the rules without unary ones.
        inside: I_w(A).
    """

    rules: NormalForm
    inside: Float64[Tensor, "symbol width"]

    def draw(
        self, lengths: Int64[Tensor, " sentence"], T: int, generator: torch.Generator
    ) -> Int64[Tensor, "sentence position"]:
        """Draw one sentence for each length, padded to T, on the generator's device; lengths must be possible."""
        if not len(lengths):
            return torch.empty(0, T, dtype=torch.int64, device=generator.device)
        return torch.cat([self._draw(part, T, generator) for part in torch.split(lengths, CHUNK)])

    def draw_lengths(
        self, n: int, prob: Float64[Tensor, " length"], generator: torch.Generator
    ) -> Int64[Tensor, " sentence"]:
        """Draw n indices of lengths from their law, on the generator's device."""
        rows = torch.zeros(len(prob), dtype=torch.int64)
        return Lottery.of(rows, prob, 1).draw(torch.zeros(n, dtype=torch.int64, device=generator.device), generator)

    def _draw(self, lengths: Tensor, T: int, generator: torch.Generator) -> Tensor:
        device, n_widths = generator.device, self.inside.shape[1]
        lottery, rule, split = self._expansions
        rule, split, children = rule.to(device), split.to(device), self.rules.binary[:, 1:].to(device)
        # A node is its place in the flattened output, its symbol and its width.
        place = torch.arange(len(lengths), device=device) * T
        symbol, width = torch.zeros_like(lengths), lengths
        leaves = []
        while len(place):
            leaf = width == 1
            leaves.append((place[leaf], symbol[leaf]))
            place, symbol, width = place[~leaf], symbol[~leaf], width[~leaf]
            outcome = lottery.draw(symbol * n_widths + width, generator)
            k, pair = split[outcome], children[rule[outcome]]
            place = torch.cat([place, place + k])
            symbol = torch.cat([pair[:, 0], pair[:, 1]])
            width = torch.cat([k, width - k])
        found = torch.full((len(lengths) * T,), PAD, dtype=torch.int64, device=device)
        place, symbol = (torch.cat(part) for part in zip(*leaves, strict=True))
        words, word = self._words
        found[place] = word.to(device)[words.draw(symbol, generator)]
        return found.reshape(-1, T)

    @cached_property
    def _words(self) -> tuple[Lottery, Tensor]:
        order = self.rules.lexical[:, 0].argsort(stable=True)
        row, word = self.rules.lexical[order].T
        return Lottery.of(row.contiguous(), self.rules.lexical_prob[order], self.rules.n_symbols), word.contiguous()

    @cached_property
    def _expansions(self) -> tuple[Lottery, Tensor, Tensor]:
        """Return the lottery of expansions by (symbol, width), and the rule and split of each outcome."""
        parent, left, right = self.rules.binary.T
        n_widths = self.inside.shape[1]
        rows, rules, splits, weights = [], [], [], []
        for w in range(2, n_widths):
            halves = self.inside[left, 1:w] * self.inside[right, 1:w].flip(1)
            weight = self.rules.binary_prob[:, None] * halves
            rule, offset = weight.nonzero(as_tuple=True)
            rows.append(parent[rule] * n_widths + w)
            rules.append(rule)
            splits.append(offset + 1)
            weights.append(weight[rule, offset])
        if not sum(map(len, rows)):
            empty = torch.zeros(0, dtype=torch.int64)
            return Lottery(empty, 1), empty, empty
        row = torch.cat(rows)
        order = row.argsort(stable=True)
        lottery = Lottery.of(row[order], torch.cat(weights)[order], self.rules.n_symbols * n_widths)
        return lottery, torch.cat(rules)[order], torch.cat(splits)[order]
