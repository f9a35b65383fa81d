"""What a campaign will take: from finished runs of it, else from a short timing on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from verify.campaigns.grid import Run, trainings
from verify.campaigns.work import Outcome
from verify.cohorts import Bench, Cohort
from verify.cohorts.conditions import Size
from verify.training import Trainer, Training
from verify.training.threads import torch_threads

TIMED = 8
"""Steps of a training that are timed, after as many to warm up."""

SAME_TIME = (
    "pretraining",
    "continuation",
    "intervention",
    "anneal",
    "rate",
    "noisy_rate",
    "fine_rate",
    "initial_scale",
)
"""Fields of a scale that the time of one step does not depend on."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of one core that the runs of one family and point take, each.

    Attributes:
        family: name.
        point: of the grid.
        runs: that are not finished.
        seconds: of each.
        source: `finished`, the mean of finished runs that found nothing stored; or `timed`.
    """

    family: str
    point: Mapping[str, Any]
    runs: int
    seconds: float
    source: str


def estimate(runs: Sequence[Run], found: Mapping[Run, Outcome]) -> list[Estimate]:
    """Return what the unfinished runs take, by family and point; what is stored of them is not taken off.

    Args:
        runs: of a campaign.
        found: the finished ones.
    """
    clock = _Clock()
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.family, str(run.point)), []).append(run)
    estimates = []
    for group in groups.values():
        first, left = group[0], sum(run not in found for run in group)
        whole = [found[run].content["seconds"] for run in group if run in found and found[run].content["whole"]]
        if left and whole:
            estimates.append(Estimate(first.family, first.point, left, sum(whole) / len(whole), "finished"))
        elif left:
            estimates.append(Estimate(first.family, first.point, left, clock.seconds(first), "timed"))
    return estimates


class _Clock:
    """Times steps and measurements of cohorts, each kind once."""

    def __init__(self) -> None:
        self._cohorts: dict[tuple[str, str], Cohort] = {}
        self._known: dict[tuple[Cohort, str], float] = {}

    def seconds(self, run: Run) -> float:
        """Return the seconds of a run: of drawing its languages, of its steps, of measuring every condition twice."""
        place = run.family, str({name: own for name, own in asdict(run.scale).items() if name not in SAME_TIME})
        if place not in self._cohorts:
            begin = time.perf_counter()
            self._cohorts[place] = Cohort(run.family, run.scale, run.root_seed, run.device)
            self._known[self._cohorts[place], "drawing"] = time.perf_counter() - begin
        drawn = self._cohorts[place]
        with torch_threads(1 if run.device == "cpu" else None):
            taken = trainings(Cohort(run.family, replace(run.scale, members=1), run.root_seed), run.conditions)
            besides = self._known[drawn, "drawing"] + 2 * len(run.conditions) * self._measuring(drawn)
            return besides + sum(steps * self._step(drawn, size, own) for (size, own), steps in taken.items() if steps)

    def _step(self, cohort: Cohort, size: Size, training: Training) -> float:
        kind = replace(training, rate=0.0, decay=0, prefetch=TIMED)
        place = cohort, f"{size} {kind}"
        if place not in self._known:
            start, seeds = cohort.initial(size, "pretraining"), cohort.seeds("timing", again=True)
            trainer = Trainer(start, cohort.languages, kind, seeds, table=cohort.tables, device=cohort.device)
            trainer.run(TIMED)
            begin = time.perf_counter()
            trainer.run(2 * TIMED)
            float(trainer.theta.sum())  # what a device has in hand is done
            self._known[place] = (time.perf_counter() - begin) / TIMED
        return self._known[place]

    def _measuring(self, cohort: Cohort) -> float:
        place = cohort, "measuring"
        if place not in self._known:
            bench, network = Bench(cohort), cohort.initial("large", "pretraining").double()
            begin = time.perf_counter()
            bench.accuracy(network)
            bench.sharpness(network)
            self._known[place] = time.perf_counter() - begin
        return self._known[place]
