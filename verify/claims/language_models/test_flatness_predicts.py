"""Rank conditions by their flatness and by their transfer, inside every replicate, at the same excess loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from verify.cohorts import Bench, Comparison, Contrast, contrast, from_stored, record, record_control, scale_of, trained
from verify.cohorts.ranks import RANKED, correlations, dealt, mean_where_defined, pooled, reliability, without_ranks
from verify.cohorts.sharpness import Sharpness
from verify.environment import Profile
from verify.trial import Design, Outlook, Reported, Trial

CLAIM = "flatness-predicts"
OUTLOOK = Outlook(
    finding="The flatter the network, the better it transfers (rank correlation 0.4).",
    expected="refuted",
    figure="no coefficient known; accuracy 55.7% at tr H 8.01 and 50.2% at 19.34 (grammar, task C), 50.5% at 12.6 and "
    "40.4% at 19.8 (task B, sizes); second-hand",
    would_change="An interval above −0.4 for either measure, in one language, refutes it; intervals below 0 that "
    "reach −0.4 for both, in every language, would support it.",
)
RHO = -0.4


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs: a rank correlation of −0.4 inside replicates, for tr F and for the invariant measure."""
    return tuple(
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction=f"over ways of training at the same excess loss, {measure} ranks transfer with ρ ≤ −0.4",
            statistic=f"mean Spearman ρ of {measure} with accuracy inside replicates",
            target=RHO,
            delta=-RHO,
            spread=0.35,
            side="upper",
            designs=2,
        )
        for measure in ("tr F", "Σθ²F")
    )


def test_flatness_predicts(trial: Trial) -> None:
    raw, invariant = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    measures: dict[Design, Callable[[Sharpness], Tensor]] = {raw: lambda s: s.trace, invariant: lambda s: s.invariant}

    def measured(bench: Bench) -> tuple[Comparison, Tensor]:
        comparison = Comparison.of(bench, RANKED, traces=RANKED)
        return comparison, torch.stack([comparison.halves(name) for name in RANKED], 1)

    for comparison, halves in trained(trial, RANKED, measured):
        family = comparison.cohort.family.name
        accuracy = torch.stack([comparison.accuracy(name) for name in RANKED])
        excess = torch.stack([comparison.points[name].excess for name in RANKED])
        shown = {"reliability of the evaluation's ranks": Reported(reliability(halves, excess))}
        for part in comparison.sharpness(RANKED[0]).parts:
            table = torch.stack([comparison.sharpness(name).parts[part] for name in RANKED])
            shown[f"ρ of tr F, {part}"] = Reported(mean_where_defined(table, accuracy, excess))
        for design, measure in measures.items():
            table = torch.stack([measure(comparison.sharpness(name)) for name in RANKED])
            found = Contrast(correlations(table, accuracy, excess), 0.0)
            name = "tr F" if design is raw else "Σθ²F"
            # The name of a random stream: it stays, whatever the statistic is called.
            generator = trial.rng("bootstrap", family, f"mean Spearman ρ of {name} with accuracy inside units")
            beside = {
                "pooled ρ given the excess": pooled(table, accuracy, excess, generator),
                **shown,
                "replicates without ranks": Reported(float(without_ranks(table, accuracy, excess))),
            }
            record(trial, design, comparison, found, beside)
            dealer = trial.rng("shuffle", family, again=design is not raw)  # both measures are dealt alike
            shuffled = dealt(table, accuracy, excess, dealer)
            record_control(
                trial,
                f"shuffled {name}",
                "a replicate's measures are dealt to its conditions at random",
                design,
                comparison,
                Contrast(shuffled, 0.0),
            )
