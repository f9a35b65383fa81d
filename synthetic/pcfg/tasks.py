"""Downstream tasks of a grammar's language: which symbol stands over the sentence, or over a span of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthetic.pcfg.chart import inside, out_of_range, outside
from synthetic.pcfg.parser import Parser
from synthetic.pcfg.plan import Plan
from synthetic.sentence_tasks import SentenceTask, first_of_best
from synthetic.tokens import PAD

NO_SYMBOL = -1.0
"""The label of a sentence with no symbol over the span: too short, or nothing derives those tokens."""


@dataclass(frozen=True)
class GrammarTask(SentenceTask):
    """Tell the best nonterminal over a span of a sentence of the language; its index among the nonterminals.

    By *inside* probability, the best A has the greatest Pr(A ⇒ the span's tokens); by *posterior* probability, the
    greatest Pr(A spans those tokens | sentence). Of equal ones (`first_of_best`) the smallest index counts; −1 if all
    are zero.

    Attributes:
        parser: charts over all symbols and spans.
        unary: the symbols A of the rules S → A.
        unary_prob: P(S → A).
        posterior: which of the two probabilities decides.
    """

    parser: Parser = field(repr=False)
    unary: Int64[Tensor, " unary"] = field(repr=False, compare=False)
    unary_prob: Float64[Tensor, " unary"] = field(repr=False, compare=False)
    posterior: bool

    @property
    @abstractmethod
    def candidates(self) -> Int64[Tensor, " candidate"]:
        """The nonterminals that may be the label, in increasing order."""

    @abstractmethod
    def reaches(self, lengths: Int64[Tensor, " example"]) -> Tensor:
        """Return which sentences hold the span."""

    @abstractmethod
    def scores(
        self, plan: Plan, tokens: Int64[Tensor, "example position"], lengths: Int64[Tensor, " example"]
    ) -> tuple[Tensor, Tensor]:
        """Return the score of every row of the plan, shape (row, example), and which examples need logarithms."""

    @property
    def label_values(self) -> tuple[float, ...]:
        return (NO_SYMBOL, *map(float, self.candidates.tolist()))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        self.language.check_sentences(inputs)

        def part(plan: Plan, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            scores, lost = self.scores(plan, tokens, lengths)
            candidates = self.candidates.to(inputs.device)
            listed = candidates[torch.isin(candidates, plan.symbols)]
            row = torch.searchsorted(plan.symbols, listed)
            if not len(row):
                return torch.full((len(tokens),), NO_SYMBOL, dtype=torch.float64, device=inputs.device), lost
            logs = plan.ring.log(scores[row])
            labels = listed[first_of_best(logs.T)].to(torch.float64)
            return labels.masked_fill(logs.isneginf().all(0), NO_SYMBOL), lost

        labels = torch.full((len(inputs),), NO_SYMBOL, dtype=torch.float64, device=inputs.device)
        reached = self.reaches((inputs != PAD).sum(1)).nonzero()[:, 0]
        found = torch.empty(len(reached), dtype=torch.float64, device=inputs.device)
        self.parser.fill(found, self.deciding(inputs[reached]), part)
        labels[reached] = found
        return labels

    def deciding(self, inputs: Int64[Tensor, "example position"]) -> Int64[Tensor, "example part"]:
        """Return the tokens that decide the label."""
        return inputs


@dataclass(frozen=True)
class RootTask(GrammarTask):
    """Tell the symbol A of the first step S → A of a sentence's derivation.

    Score Pr(A ⇒ x), or P(S → A) Pr(A ⇒ x) as posterior. Source: the authors' task A (second-hand), which takes the
    inside score.
    """

    @property
    def name(self) -> str:
        return "root-posterior" if self.posterior else "root"

    @property
    def candidates(self) -> Int64[Tensor, " candidate"]:
        return self.unary.sort().values

    def reaches(self, lengths: Int64[Tensor, " example"]) -> Tensor:
        return lengths > 0

    def scores(
        self, plan: Plan, tokens: Int64[Tensor, "example position"], lengths: Int64[Tensor, " example"]
    ) -> tuple[Tensor, Tensor]:
        """Return β of each row over the whole sentence, times P(S → A) as posterior."""
        chart = inside(plan, tokens)
        tops = torch.stack([cells[:, 0] for cells in chart[1:]])
        scores = tops.gather(0, (lengths - 1).expand(1, tops.shape[1], -1))[0]
        if self.posterior:
            prior = torch.zeros(self.parser.rules.n_symbols, dtype=torch.float64, device=tokens.device)
            prior[self.unary.to(tokens.device)] = self.unary_prob.to(tokens.device)
            scores = plan.ring.times(scores, plan.ring.write(prior[plan.symbols])[:, None])
        return scores, out_of_range(plan, chart)


@dataclass(frozen=True)
class SpanTask(GrammarTask):
    """Tell the nonterminal, other than S, over tokens start … stop − 1.

    Score β(A) over the span alone, or α(A) β(A) as posterior. Source: the authors' tasks B and C (second-hand), the
    inside score of the first 4 and the first 2 tokens. Attributes:
        start: first token of the span.
        stop: the token after the span.
    """

    prefix: ClassVar[str] = "first"
    start: int
    stop: int

    def __post_init__(self) -> None:
        """Check the span.

        Raises:
            ValueError: if it is empty or leaves the sentence.
        """
        if not 0 <= self.start < self.stop <= self.language.length:
            raise ValueError(
                f"expected a span 0 <= start < stop <= {self.language.length}, got {self.start}..{self.stop}; "
                "a span holds at least one token of the sentence"
            )

    @property
    def name(self) -> str:
        """`first-4` for the first four tokens, `span-3-5` for tokens 3 and 4; with `-posterior` if it decides."""
        span = f"{self.prefix}-{self.stop}" if self.start == 0 else f"span-{self.start}-{self.stop}"
        return f"{span}-posterior" if self.posterior else span

    @property
    def candidates(self) -> Int64[Tensor, " candidate"]:
        return torch.arange(1, self.parser.rules.n_symbols)

    def reaches(self, lengths: Int64[Tensor, " example"]) -> Tensor:
        return lengths >= self.stop

    def deciding(self, inputs: Int64[Tensor, "example position"]) -> Int64[Tensor, "example part"]:
        return inputs if self.posterior else inputs[:, self.start : self.stop]

    def scores(
        self, plan: Plan, tokens: Int64[Tensor, "example position"], lengths: Int64[Tensor, " example"]
    ) -> tuple[Tensor, Tensor]:
        """Return β of each row over the span, times α as posterior."""
        chart = inside(plan, tokens)
        lost = out_of_range(plan, chart)
        width = self.stop - self.start
        if not self.posterior:
            return chart[width][:, 0], lost
        around = outside(plan, chart, lengths)
        alpha = around[width][:, self.start].clone()
        # The rules S → A are folded away in the chart: where S could stand, A could as well.
        for symbol, prob in zip(self.unary.tolist(), self.unary_prob.to(tokens.device), strict=True):
            row = torch.searchsorted(plan.symbols, symbol)
            if int(row) < len(plan.symbols) and int(plan.symbols[row]) == symbol:
                alpha[row] = plan.ring.add(alpha[row], plan.ring.times(alpha[0], plan.ring.write(prob)))
        return plan.ring.times(alpha, chart[width][:, self.start]), lost | out_of_range(plan, around)
