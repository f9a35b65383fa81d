"""The interface of a model small enough that every context is enumerated.

On such a model nothing about the loss is estimated: the population loss, its Hessian and the covariance of
the gradient noise are finite sums over contexts and tokens.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Model = TypeVar("Model", bound="FiniteModel")
"""The class `to` returns; `typing.Self` is not understood by beartype on a method alone."""


class FiniteModel(ABC):
    """A family of conditionals p_θ(y | x) over finitely many contexts x, with the true p*(y | x).

    p_θ(y | x) = softmax(scores(θ, x))_y. Parameters are one flat vector, so that an ensemble of models is a
    matrix with one row per replica.

    Attributes:
        name: short name used in evidence and messages.
        contexts: every context, one row each.
        context_prob: probability of each context; sums to one.
        conditional: the true conditional p*(y | x), one row per context; rows sum to one.
        layout: where each named parameter block lies in θ; a block is flattened row by row.
    """

    name: str
    contexts: Float[Tensor, "context feature"]
    context_prob: Float[Tensor, " context"]
    conditional: Float[Tensor, "context token"]
    layout: Mapping[str, slice]

    @property
    def n_parameters(self) -> int:
        return max(int(block.stop) for block in self.layout.values())

    @abstractmethod
    def scores(
        self, theta: Float[Tensor, "*#replica parameter"], contexts: Float[Tensor, "*#replica batch feature"]
    ) -> Float[Tensor, "*replica batch token"]:
        """Logits of every token; the leading axes of `theta` and `contexts` broadcast.

        `contexts` of shape (batch, feature) is shared by all replicas; of shape (replica, batch, feature)
        each replica has its own. Scores are defined up to a constant per context; binary models use (0, f).
        """

    def to(self: Model, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Model:
        """Return a copy whose tensors live on `device` with floating dtype `dtype`."""
        moved = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                floating = value.is_floating_point()
                setattr(moved, name, value.to(device=device, dtype=dtype if floating else None))
        return moved
