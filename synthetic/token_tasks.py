"""Downstream tasks on sentences of any language: a label that is a function of the visible tokens."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration
from synthetic.tokens import MASK, signs


class SentenceTask(DownstreamTask):
    """Inputs are sentences x ~ P of a language of fixed length, with the `hidden` positions masked."""

    language: Language
    hidden: tuple[int, ...]

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the visible tokens: as signs if there are two, else one-hot, position by position."""
        seen = inputs[:, self.visible()]
        if self.language.n_tokens == 2:
            return signs(seen)
        return one_hot(seen, self.language.n_tokens).flatten(1).to(torch.float64)

    def enumerate(self) -> LabelledEnumeration:
        """Return every input with label and probability; EnumerationTooLargeError above ENUMERATION_LIMIT."""
        whole = self.language.enumerate()
        inputs, index = torch.unique(self._hide(whole.sentences), dim=0, return_inverse=True)
        prob = torch.zeros(len(inputs), dtype=torch.float64).index_add(0, index, whole.prob)
        return LabelledEnumeration(inputs, self.label(inputs), prob)

    def visible(self) -> list[int]:
        """Return the positions that are not hidden."""
        return [t for t in range(self.language.length) if t not in self.hidden]

    @abstractmethod
    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the label of each input."""

    def _hide(self, sentences: Int64[Tensor, "example position"]) -> Int64[Tensor, "example position"]:
        hidden = torch.tensor(self.hidden, dtype=torch.int64, device=sentences.device)
        return sentences.index_fill(1, hidden, MASK)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self._hide(self.language.sample(n, generator))


@dataclass(frozen=True)
class ParityTask(SentenceTask):
    """Tell the sign Π_{i ∈ S} x_i of a set S of visible positions; token 0 is −1, token 1 is +1.

    Source: ours. Attributes:
        language: a language of two tokens, whose sentences are the inputs.
        positions: the set S.
        hidden: positions that are masked in the inputs.
    """

    label_values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    language: Language
    positions: tuple[int, ...]
    hidden: tuple[int, ...] = ()

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

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return Π_{i ∈ S} x_i."""
        return signs(inputs[:, list(self.positions)]).prod(1)


@dataclass(frozen=True)
class PluralityTask(SentenceTask):
    """Tell the most frequent visible token; of several the one of smallest index.

    With two tokens this is the majority sign, a tie counting as token 0. Source: ours. Attributes:
        language: the language whose sentences are the inputs.
        hidden: positions that are masked in the inputs.
    """

    name: ClassVar[str] = "plurality"
    language: Language
    hidden: tuple[int, ...] = ()

    @property
    def label_values(self) -> tuple[float, ...]:
        """Token indices."""
        return tuple(map(float, range(self.language.n_tokens)))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the index of the token."""
        count = torch.stack([(inputs == v).sum(1) for v in range(self.language.n_tokens)], 1)
        # argmax may return any of several maxima; the index breaks the tie.
        order = torch.arange(self.language.n_tokens, 0, -1, device=inputs.device)
        return (count * (self.language.n_tokens + 1) + order).argmax(1).to(torch.float64)
