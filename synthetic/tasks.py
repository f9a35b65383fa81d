"""Downstream tasks: labelled sentences on which the features of a pretrained model are probed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


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
