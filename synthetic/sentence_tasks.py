"""Downstream tasks whose inputs are whole sentences of a language."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration


def one_hot(tokens: Int64[Tensor, "example position"], n_tokens: int) -> Float[Tensor, "example feature"]:
    """Return tokens as T·c zeros and ones in float64; masked and padded positions are all zeros.

    >>> one_hot(torch.tensor([[1, -1]]), 2).tolist()
    [[0.0, 1.0, 0.0, 0.0]]
    """
    alphabet = torch.arange(n_tokens, device=tokens.device)
    return (tokens[:, :, None] == alphabet).to(torch.float64).flatten(1)


@dataclass(frozen=True)
class SentenceTask(DownstreamTask):
    """Read a label off a sentence x ~ P of a language; a subclass says which. Source: ours.

    Attributes:
        language: the language P whose sentences are labelled.
    """

    language: Language

    @abstractmethod
    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the label of each sentence."""

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the one-hot code of the tokens."""
        return one_hot(inputs, self.language.n_tokens)

    def enumerate(self) -> LabelledEnumeration:
        """Return every sentence; EnumerationTooLargeError above ENUMERATION_LIMIT."""
        whole = self.language.enumerate()
        return LabelledEnumeration(whole.sentences, self.label(whole.sentences), whole.prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        return self.language.sample(n, generator)
