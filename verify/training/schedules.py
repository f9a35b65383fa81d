"""Learning-rate schedules: linear warm-up, a constant stretch, then a decay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate as a function of the step k ≥ 0.

    (k + 1)/warmup for k < warmup, then 1 until step `hold`, then, with u = (k − hold)/(steps − hold) cut to [0, 1],
    final + (1 − final)·s(u), where s(u) = 1 (constant), 1 − u (linear) or (1 + cos πu)/2 (cosine).

    Attributes:
        kind: constant, linear or cosine.
        warmup: steps of linear warm-up.
        hold: step at which the decay begins; not before the end of the warm-up.
        steps: step at which the factor reaches `final`; 0 when constant.
        final: the last factor.

    Raises:
        ValueError: unless 0 ≤ warmup ≤ hold < steps (constant: warmup ≥ 0, nothing else set) and 0 ≤ final ≤ 1.

    >>> [Schedule("linear", warmup=2, hold=2, steps=6).factor(k) for k in (0, 1, 2, 4, 6)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """

    kind: Literal["constant", "linear", "cosine"] = "constant"
    warmup: int = 0
    hold: int = 0
    steps: int = 0
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in {"constant", "linear", "cosine"}:
            raise ValueError(f"expected a schedule constant, linear or cosine, got {self.kind!r}")
        if self.kind == "constant":
            if self.warmup < 0 or (self.hold, self.steps, self.final) != (0, 0, 0.0):
                raise ValueError(
                    f"expected warmup >= 0 and no hold, steps or final in a constant schedule, got {self}; "
                    "choose linear or cosine for a decay"
                )
        elif not (0 <= self.warmup <= self.hold < self.steps and 0 <= self.final <= 1):
            raise ValueError(
                f"expected 0 <= warmup <= hold < steps and 0 <= final <= 1, got {self}; "
                "set hold to the step at which the decay begins"
            )

    def factor(self, step: int) -> float:
        """Return the factor at step k ≥ 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.kind == "constant":
            return 1.0
        u = min(max((step - self.hold) / (self.steps - self.hold), 0.0), 1.0)
        shape = 1 - u if self.kind == "linear" else (1 + math.cos(math.pi * u)) / 2
        return self.final + (1 - self.final) * shape
