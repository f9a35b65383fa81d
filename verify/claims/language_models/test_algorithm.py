"""Compare AdamW, the adversarial algorithm and the lookup table of p* by their transfer at the same excess loss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts import (
    Bench,
    Comparison,
    Contrast,
    Evaluation,
    contrast,
    from_stored,
    further_evaluations,
    mean,
    record,
    record_control,
    scale_of,
    trained,
)
from verify.downstream import conditional_features, random_code
from verify.environment import Profile
from verify.trial import Design, Outlook, Trial

CLAIM = "algorithm"
OUTLOOK = Outlook(
    finding="AdamW leads an adversary by 7 points, and that a lookup table by 7.",
    expected="refuted",
    figure="AdamW 89.9%, adversarial 83.1%, lookup table 71.2% (grammar, task A); 49.2%, 42.3%, 39.7% (task B); "
    "second-hand",
    would_change="An interval below 0.07 for either inequality, in one language, refutes it; a task whose label can "
    "be read off p* less directly than off trained features could turn the second.",
)
GAP = 0.07


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs: seven points between AdamW and the adversary, and between the adversary and the table."""
    return tuple(
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction=f"at the same excess loss, {first} transfers better than {second} by 7 points",
            statistic=f"accuracy of {first} − accuracy of {second}",
            target=GAP,
            delta=GAP,
            spread=0.06,
            side="lower",
            designs=2,
        )
        for first, second in (
            ("AdamW", "the adversarial algorithm"),
            ("the adversarial algorithm", "the lookup table of p*"),
        )
    )


def table_accuracy(bench: Bench, evaluation: Evaluation, *, logarithm: bool = False) -> Float[Tensor, " member"]:
    """Return the accuracy with p*, or log p*, as features, every position masked in turn: the table's excess is 0."""
    pairs = zip(bench.cohort.languages, evaluation.inputs, strict=True)
    features = [conditional_features(language, inputs, logarithm=logarithm) for language, inputs in pairs]
    return evaluation.accuracy(torch.stack(features))


def code_accuracy(bench: Bench) -> Float[Tensor, " member"]:
    """Return the accuracy with a random code of every sentence, of as many numbers as the network has features."""
    cohort = bench.cohort
    dimension = cohort.scale.width * cohort.languages[0].length
    seeds = cohort.seeds("random code")
    features = [
        random_code(inputs, dimension, seed) for inputs, seed in zip(bench.evaluation.inputs, seeds, strict=True)
    ]
    return bench.evaluation.accuracy(torch.stack(features))


def test_algorithm(trial: Trial) -> None:
    best, worst = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    compared = ["base", "adversarial", "plain"]

    def measure(bench: Bench) -> tuple[Comparison, dict[str, Tensor]]:
        tables = {
            "lookup table": table_accuracy(bench, bench.evaluation),
            "lookup table, second evaluation": table_accuracy(bench, bench.draw_evaluation("second exam")),
            "lookup table of log p*": table_accuracy(bench, bench.evaluation, logarithm=True),
            "lookup table of random codes": code_accuracy(bench),
        }
        comparison = Comparison.of(bench, compared, accuracy=compared, evaluated=["base", "adversarial"])
        return comparison, tables

    for comparison, tables in trained(trial, compared, measure):
        yardsticks = {name: mean(values) for name, values in tables.items()}
        table, again = tables["lookup table"], tables["lookup table, second evaluation"]
        gain = comparison.gain("base", "adversarial")
        further = further_evaluations(comparison, "base", "adversarial")
        record(trial, best, comparison, gain, evaluations=further, yardsticks=yardsticks)
        # The table's excess is 0, so that what remains of the networks' counts against them in full.
        below = Contrast(comparison.accuracy("adversarial") - table, 0.0)
        record(trial, worst, comparison, below, yardsticks=yardsticks)
        record_control(
            trial,
            "one algorithm twice",
            "the two algorithms are the same",
            best,
            comparison,
            comparison.gain("plain", "base"),
        )
        record_control(
            trial,
            "the table examined twice",
            "the two algorithms are the same",
            worst,
            comparison,
            Contrast(again - table, 0.0),
        )
