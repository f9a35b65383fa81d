"""Downstream tasks: labelled sentences on which the features of a pretrained model are probed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import ENUMERATION_LIMIT, all_strings, check_size
from synthetic.tokens import MASK, signs
from synthetic.walks import count_walks, enumerate_walks, sample_walks


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """Independent labelled inputs; labels are among the task's `label_values`, in float64."""

    inputs: Int64[Tensor, "example position"]
    labels: Float[Tensor, " example"]


@dataclass(frozen=True, eq=False)
class LabelledEnumeration:
    """Every input of a task with its label and probability; exact to float64 rounding."""

    inputs: Int64[Tensor, "example position"]
    labels: Float[Tensor, " example"]
    prob: Float[Tensor, " example"]


def check_sample_size(n: int) -> None:
    """Raise if a sample size is negative.

    Raises:
        ValueError: naming the size.
    """
    if n < 0:
        raise ValueError(f"expected a sample size n >= 0, got {n}; ask for at least 0 draws")


class DownstreamTask(ABC):
    """A law of inputs (token rows, perhaps with a MASK) and a label that is a function of the input."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The task's key in `Language.downstream`."""

    @property
    @abstractmethod
    def label_values(self) -> tuple[float, ...]:
        """The labels that may occur, in increasing order."""

    @abstractmethod
    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the label of each input."""

    @abstractmethod
    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the inputs as the numbers a model reads."""

    @abstractmethod
    def enumerate(self) -> LabelledEnumeration:
        """Return every input with label and probability; EnumerationTooLargeError above ENUMERATION_LIMIT."""

    @abstractmethod
    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        """Draw n inputs on the generator's device."""

    def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> LabelledSample:
        """Draw n independent labelled inputs from the generator's stream alone; ValueError if n is negative."""
        check_sample_size(n)
        inputs = self._sample_inputs(n, generator).to(device or generator.device)
        return LabelledSample(inputs, self.label(inputs))


@dataclass(frozen=True)
class PairProductTask(DownstreamTask):
    """Tell z₁z₂ = ±1 from a context of the pair language: z uniform on {±1}^d, the last token masked.

    Source: ours. Attributes:
        d: number of context tokens.
    """

    name: ClassVar[str] = "pair-product"
    label_values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    d: int

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return z₁z₂."""
        z = signs(inputs)
        return z[:, 0] * z[:, 1]

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return z ∈ {±1}^d."""
        return signs(inputs[:, :-1])

    def enumerate(self) -> LabelledEnumeration:
        """Return the 2^d contexts, each of probability 2^{−d}; EnumerationTooLargeError above the limit."""
        check_size(2**self.d, ENUMERATION_LIMIT, "inputs")
        inputs = torch.nn.functional.pad(all_strings(2, self.d, padded=False), (0, 1), value=MASK)
        return LabelledEnumeration(inputs, self.label(inputs), torch.full((len(inputs),), 2.0**-self.d).double())

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        z = torch.randint(0, 2, (n, self.d), generator=generator, device=generator.device)
        return torch.nn.functional.pad(z, (0, 1), value=MASK)


@dataclass(frozen=True)
class SumSignTask(DownstreamTask):
    """Tell which bracket is in excess: x uniform on {±1}^T with Σx = ±2, label 1{Σx > 0}.

    Both labels have probability ½, so n labels are all 0 with probability exactly 2^{−n}. Source: ours, after
    Theorem 6.1 of the paper (second-hand). Attributes:
        T: length of the sentences, even.
    """

    name: ClassVar[str] = "sum-sign"
    label_values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    T: int

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return 1{Σx > 0}."""
        return (signs(inputs).sum(1) > 0).to(torch.float64)

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return x ∈ {±1}^T."""
        return signs(inputs)

    def enumerate(self) -> LabelledEnumeration:
        """Return the 2·C(T, T/2 + 1) sequences, equally probable; EnumerationTooLargeError above the limit."""
        check_size(2 * count_walks(self.T, 2), ENUMERATION_LIMIT, "inputs")
        inputs = torch.cat([enumerate_walks(self.T, -2), enumerate_walks(self.T, 2)])
        prob = torch.full((len(inputs),), 1 / len(inputs), dtype=torch.float64)
        return LabelledEnumeration(inputs, self.label(inputs), prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        end = 4 * torch.randint(0, 2, (n,), generator=generator, device=generator.device) - 2
        return sample_walks(self.T, end, generator)
