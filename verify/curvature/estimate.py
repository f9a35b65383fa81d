"""What an estimate of a trace consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from verify.statistics import Interval

Measures = Literal["hessian", "fisher"]


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


@dataclass(frozen=True)
class TraceEstimate:
    """A trace with an interval of tested coverage.

    Attributes:
        interval: estimate and ends; a degenerate one, α = 0, where the trace is a finite sum.
        blocks: the trace of each declared block; estimates sum to that of the whole.
        measures: which matrix: the "hessian" of the loss, or the "fisher" matrix of the model.
        method: how.
        data_variance: what the choice of examples contributes to the variance of the estimate; None if not separated.
        probe_variance: what probes or drawn labels contribute; None if not separated (one probe for each batch).
        batches: independent batches behind the interval, 1 if it is the whole population.
        batch_size: examples of each.
        probes: probes, or draws of labels, for each batch.
        pilot: batches (or probes of the population) that only decided how many would be drawn.
        cost: what it took.
        seed: seed that the generator started from.
        dtype: of the parameters.
        device: of the parameters.
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
        return "only on Γ, where p_θ = p*; off it, see fisher_gap"

    def _repr_latex_(self) -> str:
        symbol = r"\operatorname{tr}H" if self.measures == "hessian" else r"\operatorname{tr}F"
        return f"${symbol}={self.estimate:.6g}\\in[{self.low:.6g},\\,{self.high:.6g}]$"
