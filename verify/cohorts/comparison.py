"""Conditions of a cohort compared replicate by replicate at matched excess loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.bench import Bench
from verify.cohorts.cohort import Cohort
from verify.cohorts.evaluations import by_halves, mean_accuracy
from verify.cohorts.path import Point, match
from verify.cohorts.scale import EvaluationName
from verify.cohorts.sharpness import Sharpness
from verify.training.excess import log_ratio_error

ERRORS = 2.0
"""Standard errors of a mean mismatch of excess, from the sample of contexts, that are allowed for."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """A difference between two conditions, one value for each replicate.

    Attributes:
        values: statistic of the first condition minus that of the second.
        systematic: how far the mean may be off because the excess losses are not exactly equal, or not exactly known.
    """

    values: Float[Tensor, " member"]
    systematic: float


@dataclass(frozen=True, eq=False)
class Raw:
    """A condition as training left it, before the anneal: at an excess of its own, so not to be compared as it is.

    Attributes:
        excess: excess losses.
        accuracy: few-label accuracies.
        log_trace: ln tr F.
    """

    excess: Float[Tensor, " member"]
    accuracy: Float[Tensor, " member"]
    log_trace: Float[Tensor, " member"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Conditions at matched excess.

    Attributes:
        bench: where they are measured.
        points: a point of every condition, by name.
    """

    bench: Bench
    points: dict[str, Point]
    _sharpness: dict[str, Sharpness] = field(default_factory=dict)
    _accuracy: dict[str, Tensor] = field(default_factory=dict)
    _raw: dict[str, Raw] = field(default_factory=dict)
    _divergences: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        bench: Bench,
        names: Sequence[str],
        *,
        accuracy: Sequence[str] = (),
        traces: Sequence[str] = (),
        evaluated: Sequence[str] = (),
        raw: Sequence[str] = (),
    ) -> Comparison:
        """Match conditions, which are trained on first use; measure at once those that are asked for.

        Args:
            accuracy: conditions whose few-label accuracy is measured.
            traces: conditions whose tr F and Σθ²F are measured.
            evaluated: conditions that take the scale's further evaluations.
            raw: conditions that are measured before their anneal as well.
        """
        found = cls(bench, dict(zip(names, match([bench.cohort.path(name) for name in names]), strict=True)))
        for condition in accuracy:
            found.accuracy(condition)
        for condition in traces:
            found.sharpness(condition)
        for condition in evaluated:
            for evaluation in found.cohort.scale.evaluations:
                found.further_accuracy(evaluation, condition)
        for condition in raw:
            found.raw(condition)
        return found

    @property
    def cohort(self) -> Cohort:
        return self.bench.cohort

    @cached_property
    def share(self) -> float:
        """Mean excess loss of all conditions and members as a share of the learnable gap."""
        gap = self.cohort.reference.learnable_gap
        return float(torch.stack([point.excess / gap for point in self.points.values()]).mean())

    def accuracy(self, condition: str) -> Float[Tensor, " member"]:
        """Return the few-label accuracy of a condition."""
        if condition not in self._accuracy:
            self._accuracy[condition] = self.bench.accuracy(self.points[condition].network)
        return self._accuracy[condition]

    def halves(self, condition: str) -> Float[Tensor, "half member"]:
        """Return the accuracies of a condition in either half of the evaluation, and keep that of the whole."""
        right = self.bench.evaluation.answers(self.bench.features(self.points[condition].network))
        self._accuracy[condition] = mean_accuracy(right)
        return by_halves(right)

    @property
    def accuracies(self) -> Mapping[str, Float[Tensor, " member"]]:
        """The few-label accuracies of the conditions where they were measured."""
        return MappingProxyType(self._accuracy)

    def raw(self, condition: str) -> Raw:
        """Return what a condition is before its anneal."""
        if condition not in self._raw:
            point = self.cohort.path(condition).raw()
            trace = self.bench.sharpness(point.network).trace
            self._raw[condition] = Raw(point.excess, self.bench.accuracy(point.network), trace.log())
        return self._raw[condition]

    def further_accuracy(self, evaluation: EvaluationName, condition: str) -> Float[Tensor, " member"]:
        """Return the accuracy of a condition in a further evaluation."""
        return self.bench.evaluated(evaluation, condition, self.points[condition])

    def further_gains(self, first: str, second: str) -> dict[EvaluationName, Float[Tensor, " member"]]:
        """Return the accuracy of one condition minus that of another in each further evaluation of the scale."""
        evaluations = self.cohort.scale.evaluations
        return {
            evaluation: self.further_accuracy(evaluation, first) - self.further_accuracy(evaluation, second)
            for evaluation in evaluations
        }

    def sharpness(self, condition: str) -> Sharpness:
        """Return tr F and Σθ²F of a condition."""
        if condition not in self._sharpness:
            self._sharpness[condition] = self.bench.sharpness(self.points[condition].network)
        return self._sharpness[condition]

    def log_trace(self, condition: str) -> Float[Tensor, " member"]:
        """Return ln tr F of a condition."""
        return self.sharpness(condition).trace.log()

    def log_orbit_trace(self, condition: str) -> Float[Tensor, " member"]:
        """Return ln of the least tr F that the symmetries of a condition's networks leave to them."""
        return self.sharpness(condition).orbit_trace.log()

    def gain(self, first: str, second: str) -> Contrast:
        """Return the accuracy of one condition minus that of another."""
        return self._contrast(first, second, self.accuracy, self.bench.accuracy_slope)

    def log_trace_ratio(self, first: str, second: str) -> Contrast:
        """Return ln(tr F of one condition ÷ tr F of another)."""
        return self._contrast(first, second, self.log_trace, self.bench.log_trace_slope)

    def _contrast(self, first: str, second: str, statistic: Callable[[str], Tensor], slope: float) -> Contrast:
        mismatch = (self.points[first].excess / self.points[second].excess).log().mean().abs()
        # Replicates are independent, so that the error of their mean is that of the sum of squares.
        error = self._mismatch_error(first, second).square().sum().sqrt() / len(self.points[first].excess)
        return Contrast(statistic(first) - statistic(second), abs(slope) * float(mismatch + ERRORS * error))

    def _mismatch_error(self, first: str, second: str) -> Float[Tensor, " member"]:
        """Return the standard error of every replicate's ln(ratio of excess losses) from the sample of contexts."""
        for condition in (first, second):
            if condition not in self._divergences:
                self._divergences[condition] = self.bench.divergences(self.points[condition].network)
        return log_ratio_error(self._divergences[first], self._divergences[second], self.cohort.reference)
