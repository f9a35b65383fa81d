"""SGD with momentum and AdamW on a matrix of parameters, one row per member and one learning rate per row."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

Parameters = Float[Tensor, "member parameter"]
State = dict[str, Tensor]


class Optimiser(ABC):
    """A first-order rule θ ← θ − η·(direction); rows never mix, so a member trains as it would alone."""

    kind: ClassVar[str]

    @abstractmethod
    def start(self, theta: Parameters) -> State:
        """Return the state before the first step: tensors, and nothing else."""

    @abstractmethod
    def step(self, theta: Parameters, gradient: Parameters, state: State, rate: Float[Tensor, "member one"]) -> None:
        """Move θ and the state in place; the gradient is used up as scratch space."""


@dataclass(frozen=True)
class SGD(Optimiser):
    """Stochastic gradient descent with heavy-ball momentum μ: b ← μ b + g;  θ ← θ − η b, as torch.optim.SGD.

    Raises:
        ValueError: unless 0 ≤ μ < 1.
    """

    kind: ClassVar[str] = "sgd"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ValueError(f"expected 0 <= momentum < 1, got {self}")

    def start(self, theta: Parameters) -> State:
        """Return the buffer b = 0, when there is momentum."""
        return {"buffer": torch.zeros_like(theta)} if self.momentum else {}

    def step(self, theta: Parameters, gradient: Parameters, state: State, rate: Float[Tensor, "member one"]) -> None:
        """Move θ and b in place."""
        if self.momentum:
            gradient = state["buffer"].mul_(self.momentum).add_(gradient)
        theta.addcmul_(gradient, rate, value=-1.0)


@dataclass(frozen=True)
class AdamW(Optimiser):
    """Adam with decoupled weight decay (arXiv 1711.05101, algorithm 2, with ηλ for λ as in torch.optim.AdamW).

    θ ← (1 − ηλ)θ;  m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  θ ← θ − η m̂ / (√v̂ + ε), m̂ = m/(1 − β₁ᵏ), v̂ likewise.

    Attributes:
        beta1: β₁.
        beta2: β₂.
        epsilon: ε.
        weight_decay: λ.

    Raises:
        ValueError: unless 0 ≤ β₁, β₂ < 1, ε > 0 and λ ≥ 0.
    """

    kind: ClassVar[str] = "adamw"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and self.epsilon > 0 and self.weight_decay >= 0):
            raise ValueError(f"expected 0 <= beta1, beta2 < 1, epsilon > 0 and weight_decay >= 0, got {self}")

    def start(self, theta: Parameters) -> State:
        """Return m = v = 0 and k = 0; k stays on the CPU."""
        return {"mean": torch.zeros_like(theta), "square": torch.zeros_like(theta), "count": torch.tensor(0)}

    def step(self, theta: Parameters, gradient: Parameters, state: State, rate: Float[Tensor, "member one"]) -> None:
        """Move θ, m, v and k in place."""
        state["count"] += 1
        count = int(state["count"])
        mean, square = state["mean"], state["square"]
        if self.weight_decay:
            theta.mul_(1 - self.weight_decay * rate)
        mean.lerp_(gradient, 1 - self.beta1)
        square.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
        size = torch.sqrt(square, out=gradient)
        size.div_(math.sqrt(1 - self.beta2**count)).add_(self.epsilon)
        theta.addcmul_(torch.div(mean, size, out=size), rate, value=-1 / (1 - self.beta1**count))
