"""Downstream tasks on sentences of any language: a label that is a function of the visible tokens."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration
from synthetic.tokens import MASK, signs


def one_hot(tokens: Int64[Tensor, "example position"], n_tokens: int) -> Float[Tensor, "example feature"]:
    """Return tokens as T·c zeros and ones in float64; masked and padded positions are all zeros.

    >>> one_hot(torch.tensor([[1, -1]]), 2).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    alphabet = torch.arange(n_tokens, device=tokens.device)
    return (tokens[:, :, None] == alphabet).to(torch.float64).flatten(1)


TIE = 1e-12
"""Logarithms that differ by less, relative to max(1, |the larger|), count as equal: rounding decides no label."""


def first_of_best(log_scores: Float[Tensor, "*batch outcome"]) -> Int64[Tensor, "*batch"]:
    """Return the first outcome whose log-score is the greatest up to `TIE`; 0 where all are −∞."""
    best = log_scores.amax(-1, keepdim=True)
    return (log_scores >= best - TIE * best.abs().clamp(min=1.0)).to(torch.int8).argmax(-1)


@dataclass(frozen=True)
class SentenceTask(DownstreamTask):
    """Read a label off a sentence x ~ P of a language, some positions masked; a subclass says which. Source: ours.

    Attributes:
        language: the language P whose sentences are labelled.
        hidden: positions that are masked in the inputs.
    """

    language: Language
    hidden: tuple[int, ...] = field(default=(), kw_only=True)

    @property
    def source(self) -> Language:
        """The law of the inputs, before anything is hidden: the language unless overridden."""
        return self.language

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        return one_hot(inputs[:, self.visible()], self.language.n_tokens)

    def enumerate(self) -> LabelledEnumeration:
        """Return every input with label and probability; EnumerationTooLargeError above ENUMERATION_LIMIT."""
        whole = self.source.enumerate()
        if not self.hidden:
            return LabelledEnumeration(whole.sentences, self.label(whole.sentences), whole.prob)
        inputs, index = torch.unique(self._hide(whole.sentences), dim=0, return_inverse=True)
        prob = torch.zeros(len(inputs), dtype=torch.float64).index_add(0, index, whole.prob)
        return LabelledEnumeration(inputs, self.label(inputs), prob)

    def visible(self) -> list[int]:
        return [t for t in range(self.language.length) if t not in self.hidden]

    @abstractmethod
    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the label of each input."""

    def _hide(self, sentences: Int64[Tensor, "example position"]) -> Int64[Tensor, "example position"]:
        hidden = torch.tensor(self.hidden, dtype=torch.int64, device=sentences.device)
        return sentences.index_fill(1, hidden, MASK)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self._hide(self.source.sample(n, generator))


@dataclass(frozen=True)
class ContainsTask(SentenceTask):
    """Tell whether token w occurs in a sentence of a language: x ~ P, label 1{w ∈ x}.

    Source: ours. Attributes:
        language: the language that the inputs come from.
        token: w, an index into its vocabulary.

    Raises:
        ValueError: if w is no token of the language.
    """

    label_values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    token: int

    def __post_init__(self) -> None:
        if not 0 <= self.token < self.language.n_tokens:
            raise ValueError(
                f"expected a token 0..{self.language.n_tokens - 1}, got {self.token}; it indexes the vocabulary"
            )

    @property
    def name(self) -> str:
        return f"contains-{self.language.vocabulary[self.token]}"

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        return (inputs == self.token).any(1).to(torch.float64)


@dataclass(frozen=True)
class ParityTask(SentenceTask):
    """Tell the sign Π_{i ∈ S} x_i of a set S of visible positions; token 0 is −1, token 1 is +1.

    Source: ours. Attributes:
        language: a language of two tokens, whose sentences are the inputs.
        positions: the set S.
        hidden: positions that are masked in the inputs.
    """

    label_values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    positions: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check the positions.

        Raises:
            ValueError: if the tokens are not two, or S is empty, repeats, or holds a hidden or foreign position.
        """
        if self.language.n_tokens != 2:
            raise ValueError(f"expected a language of two tokens, got {self.language.n_tokens}; use PluralityTask")
        chosen = set(self.positions)
        if not chosen or len(chosen) < len(self.positions) or not chosen <= set(self.visible()):
            raise ValueError(
                f"expected distinct positions among the visible {self.visible()}, got {self.positions}; "
                "the label is a function of what the input shows"
            )

    @property
    def name(self) -> str:
        """Such as `parity-of-0-3`."""
        return "parity-of-" + "-".join(map(str, self.positions))

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the visible tokens as signs."""
        return signs(inputs[:, self.visible()])

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        return signs(inputs[:, list(self.positions)]).prod(1)


@dataclass(frozen=True)
class PluralityTask(SentenceTask):
    """Tell the most frequent visible token; of several the one of smallest index.

    With two tokens this is the majority sign, a tie counting as token 0. Source: ours. Attributes:
        language: the language whose sentences are the inputs.
        hidden: positions that are masked in the inputs.
    """

    name: ClassVar[str] = "plurality"

    @property
    def label_values(self) -> tuple[float, ...]:
        return tuple(map(float, range(self.language.n_tokens)))

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the visible tokens, as signs if there are two."""
        return signs(inputs[:, self.visible()]) if self.language.n_tokens == 2 else super().features(inputs)

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        count = torch.stack([(inputs == v).sum(1) for v in range(self.language.n_tokens)], 1)
        # argmax may return any of several maxima; the index breaks the tie.
        order = torch.arange(self.language.n_tokens, 0, -1, device=inputs.device)
        return (count * (self.language.n_tokens + 1) + order).argmax(1).to(torch.float64)
