"""The questions of a campaign, answered from its rows: by dose, family and point of the grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from verify.campaigns.grid import Campaign
from verify.campaigns.questions import Question, questions
from verify.cohorts.comparison import ERRORS
from verify.cohorts.ranks import correlations
from verify.statistics import Interval, UndefinedCorrelationError, binomial_interval, spearman
from verify.statistics.saturation import Asymptote, asymptote
from verify.trial import Design
from verify.trial.decision import InstanceResult, decide, measure

OPEN = "open"
"""Verdict where some of the declared cohorts have no rows yet."""


class TableError(ValueError):
    """Rows that are not those of the campaign."""


class Table:
    """The rows of one family at one point of the grid: columns by condition, all cohorts side by side.

    Args:
        rows: as a file of rows has them, numbers perhaps in words.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._rows: dict[str, dict[tuple[int, int], Mapping[str, Any]]] = {}
        for row in rows:
            self._rows.setdefault(str(row["condition"]), {})[int(row["root_seed"]), int(row["member"])] = row

    @cached_property
    def replicates(self) -> list[tuple[int, int]]:
        """Root seed and member of the replicates that have rows, in order."""
        return sorted(set().union(*self._rows.values()))

    def column(self, name: str, condition: str) -> Float[np.ndarray, " replicate"]:
        """Return a column of a condition.

        Raises:
            TableError: it is not there for every replicate, or no number.
        """
        own = self._rows.get(condition, {})
        try:
            return np.array([float(own[replicate][name]) for replicate in self.replicates])
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(
                f"expected a number in column {name} of condition {condition} for every replicate, got none ({error}); "
                "take the rows that this campaign wrote"
            ) from error

    def systematic(self, slope: str, first: str, second: str) -> float:
        """Return how far the mean of a contrast may be off as the excess losses are not equal, or not known exactly.

        Mean over cohorts of |slope| · (|mean of ln(excess ratio)| + 2 standard errors of that mean), the errors of the
        two excess losses added as if they never cancelled; as in `Comparison`, where they do.
        """
        seeds = np.array([seed for seed, _ in self.replicates])
        found = []
        excess = [self.column("excess", name) for name in (first, second)]
        relative = [self.column("excess_error", name) / own for name, own in zip((first, second), excess, strict=True)]
        errors = relative[0] + relative[1]
        slopes = np.abs(self.column(slope, first))
        for seed in np.unique(seeds):
            own = seeds == seed
            mismatch = abs(np.log(excess[0] / excess[1])[own].mean())
            found.append(slopes[own][0] * (mismatch + ERRORS * np.sqrt((errors[own] ** 2).sum()) / own.sum()))
        return float(np.mean(found))


@dataclass(frozen=True, eq=False)
class Answer:
    """What one dose of a question gives.

    Attributes:
        dose: steps; None without.
        slow_time: τ of the first condition.
        values: one for each replicate.
        interval: at the design's level.
        systematic: by which both ends are widened.
        verdict: of the design, or `open`.
    """

    dose: int | None
    slow_time: float
    values: Float[np.ndarray, " replicate"]
    interval: Interval
    systematic: float
    verdict: str

    @property
    def low(self) -> float:
        return self.interval.low - self.systematic

    @property
    def high(self) -> float:
        return self.interval.high + self.systematic

    @property
    def sign(self) -> int:
        """1 or −1 where the widened interval shows the sign of the effect, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Trend:
    """Whether a statistic goes one way with the dose.

    Attributes:
        rho: mean over replicates of Spearman's ρ of the statistic with dose.
        word: rising where at the design's level more than half of all replicates have ρ > 0, falling likewise, or
            undecided. Without a trend at most half have, whatever the law of a replicate that favours no order.
    """

    rho: float
    word: str


@dataclass(frozen=True, eq=False)
class Curve:
    """A question in one family at one point of the grid.

    Attributes:
        question: which.
        design: of each answer.
        family: name.
        point: values of what the campaign varies.
        answers: by dose, rising.
    """

    question: Question
    design: Design
    family: str
    point: Mapping[str, Any]
    answers: tuple[Answer, ...]

    @cached_property
    def trend(self) -> Trend | None:
        """Whether the statistic rises or falls with the dose; None below 3 doses."""
        if len(self.answers) < 3:
            return None
        values = np.stack([answer.values for answer in self.answers], 1)
        found = np.array([_rank_correlation(np.arange(len(own), dtype=np.float64), own) for own in values])
        above, below = (
            binomial_interval(int((sign * found > 0).sum()), len(found), self.design.alpha_instance) for sign in (1, -1)
        )
        word = "rising" if above.low > 0.5 else "falling" if below.low > 0.5 else "undecided"
        return Trend(float(found.mean()), word)

    def asymptote(self) -> Asymptote | None:
        """The limit of the statistic in slow time, with a 95% interval; None where τ does not rise over 3 doses."""
        times = np.array([answer.slow_time for answer in self.answers])
        if len(times) < 3 or not (np.diff(times, prepend=0.0) > 0).all():
            return None
        values = np.stack([answer.values for answer in self.answers], 1)
        return asymptote(times, values, np.random.default_rng(0))


def _rank_correlation(x: Float[np.ndarray, " dose"], y: Float[np.ndarray, " dose"]) -> float:
    try:
        return spearman(x, y)
    except UndefinedCorrelationError:  # one value at all doses
        return 0.0


def _statistic(table: Table, question: Question, names: Sequence[str]) -> tuple[Float[np.ndarray, " replicate"], float]:
    """Return the values of a question at one dose, and the allowance of their mean."""
    *firsts, second = names
    if question.statistic == "rank correlation":
        columns = [
            torch.from_numpy(np.stack([table.column(what, name) for name in names]))
            for what in (question.measure, "accuracy", "excess")
        ]
        return correlations(*columns).numpy(), 0.0
    (first,) = firsts
    if question.statistic == "gain":
        change = table.column("accuracy", first) - table.column("accuracy", second)
        return change, table.systematic("accuracy_slope", first, second)
    change = np.log(table.column("trace", first) / table.column("trace", second))
    return change, table.systematic("log_trace_slope", first, second)


def curves(campaign: Campaign, rows: Sequence[Mapping[str, Any]]) -> Iterator[Curve]:
    """Give the answers to every question of a campaign, where there are rows: question by question.

    Where cohorts are missing, the verdict is open.

    Raises:
        TableError: a row lacks what a question asks for.
    """
    tables = {
        (family, tuple(point.items())): Table(
            row
            for row in rows
            if row["family"] == family and all(_equal(row.get(f"scale.{key}"), value) for key, value in point.items())
        )
        for point in campaign.points
        for family in campaign.families
    }
    for question, design in questions(campaign):
        for (family, point), table in tables.items():
            if table.replicates:
                answers = [_answer(campaign, table, question, design, dose) for dose in question.doses or (None,)]
                yield Curve(question, design, family, dict(point), tuple(answers))


def _equal(written: Any, value: Any) -> bool:
    return written == value or str(written) == str(value)


def _answer(campaign: Campaign, table: Table, question: Question, design: Design, dose: int | None) -> Answer:
    names = question.conditions(campaign, dose)
    values, systematic = _statistic(table, question, names)
    slow_time = float(table.column("slow_time", names[-2])[0])
    if len(values) < design.n:
        interval = measure(design, values)
        return Answer(dose, slow_time, values, interval, systematic, OPEN)
    result: InstanceResult = decide(design, values, systematic=systematic)
    return Answer(dose, slow_time, values, result.interval, result.systematic, result.verdict.value)
