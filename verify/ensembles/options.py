"""What an ensemble is asked to do, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Gradient = Literal["sampled", "soft", "full", "isotropic"]


@dataclass(frozen=True)
class Sgd:
    """SGD with heavy-ball momentum: v ← βv − ηg, θ ← θ + v, from v = 0.

    Attributes:
        learning_rate: η > 0.
        batch_size: B ≥ 1 samples per step.
        momentum: β in [0, 1).
        gradient: what g is. "sampled": the mean over B fresh contexts and labels of ∇ℓ, the SGD of the theorem;
            "soft": B fresh contexts, each with p* itself as target; "full": ∇L; "isotropic": ∇L + N(0, s²/B).
        noise_scale: s, for "isotropic" alone.

    Raises:
        ValueError: a value is out of range, or `noise_scale` does not go with `gradient`.
    """

    learning_rate: float
    batch_size: int = 1
    momentum: float = 0.0
    gradient: Gradient = "sampled"
    noise_scale: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"Sgd: expected a finite learning_rate > 0, got {self.learning_rate}")
        if self.batch_size < 1:
            raise ValueError(f"Sgd: expected batch_size >= 1, got {self.batch_size}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"Sgd: expected momentum in [0, 1), got {self.momentum}")
        if self.gradient not in {"sampled", "soft", "full", "isotropic"}:
            raise ValueError(f"Sgd: expected gradient to be sampled, soft, full or isotropic, got {self.gradient!r}")
        scaled = self.noise_scale is not None and math.isfinite(self.noise_scale) and self.noise_scale > 0
        if self.gradient == "isotropic" and not scaled:
            raise ValueError(f"Sgd: expected noise_scale > 0 for isotropic noise, got {self.noise_scale}")
        if self.gradient != "isotropic" and self.noise_scale is not None:
            raise ValueError(
                f"Sgd: noise_scale belongs to gradient='isotropic', got gradient={self.gradient!r}; leave it out"
            )

    @property
    def slow_time_per_step(self) -> float:
        """The slow time τ of one step, η²/(B (1−β)²)."""
        return self.learning_rate**2 / (self.batch_size * (1 - self.momentum) ** 2)

    def steps_for(self, slow_time: float) -> int:
        """Return the number of steps, rounded to the nearest, that slow time τ takes."""
        return round(slow_time / self.slow_time_per_step)


@dataclass(frozen=True)
class DivergedReplica:
    """A replica whose parameters stopped being finite numbers.

    Attributes:
        replica: its index.
        step: the number of steps after which some parameter is not finite; exact.
        learning_rate: η of the run.
        last_finite_state: θ one step earlier, of shape (parameter,).
    """

    replica: int
    step: int
    learning_rate: float
    last_finite_state: Float[Tensor, " parameter"]


@dataclass(frozen=True)
class EnsembleResult:
    """The ensemble after its last step.

    Attributes:
        theta: final parameters; a diverged replica's row is NaN, so that no mean can include it unnoticed.
        records: parameters after the steps asked for, NaN from the step of divergence on.
        diverged: the diverged replicas, in the order of their index.
        steps: number of steps taken.
        seed: root of the replicas' random streams.
        sgd: the options.
        engine: "compiled" or "torch".
        device: where it ran.
        dtype: floating type of the parameters.
        seconds: wall time, compilation included.
    """

    theta: Float[Tensor, "replica parameter"]
    records: Mapping[int, Float[Tensor, "replica parameter"]]
    diverged: tuple[DivergedReplica, ...]
    steps: int
    seed: int
    sgd: Sgd
    engine: Literal["compiled", "torch"]
    device: str
    dtype: torch.dtype
    seconds: float

    @property
    def healthy(self) -> Bool[Tensor, " replica"]:
        """Mask of the replicas that did not diverge."""
        mask = torch.ones(len(self.theta), dtype=torch.bool, device=self.theta.device)
        for divergence in self.diverged:
            mask[divergence.replica] = False
        return mask
