"""The configuration of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from verify.training.adversary import Adversary
from verify.training.labels import LABELS, Labels
from verify.training.optimisers import SGD, AdamW
from verify.training.trace_penalty import TracePenalty

Precision = Literal["float32", "float64", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "bfloat16")


class ConfigurationError(ValueError):
    """A training configuration that cannot be: an unknown key, kind or value."""


@dataclass(frozen=True)
class Training:
    """Everything that decides a training run, but for the network, the language and the seeds.

    Attributes:
        rate: learning rate η at the beginning; one number or one per member.
        batch: examples per step and member, drawn afresh.
        labels: sampled, soft or isotropic (`labels`).
        optimiser: SGD or AdamW.
        decay: steps in which the rate falls linearly to zero; 0 for a constant one.
        trace_penalty: term ±λ tr F̂; None for none.
        adversary: term −λ·(loss of a linear head on the features); None for none.
        precision: of training: float32, float64, or bfloat16 (matrix products only, on CUDA; parameters stay
            float32). Measurements are made in float64 whatever this is.
        record_every: steps whose mean loss makes one point of the training curve; divergence is reported then.
        prefetch: steps of examples drawn at once.

    Raises:
        ConfigurationError: a value is out of range or unknown.
    """

    rate: float | tuple[float, ...]
    batch: int = 128
    labels: Labels = "sampled"
    optimiser: SGD | AdamW = field(default_factory=AdamW)
    decay: int = 0
    trace_penalty: TracePenalty | None = None
    adversary: Adversary | None = None
    precision: Precision = "float32"
    record_every: int = 16
    prefetch: int = 64

    def __post_init__(self) -> None:
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        if not rates or not all(0 <= rate < float("inf") for rate in rates):
            raise ConfigurationError(f"expected finite learning rates >= 0, got {self.rate}")
        for name, least in (("batch", 1), ("record_every", 1), ("prefetch", 1), ("decay", 0)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"expected {name} >= {least}, got {getattr(self, name)}")
        for name, allowed in (("labels", LABELS), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"expected {name} among {', '.join(allowed)}, got {getattr(self, name)!r}; choose one of them"
                )
        if self.trace_penalty is not None and self.trace_penalty.examples > self.batch:
            raise ConfigurationError(
                f"expected a trace penalty on at most the {self.batch} examples of a batch, got "
                f"{self.trace_penalty.examples}; lower its examples"
            )

    def factor(self, step: int) -> float:
        """Return the factor on the rate at step k ≥ 0: 1 − k/decay, at least 0, or 1."""
        return max(1 - step / self.decay, 0.0) if self.decay else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, with the optimiser's kind."""
        plain: dict[str, Any] = asdict(self)
        plain["optimiser"] = {"kind": self.optimiser.kind, **plain["optimiser"]}
        plain["rate"] = list(self.rate) if isinstance(self.rate, tuple) else self.rate
        return plain
