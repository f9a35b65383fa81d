"""Arms of a cohort compared unit by unit at matched excess loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.cohort import Cohort
from verify.cohorts.path import Point, match
from verify.cohorts.scale import ExamName
from verify.cohorts.sharpness import Sharpness
from verify.cohorts.transfer import by_halves, mean_accuracy
from verify.training.excess import log_ratio_error

ERRORS = 2.0
"""Standard errors of a mean mismatch of excess, from the sample of contexts, that are allowed for."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """A difference between two arms, one value for each unit.

    Attributes:
        values: statistic of the first arm minus that of the second.
        systematic: how far the mean may be off because the excess losses are not exactly equal, or not exactly known.
    """

    values: Float[Tensor, " member"]
    systematic: float


@dataclass(frozen=True, eq=False)
class Raw:
    """An arm as training left it, before the way down: at an excess of its own, so not to be compared as it is.

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
    """Arms at matched excess.

    Attributes:
        cohort: their cohort.
        points: a point of every arm, by name.
    """

    cohort: Cohort
    points: dict[str, Point]
    _sharpness: dict[str, Sharpness] = field(default_factory=dict)
    _accuracy: dict[str, Tensor] = field(default_factory=dict)
    _raw: dict[str, Raw] = field(default_factory=dict)
    _divergences: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        names: Sequence[str],
        *,
        accuracy: Sequence[str] = (),
        traces: Sequence[str] = (),
        examined: Sequence[str] = (),
        raw: Sequence[str] = (),
    ) -> Comparison:
        """Match arms, which are trained on first use; measure at once those that are asked for.

        Args:
            cohort: their cohort.
            names: of the arms.
            accuracy: arms whose few-label accuracy is measured.
            traces: arms whose tr F and Σθ²F are measured.
            examined: arms that take the scale's further exams.
            raw: arms that are measured before their way down as well.
        """
        found = cls(cohort, dict(zip(names, match([cohort.path(name) for name in names]), strict=True)))
        for arm in accuracy:
            found.accuracy(arm)
        for arm in traces:
            found.sharpness(arm)
        for arm in examined:
            for exam in cohort.scale.exams:
                found.further_accuracy(exam, arm)
        for arm in raw:
            found.raw(arm)
        return found

    @cached_property
    def share(self) -> float:
        """Mean excess loss of all arms and members as a share of the learnable gap."""
        gap = self.cohort.reference.learnable_gap
        return float(torch.stack([point.excess / gap for point in self.points.values()]).mean())

    def accuracy(self, arm: str) -> Float[Tensor, " member"]:
        """Return the few-label accuracy of an arm."""
        if arm not in self._accuracy:
            self._accuracy[arm] = self.cohort.accuracy(self.points[arm].network)
        return self._accuracy[arm]

    def halves(self, arm: str) -> Float[Tensor, "half member"]:
        """Return the accuracies of an arm in either half of the exam, and keep that of the whole."""
        right = self.cohort.exam.answers(self.cohort.features(self.points[arm].network))
        self._accuracy[arm] = mean_accuracy(right)
        return by_halves(right)

    @property
    def accuracies(self) -> Mapping[str, Float[Tensor, " member"]]:
        """The few-label accuracies of the arms where they were measured."""
        return MappingProxyType(self._accuracy)

    def raw(self, arm: str) -> Raw:
        """Return what an arm is before its way down."""
        if arm not in self._raw:
            point = self.cohort.path(arm).raw()
            trace = self.cohort.sharpness(point.network).trace
            self._raw[arm] = Raw(point.excess, self.cohort.accuracy(point.network), trace.log())
        return self._raw[arm]

    def further_accuracy(self, exam: ExamName, arm: str) -> Float[Tensor, " member"]:
        """Return the accuracy of an arm in a further exam."""
        return self.cohort.examined(exam, arm, self.points[arm])

    def further_gains(self, first: str, second: str) -> dict[ExamName, Float[Tensor, " member"]]:
        """Return the accuracy of one arm minus that of another in each further exam of the scale."""
        exams = self.cohort.scale.exams
        return {exam: self.further_accuracy(exam, first) - self.further_accuracy(exam, second) for exam in exams}

    def sharpness(self, arm: str) -> Sharpness:
        """Return tr F and Σθ²F of an arm."""
        if arm not in self._sharpness:
            self._sharpness[arm] = self.cohort.sharpness(self.points[arm].network)
        return self._sharpness[arm]

    def log_trace(self, arm: str) -> Float[Tensor, " member"]:
        """Return ln tr F of an arm."""
        return self.sharpness(arm).trace.log()

    def gain(self, first: str, second: str) -> Contrast:
        """Return the accuracy of one arm minus that of another."""
        return self._contrast(first, second, self.accuracy, self.cohort.accuracy_slope)

    def log_trace_ratio(self, first: str, second: str) -> Contrast:
        """Return ln(tr F of one arm ÷ tr F of another)."""
        return self._contrast(first, second, self.log_trace, self.cohort.log_trace_slope)

    def _contrast(self, first: str, second: str, statistic: Callable[[str], Tensor], slope: float) -> Contrast:
        mismatch = (self.points[first].excess / self.points[second].excess).log().mean().abs()
        # Units are independent, so that the error of their mean is that of the sum of squares.
        error = self._mismatch_error(first, second).square().sum().sqrt() / len(self.points[first].excess)
        return Contrast(statistic(first) - statistic(second), abs(slope) * float(mismatch + ERRORS * error))

    def _mismatch_error(self, first: str, second: str) -> Float[Tensor, " member"]:
        """Return the standard error of every unit's ln(ratio of excess losses) from the sample of contexts."""
        for arm in (first, second):
            if arm not in self._divergences:
                self._divergences[arm] = self.cohort.divergences(self.points[arm].network)
        return log_ratio_error(self._divergences[first], self._divergences[second], self.cohort.reference)
