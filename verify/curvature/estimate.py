"""What an estimate of a trace consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from verify.statistics.intervals import Interval

Measures = Literal["hessian", "fisher", "gap", "invariant"]

_ONLY_ON_GAMMA = "only where the model's conditionals are the data's, on Γ"
_NUMBERS: dict[Measures, tuple[str, str]] = {
    "hessian": ("tr H", r"\operatorname{tr}H"),
    "fisher": (f"tr F; equals tr H {_ONLY_ON_GAMMA}", r"\operatorname{tr}F"),
    "gap": ("tr H − tr F; is 0 on Γ", r"\operatorname{tr}H-\operatorname{tr}F"),
    "invariant": (f"Σ θ_i² F_ii; equals Σ θ_i² H_ii {_ONLY_ON_GAMMA}", r"\sum_i\theta_i^2F_{ii}"),
}


class FisherIsNotHessianWarning(UserWarning):
    """tr F was asked for with its gap, and tr H was seen to be another number."""


@dataclass(frozen=True)
class Cost:
    """What an estimate took, its pilot included.

    Attributes:
        gradients: gradient-equivalents, one being the forward and backward pass of one example; nominal: a forward
            pass counts 1/3, a backward pass through the model 2/3, a Hessian-vector product 2.
        seconds: wall-clock time.
    """

    gradients: float
    seconds: float


@dataclass(frozen=True, repr=False)
class TraceEstimate:
    """A trace with an interval of tested coverage; printed, it says which number it estimates.

    Attributes:
        interval: estimate and ends; a degenerate one, α = 0, where the trace is a finite sum.
        blocks: the trace of each declared block; estimates sum to that of the whole.
        measures: which number: the trace of the "hessian" of the loss, of the "fisher" matrix of the model, their
            "gap" tr H − tr F, or the "invariant" Σ θ_i² F_ii.
        method: how.
        data_variance: what the choice of examples contributes to the variance of the estimate; None if not separated.
        probe_variance: what probes or drawn labels contribute; None if not separated: one probe for each
            batch, give `probes=2`.
        batches: independent batches behind the interval, 1 if it is the whole population.
        batch_size: examples of each.
        probes: probes, or draws of labels, for each batch.
        pilot: batches (or probes of the population) that only decided how many would be drawn.
        cost: what it took.
        seed: seed that the generator started from.
        dtype: of the parameters.
        device: of the parameters.
        gap: tr H − tr F, where it was asked for beside tr F; None if not.
    """

    interval: Interval
    blocks: Mapping[str, Interval]
    measures: Measures
    method: str
    data_variance: float | None
    probe_variance: float | None
    batches: int
    batch_size: int
    probes: int
    pilot: int
    cost: Cost = field(compare=False)
    seed: int
    dtype: str
    device: str
    gap: TraceEstimate | None = None

    @property
    def estimate(self) -> float:
        """The point estimate."""
        return self.interval.estimate

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.interval.low

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.interval.high

    @property
    def relative_error(self) -> float:
        """Half width of the interval over |estimate|; infinite where the estimate is 0 and the interval is not."""
        if self.estimate == 0:
            return math.inf if self.interval.half_width > 0 else 0.0
        return self.interval.half_width / abs(self.estimate)

    @property
    def equals_hessian(self) -> str:
        """When the estimated number is tr H of the loss."""
        if self.measures == "hessian":
            return "always"
        if self.measures == "fisher":
            return "only on Γ, where p_θ = p*; off it, see fisher_gap"
        return f"never: it is {_NUMBERS[self.measures][0]}"

    @property
    def not_hessian(self) -> bool:
        """Whether the measured gap shows that tr F is not tr H here; False where no gap was measured.

        So it is if the interval of the gap stays away from 0 by √ε · |tr F|, ε the precision of the parameters: far
        above the rounding that is left of the gap on Γ.
        """
        if self.gap is None:
            return False
        epsilon: float = torch.finfo(getattr(torch, self.dtype)).eps
        rounding = math.sqrt(epsilon) * abs(self.estimate)
        return self.gap.low > rounding or self.gap.high < -rounding

    def __str__(self) -> str:
        text = f"{self._number()} [{self.method}: {_NUMBERS[self.measures][0]}]"
        if self.gap is None:
            return text
        verdict = "tr F is NOT tr H here" if self.not_hessian else "no difference seen"
        return f"{text}; tr H − tr F = {self.gap._number()}: {verdict}"

    def __repr__(self) -> str:
        return f"TraceEstimate({self})"

    def _number(self) -> str:
        level = "" if self.interval.alpha == 0 else f" ({1 - self.interval.alpha:.6g})"
        return f"{self.estimate:.6g} in [{self.low:.6g}, {self.high:.6g}]{level}"

    def _repr_latex_(self) -> str:
        return f"${_NUMBERS[self.measures][1]}={self.estimate:.6g}\\in[{self.low:.6g},\\,{self.high:.6g}]$"
