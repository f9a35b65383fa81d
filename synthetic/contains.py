"""The downstream task of telling whether a word occurs in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration


@dataclass(frozen=True, eq=False)
class ContainsTask(DownstreamTask):
    """Tell whether token w occurs in a sentence of a language: x ~ P, label 1{w ∈ x}.

    Source: ours. Attributes:
        language: the language that the inputs come from.
        token: w, an index into its vocabulary.

    Raises:
        ValueError: if w is no token of the language.
    """

    label_values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    language: Language
    token: int

    def __post_init__(self) -> None:
        if not 0 <= self.token < self.language.n_tokens:
            raise ValueError(
                f"expected a token 0..{self.language.n_tokens - 1}, got {self.token}; it indexes the vocabulary"
            )

    @property
    def name(self) -> str:
        """`contains-` and the word."""
        return f"contains-{self.language.vocabulary[self.token]}"

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return 1{w ∈ x}."""
        return (inputs == self.token).any(1).to(torch.float64)

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the indicators of (position, token); positions that hold no token are 0."""
        inside = (inputs >= 0)[:, :, None]
        return (torch.nn.functional.one_hot(inputs.clamp(min=0), self.language.n_tokens) * inside).flatten(1).double()

    def enumerate(self) -> LabelledEnumeration:
        """Return every sentence of the language; EnumerationTooLargeError above the limit."""
        whole = self.language.enumerate()
        return LabelledEnumeration(whole.sentences, self.label(whole.sentences), whole.prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self.language.sample(n, generator)
