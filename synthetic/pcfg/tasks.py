"""Downstream tasks of a grammar's language: which symbol stands over the sentence, or over a span of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.pcfg.chart import inside, out_of_range, outside
from synthetic.pcfg.parser import Parser
from synthetic.pcfg.plan import Plan
from synthetic.tasks import DownstreamTask, LabelledEnumeration
from synthetic.tokens import PAD

TIE = 1e-12
"""Scores that differ by less, relative to the larger, count as equal: rounding alone never decides a label."""

NO_SYMBOL = -1.0
"""The label of a sentence with no symbol over the span: too short, or nothing derives those tokens."""


@dataclass(frozen=True, eq=False)
class GrammarTask(DownstreamTask):
    """Tell the best nonterminal over a span of a sentence of the language; its index among the nonterminals.

    By *inside* probability, the best A has the greatest Pr(A ⇒ the span's tokens); by *posterior* probability, the
    greatest Pr(A spans those tokens | sentence). Of equal ones the smallest index counts; −1 if all are zero.

    Attributes:
        language: the law of the inputs, whole sentences.
        parser: charts over all symbols and spans.
        unary: the symbols A of the rules S → A.
        unary_prob: P(S → A).
        posterior: which of the two probabilities decides.
    """

    language: Language
    parser: Parser
    unary: Int64[Tensor, " unary"]
    unary_prob: Float64[Tensor, " unary"]
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
        """−1 and the indices of the candidates."""
        return (NO_SYMBOL, *map(float, self.candidates.tolist()))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the index of the best nonterminal, −1 if there is none."""
        self.language.check_sentences(inputs)

        def part(plan: Plan, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
            scores, lost = self.scores(plan, tokens, lengths)
            candidates = self.candidates.to(inputs.device)
            listed = candidates[torch.isin(candidates, plan.symbols)]
            row = torch.searchsorted(plan.symbols, listed)
            if not len(row):
                return torch.full((len(tokens),), NO_SYMBOL, dtype=torch.float64, device=inputs.device), lost
            logs = plan.ring.log(scores[row])
            best = logs.amax(0)
            first = (logs >= best - TIE * best.abs().clamp(min=1.0)).to(torch.int64).argmax(0)
            return listed[first].to(torch.float64).masked_fill(best.isneginf(), NO_SYMBOL), lost

        labels = torch.full((len(inputs),), NO_SYMBOL, dtype=torch.float64, device=inputs.device)
        reached = self.reaches((inputs != PAD).sum(1)).nonzero()[:, 0]
        found = torch.empty(len(reached), dtype=torch.float64, device=inputs.device)
        self.parser.fill(found, self.visible(inputs[reached]), part)
        labels[reached] = found
        return labels

    def visible(self, inputs: Int64[Tensor, "example position"]) -> Int64[Tensor, "example part"]:
        """Return the tokens that decide the label."""
        return inputs

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the tokens one-hot, position by position; zeros at PAD."""
        tokens = torch.arange(self.language.n_tokens, device=inputs.device)
        return (inputs[:, :, None] == tokens).flatten(1).to(torch.float64)

    def enumerate(self) -> LabelledEnumeration:
        """Return the language's sentences; EnumerationTooLargeError above the limit."""
        whole = self.language.enumerate()
        return LabelledEnumeration(whole.sentences, self.label(whole.sentences), whole.prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self.language.sample(n, generator)


@dataclass(frozen=True, eq=False)
class RootTask(GrammarTask):
    """Tell the symbol A of the first step S → A of a sentence's derivation.

    Score Pr(A ⇒ x), or P(S → A) Pr(A ⇒ x) as posterior. Source: the authors' task A (second-hand), which takes the
    inside score.
    """

    @property
    def name(self) -> str:
        """`root`, or `root-posterior`."""
        return "root-posterior" if self.posterior else "root"

    @property
    def candidates(self) -> Int64[Tensor, " candidate"]:
        """The symbols of the unary rules."""
        return self.unary.sort().values

    def reaches(self, lengths: Int64[Tensor, " example"]) -> Tensor:
        """Return that every sentence has a root."""
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


@dataclass(frozen=True, eq=False)
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
        """Every nonterminal but S."""
        return torch.arange(1, self.parser.rules.n_symbols)

    def reaches(self, lengths: Int64[Tensor, " example"]) -> Tensor:
        """Return which sentences have `stop` tokens at least."""
        return lengths >= self.stop

    def visible(self, inputs: Int64[Tensor, "example position"]) -> Int64[Tensor, "example part"]:
        """Return the tokens of the span, or all of them for the posterior."""
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
