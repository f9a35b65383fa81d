"""Rank arms by the distance between the minima of their two tasks and by their transfer, beside flatness."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.cohorts.arms import descent
from verify.cohorts.closeness import Task, end_of
from verify.cohorts.cohort import Cohort
from verify.cohorts.comparison import Comparison, Contrast
from verify.cohorts.designs import contrast
from verify.cohorts.families import MIXTURES
from verify.cohorts.laboratory import trained
from verify.cohorts.ranks import RANKED, correlations, pooled
from verify.cohorts.scale import scale_of
from verify.cohorts.verdicts import record, record_control
from verify.design import Design
from verify.stored import stored
from verify.trial import Profile, Trial

CLAIM = "closeness-predicts"
RHO = -0.4
SCALE = f"small:{','.join(family.name for family in MIXTURES)}"
"""Whatever is asked for: two languages at once, small enough to be written out."""


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs, the same at every profile and scale: ρ of the distance, and by how much it beats tr F."""
    del scale
    return tuple(
        contrast(
            CLAIM,
            scale_of(profile, SCALE),
            prediction=prediction,
            statistic=statistic,
            target=RHO,
            delta=-RHO,
            spread=spread,
            side="upper",
            designs=2,
        )
        for prediction, statistic, spread in (
            (
                "over ways of training at the same excess loss, the distance of the tasks' minima ranks transfer with "
                "ρ ≤ −0.4",
                "mean Spearman ρ of ‖θ₁ − θ₂‖ with accuracy inside units",
                0.35,
            ),
            (
                "the distance of the tasks' minima ranks transfer better than tr F, by 0.4 of ρ",
                "mean of ρ(‖θ₁ − θ₂‖) − ρ(tr F) inside units",
                0.35,
            ),
        )
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """The arms of a cohort, and one row per ranked arm: distances of minima, relative ones, and what tells nothing.

    Attributes:
        arms: their comparison.
        distance: ‖θ₁ − θ₂‖.
        relative: ‖θ₁ − θ₂‖ / ‖θ‖.
        same: ‖θ₁ − θ₁'‖ of two trainings on one task with random numbers of their own.
        left: share of the excess loss on a task that is left where its training ends, mean.
    """

    arms: Comparison
    distance: Tensor
    relative: Tensor
    same: Tensor
    left: float

    @classmethod
    def of(cls, cohort: Cohort, device: str) -> Measured:
        """Measure the arms, which are trained on first use."""
        arms = Comparison.of(cohort, RANKED, accuracy=RANKED, traces=RANKED)
        scale, seeds = cohort.scale, [cohort.seeds("closeness", purpose) for purpose in ("reference", "both", "again")]
        tasks = Task.components(cohort.languages, scale.reference, seeds[0])
        runs = ((tasks[0], seeds[1]), (tasks[1], seeds[1]), (tasks[0], seeds[2]))
        ends = [
            [
                end_of(arms.points[name].network, task, descent(scale), scale.descent, own, device=device)
                for task, own in runs
            ]
            for name in RANKED
        ]
        return cls(
            arms,
            torch.stack([first.distance(second) for first, second, _ in ends]),
            torch.stack([first.relative_distance(second) for first, second, _ in ends]),
            torch.stack([first.distance(again) for first, _, again in ends]),
            float(torch.stack([(first.left + second.left) / 2 for first, second, _ in ends]).mean()),
        )


def test_closeness_predicts(trial: Trial) -> None:
    close, closer = trial.declare(designs(trial.profile, trial.scale))
    if trial.profile != "full" and trial.scale is None:
        trial.recall(stored(CLAIM, "medium"))
        return
    for found in trained(trial, RANKED, lambda cohort: Measured.of(cohort, trial.device), SCALE):
        arms, family = found.arms, found.arms.cohort.family.name
        accuracy = torch.stack([arms.accuracy(name) for name in RANKED])
        excess = torch.stack([arms.points[name].excess for name in RANKED])

        def ranked(measure: Tensor, accuracy: Tensor = accuracy, excess: Tensor = excess) -> Tensor:
            return correlations(measure, accuracy, excess)

        sharpness = [arms.sharpness(name) for name in RANKED]
        flat = ranked(torch.stack([each.trace for each in sharpness]))
        beside = {
            "ρ of tr F": float(flat.mean()),
            "ρ of Σθ²F": float(ranked(torch.stack([each.invariant for each in sharpness])).mean()),
            "ρ of ‖θ₁ − θ₂‖/‖θ‖": float(ranked(found.relative).mean()),
            "excess left": found.left,
        }
        rho = ranked(found.distance)
        over_runs = pooled(found.distance, accuracy, trial.numpy("bootstrap", family))
        record(trial, close, arms, Contrast(rho, 0.0), **beside, **over_runs)
        record(trial, closer, arms, Contrast(rho - flat, 0.0))
        shuffled = torch.from_numpy(trial.numpy("shuffle", family).permuted(found.distance.numpy(), axis=0))
        for name, broken, measure in (
            ("shuffled distances", "a unit's distances are dealt to its arms at random", shuffled),
            ("one language twice", "the two tasks are the same: only their examples differ", found.same),
        ):
            record_control(trial, name, broken, close, arms, Contrast(ranked(measure), 0.0))
