"""Rank conditions by the distance between the minima of their two tasks, by their flatness and by their transfer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verify.cohorts import (
    Bench,
    Comparison,
    Contrast,
    anneal,
    contrast,
    mean,
    record,
    record_control,
    scale_of,
    trained,
)
from verify.cohorts.closeness import Task, end_of
from verify.cohorts.families import MIXTURES
from verify.cohorts.ranks import RANKED, correlations, dealt, pooled
from verify.environment import Profile
from verify.trial import Design, Outlook, Reported, Trial
from verify.trial.stored import stored

CLAIM = "closeness-predicts"
OUTLOOK = Outlook(
    finding="The nearer the minima of two tasks, the better the transfer (0.4).",
    expected="refuted",
    figure="none known of Nexus; −0.4 is ours",
    would_change="An interval above −0.4 for either correlation, in one language, refutes it; intervals below 0 that "
    "reach −0.4 for both, in every language, would support it.",
)
RHO = -0.4
SCALE = f"small:{','.join(family.name for family in MIXTURES)}"
"""Whatever is asked for: two languages at once, small enough to be written out."""


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs, the same at every profile and scale: the distance against transfer, and against tr F."""
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
                "mean Spearman ρ of ‖θ₁ − θ₂‖ with accuracy inside replicates",
                0.35,
            ),
            (
                "over the same networks, the flatter the minimum the farther apart the tasks' minima, with ρ ≤ −0.4",
                "mean Spearman ρ of ‖θ₁ − θ₂‖ with tr F inside replicates",
                0.15,
            ),
        )
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """The conditions of a cohort and, a row for each that is ranked, how far apart trainings from it end.

    Attributes:
        comparison: of the conditions.
        distance: ‖θ₁ − θ₂‖.
        relative: ‖θ₁ − θ₂‖ / ‖θ‖.
        same: ‖θ_k − θ_k'‖ of two trainings on one task with examples of their own, mean over both tasks.
        left: share of the excess loss on a task that is left where its training ends, mean.
    """

    comparison: Comparison
    distance: Tensor
    relative: Tensor
    same: Tensor
    left: float

    @classmethod
    def of(cls, bench: Bench) -> Measured:
        """Measure the conditions, which are trained on first use."""
        comparison = Comparison.of(bench, RANKED, accuracy=RANKED, traces=RANKED)
        cohort, scale = bench.cohort, bench.cohort.scale
        seeds = [cohort.seeds("closeness", purpose) for purpose in ("reference", "both", "again")]
        tasks = Task.components(cohort.languages, scale.reference, seeds[0])
        distance, relative, same, left = [], [], [], []
        for name in RANKED:
            network = comparison.points[name].network
            (first, second), again = (
                [end_of(network, task, anneal(scale), scale.anneal, own, cohort=cohort) for task in tasks]
                for own in seeds[1:]
            )
            distance.append(first.distance(second))
            relative.append(first.relative_distance(second))
            same.append((first.distance(again[0]) + second.distance(again[1])) / 2)
            left.append((first.left + second.left) / 2)
        return cls(
            comparison, torch.stack(distance), torch.stack(relative), torch.stack(same), float(torch.stack(left).mean())
        )


def test_closeness_predicts(trial: Trial) -> None:
    transfer, exchange = trial.declare(designs(trial.profile, trial.scale))
    if trial.profile != "full" and trial.scale is None:
        trial.use_stored(stored(CLAIM, "medium"))
        return
    for found in trained(trial, RANKED, Measured.of, SCALE):
        comparison, family = found.comparison, found.comparison.cohort.family.name
        accuracy = torch.stack([comparison.accuracy(name) for name in RANKED])
        excess = torch.stack([comparison.points[name].excess for name in RANKED])
        trace = torch.stack([comparison.sharpness(name).trace for name in RANKED])
        invariant = torch.stack([comparison.sharpness(name).invariant for name in RANKED])
        by_distance, by_trace = (correlations(measure, accuracy, excess) for measure in (found.distance, trace))
        beside = {
            "ρ of tr F": mean(by_trace),
            "ρ of Σθ²F": mean(correlations(invariant, accuracy, excess)),
            "ρ − ρ of tr F": mean(by_distance - by_trace),
            "ρ of ‖θ₁ − θ₂‖/‖θ‖": mean(correlations(found.relative, accuracy, excess)),
            "excess left on a task": Reported(found.left),
        }
        over_runs = pooled(found.distance, accuracy, excess, trial.rng("bootstrap", family))
        beside["pooled ρ given the excess"] = over_runs
        record(trial, transfer, comparison, Contrast(by_distance, 0.0), beside)
        beside = {
            "ρ with Σθ²F": mean(correlations(found.distance, invariant, excess)),
            "ρ of ‖θ₁ − θ₂‖/‖θ‖": mean(correlations(found.relative, trace, excess)),
            "ρ if the tasks are one language": mean(correlations(found.same, trace, excess)),
        }
        record(trial, exchange, comparison, Contrast(correlations(found.distance, trace, excess), 0.0), beside)
        for name, broken, design, rho in (
            (
                "shuffled distances",
                "a replicate's distances are dealt to its conditions at random",
                transfer,
                dealt(found.distance, accuracy, excess, trial.rng("shuffle", family)),
            ),
            (
                "shuffled distances against tr F",
                "a replicate's distances are dealt to its conditions at random",
                exchange,
                dealt(found.distance, trace, excess, trial.rng("shuffle against tr F", family)),
            ),
            (
                "one language twice",
                "the tasks are the same: only their examples differ",
                transfer,
                correlations(found.same, accuracy, excess),
            ),
        ):
            record_control(trial, name, broken, design, comparison, Contrast(rho, 0.0))
