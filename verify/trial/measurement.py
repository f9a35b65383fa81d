"""One decided instance of a design, and what the networks are that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from verify.trial.decision import InstanceResult

Parameters = Mapping[str, float | int | str]
"""What was drawn for an instance, by name."""


@dataclass(frozen=True)
class Reported:
    """A number that is shown beside a verdict and has none of its own.

    Attributes:
        value: the estimate.
        low: lower end of its 95% interval; None where it was given none.
        high: upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float | None:
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks of one language at one scale, and what else was found on them.

    Attributes:
        language: name of the family of languages.
        scale: name.
        replicates: random languages with networks of their own.
        width: features of a network.
        excess_share: mean excess loss at which the conditions are compared, as a share of the learnable gap.
        accuracies: of every condition that was evaluated, and of the largest class and other yardsticks.
        evaluations: the difference that the claim is about, in every further evaluation.
        beside: anything else.
    """

    language: str
    scale: str
    replicates: int
    width: int | None = None
    excess_share: float | None = None
    accuracies: Mapping[str, Reported] = field(default_factory=dict)
    evaluations: Mapping[str, Reported] = field(default_factory=dict)
    beside: Mapping[str, Reported] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Plain dictionaries, as `asdict` copies no other mapping.
        for group in ("accuracies", "evaluations", "beside"):
            object.__setattr__(self, group, dict(getattr(self, group)))


@dataclass(frozen=True)
class Measurement:
    """One decided instance of a design.

    Attributes:
        statistic: name of the statistic, as in its design.
        parameters: the randomly drawn parameters of the instance.
        prediction: the claim's closed form at these parameters, in its own unit; None where it has no number.
        target: predicted value of the normalised statistic.
        estimate: measured value of the statistic.
        low: lower end of its interval, widened by the systematic allowance.
        high: upper end, widened likewise.
        systematic: the allowance.
        verdict: supported, refuted or inconclusive.
        networks: what was measured, for a claim about trained networks.
    """

    statistic: str
    parameters: Parameters
    prediction: float | None
    target: float
    estimate: float
    low: float
    high: float
    systematic: float
    verdict: str
    networks: Networks | None = None

    @classmethod
    def of(
        cls, result: InstanceResult, parameters: Parameters, prediction: float | None, networks: Networks | None = None
    ) -> Measurement:
        interval = result.interval
        return cls(
            statistic=result.design.statistic,
            parameters=dict(parameters),
            prediction=prediction,
            target=result.design.target,
            estimate=interval.estimate,
            low=interval.low - result.systematic,
            high=interval.high + result.systematic,
            systematic=result.systematic,
            verdict=str(result.verdict),
            networks=networks,
        )
