"""What an estimate of a trace consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from verify.statistics import Interval

Measures = Literal["hessian", "fisher", "scaled fisher"]

_ONLY_ON_GAMMA = "only where the model's conditionals are the data's, on Γ"
_NUMBERS: dict[Measures, tuple[str, str]] = {
    "hessian": ("tr H", r"\operatorname{tr}H"),
    "fisher": (f"tr F; equals tr H {_ONLY_ON_GAMMA}", r"\operatorname{tr}F"),
    "scaled fisher": (f"tr DFD; equals tr DHD {_ONLY_ON_GAMMA}", r"\operatorname{tr}DFD"),
}


@dataclass(frozen=True, repr=False)
class TraceEstimate:
    """A trace with an interval of tested coverage; printed, it says which number it estimates.

    Attributes:
        interval: estimate and ends; a degenerate one, α = 0, where the trace is a finite sum.
        blocks: the trace of each declared block; estimates sum to that of the whole.
        measures: which number: the trace of the "hessian" of the loss, of the "fisher" matrix of the model, or of the
            "scaled fisher" matrix DFD.
        method: how.
        batches: independent batches behind the interval, 1 if it is the whole population.
        batch_size: examples of each.
        probes: probes, or draws of labels, for each batch.
        pilot: batches (or probes of the population) that only decided how many would be drawn.
        seconds: wall-clock time, pilot included.
        seed: seed that the generator started from.
        dtype: of the parameters.
        device: of the parameters.
    """

    interval: Interval
    blocks: Mapping[str, Interval]
    measures: Measures
    method: str
    batches: int
    batch_size: int
    probes: int
    pilot: int
    seconds: float = field(compare=False)
    seed: int
    dtype: str
    device: str

    @property
    def estimate(self) -> float:
        return self.interval.estimate

    @property
    def low(self) -> float:
        return self.interval.low

    @property
    def high(self) -> float:
        return self.interval.high

    @property
    def relative_error(self) -> float:
        """Half width of the interval over |estimate|; infinite where the estimate is 0 and the interval is not."""
        if self.estimate == 0:
            return math.inf if self.interval.half_width > 0 else 0.0
        return self.interval.half_width / abs(self.estimate)

    def __str__(self) -> str:
        level = "" if self.interval.alpha == 0 else f" ({1 - self.interval.alpha:.6g})"
        number = f"{self.estimate:.6g} in [{self.low:.6g}, {self.high:.6g}]{level}"
        return f"{number} [{self.method}: {_NUMBERS[self.measures][0]}]"

    def __repr__(self) -> str:
        return f"TraceEstimate({self})"

    def _repr_latex_(self) -> str:
        return f"${_NUMBERS[self.measures][1]}={self.estimate:.6g}\\in[{self.low:.6g},\\,{self.high:.6g}]$"
