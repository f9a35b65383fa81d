"""Averages of the parameters along training: uniform over the tail, or exponential."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Averaging:
    """The average θ̄ ← θ̄ + w(θ − θ̄), w = max(1/(n + 1), 1 − decay), n the number of θ averaged before.

    decay = 1 is the uniform average over the tail that begins at `start`; below one it becomes, after 1/(1 − decay)
    terms, an exponential average of that horizon, with no bias from its start. The sum is kept in float64: w may be
    below the resolution of float32.

    Attributes:
        start: first step whose θ counts.
        every: steps between the θ that count.
        decay: memory of the average.

    Raises:
        ValueError: unless start ≥ 0, every ≥ 1 and 0 ≤ decay ≤ 1.
    """

    start: int = 0
    every: int = 1
    decay: float = 1.0

    def __post_init__(self) -> None:
        if not (self.start >= 0 and self.every >= 1 and 0 <= self.decay <= 1):
            raise ValueError(f"expected start >= 0, every >= 1 and 0 <= decay <= 1, got {self}")

    def update(
        self,
        average: Float[Tensor, "member parameter"],
        theta: Float[Tensor, "member parameter"],
        step: int,
        alive: Bool[Tensor, " member"],
    ) -> None:
        """Take θ of this step into the float64 average of the members alive, in place, if it counts."""
        if step < self.start or (step - self.start) % self.every:
            return
        n = (step - self.start) // self.every
        weight = max(1 / (n + 1), 1 - self.decay) * alive.to(average.dtype)
        average.lerp_(theta.to(average.dtype), weight[:, None])
