"""Downstream tasks of a grammar's language: which symbol stands over the sentence, or over its first tokens."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.pcfg.chart import inside, out_of_range
from synthetic.pcfg.parser import Parser
from synthetic.pcfg.plan import Plan
from synthetic.sentence_tasks import SentenceTask, first_of_best
from synthetic.tokens import PAD

NO_SYMBOL = -1.0
"""The label of a sentence with no symbol over the span: too short, or nothing derives those tokens."""


@dataclass(frozen=True)
class GrammarTask(SentenceTask):
    """Tell the nonterminal A, among some, of greatest inside probability Pr(A ⇒ the first tokens of a sentence).

    The label is its index among the nonterminals; of equal ones the smallest counts (`first_of_best`), −1 if all are
    zero.

    Attributes:
        parser: charts over all symbols and spans.
    """

    parser: Parser = field(repr=False)

    @property
    @abstractmethod
    def candidates(self) -> Int64[Tensor, " candidate"]:
        """The nonterminals that may be the label, in increasing order."""

    @abstractmethod
    def stop(self, lengths: Int64[Tensor, " example"]) -> Int64[Tensor, " example"]:
        """Return how many of its first tokens decide the label of a sentence, given its length."""

    @property
    def label_values(self) -> tuple[float, ...]:
        return (NO_SYMBOL, *map(float, self.candidates.tolist()))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        self.language.check_sentences(inputs)
        candidates = self.candidates.to(inputs.device)

        def part(plan: Plan, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            chart = inside(plan, tokens)
            listed = candidates[torch.isin(candidates, plan.symbols)]
            tops = torch.stack([cells[:, 0] for cells in chart[1:]])[:, torch.searchsorted(plan.symbols, listed)]
            scores = plan.ring.log(tops.gather(0, (lengths - 1).expand(1, len(listed), -1))[0])
            if not len(listed):
                return torch.full((len(tokens),), NO_SYMBOL, dtype=torch.float64, device=inputs.device), lengths < 0
            label = listed[first_of_best(scores.T)].to(torch.float64)
            return label.masked_fill(scores.isneginf().all(0), NO_SYMBOL), out_of_range(plan, chart)

        lengths = (inputs != PAD).sum(1)
        stop = self.stop(lengths)
        reached = (lengths >= stop).nonzero()[:, 0]
        first = torch.arange(inputs.shape[1], device=inputs.device) < stop[reached, None]
        found = torch.empty(len(reached), dtype=torch.float64, device=inputs.device)
        self.parser.fill(found, inputs[reached].masked_fill(~first, PAD), part)
        labels = torch.full((len(inputs),), NO_SYMBOL, dtype=torch.float64, device=inputs.device)
        labels[reached] = found
        return labels


@dataclass(frozen=True)
class RootTask(GrammarTask):
    """Tell the symbol A of the first step S → A of a sentence's derivation, by its inside probability.

    Source: the authors' task A (second-hand).

    Attributes:
        unary: the symbols A of the rules S → A.
    """

    name: ClassVar[str] = "root"
    unary: Int64[Tensor, " unary"] = field(compare=False)

    @property
    def candidates(self) -> Int64[Tensor, " candidate"]:
        return self.unary.sort().values

    def stop(self, lengths: Int64[Tensor, " example"]) -> Int64[Tensor, " example"]:
        return lengths


@dataclass(frozen=True)
class FirstTask(GrammarTask):
    """Tell the nonterminal, other than S, over the first n tokens. Source: the authors' tasks B and C (second-hand).

    Attributes:
        n: 4 and 2 in the authors' tasks.
    """

    n: int

    @property
    def name(self) -> str:
        """Such as `first-4`."""
        return f"first-{self.n}"

    @property
    def candidates(self) -> Int64[Tensor, " candidate"]:
        return torch.arange(1, self.parser.rules.n_symbols)

    def stop(self, lengths: Int64[Tensor, " example"]) -> Int64[Tensor, " example"]:
        return torch.full_like(lengths, self.n)
