"""Compare AdamW, the adversarial algorithm and the lookup table of p* by their transfer at the same excess loss."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.cohort import Cohort
from verify.cohorts.comparison import Comparison, Contrast
from verify.cohorts.designs import contrast
from verify.cohorts.laboratory import from_stored, trained
from verify.cohorts.scale import scale_of
from verify.cohorts.transfer import Evaluation
from verify.cohorts.verdicts import further_evaluations, mean, record, record_control
from verify.downstream.baselines import conditional_features, random_code
from verify.environment import Profile
from verify.trial.design import Design
from verify.trial.outlook import Outlook
from verify.trial.trial import Trial

CLAIM = "algorithm"
OUTLOOK = Outlook(
    finding="At the same loss AdamW is 7 points ahead of an adversarial algorithm downstream, and that 7 points ahead "
    "of a lookup table.",
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


def table_accuracy(cohort: Cohort, evaluation: Evaluation, *, logarithm: bool = False) -> Float[Tensor, " member"]:
    """Return the accuracy with p*, or log p*, as features, every position masked in turn: the table's excess is 0."""
    features = [
        conditional_features(language, inputs, logarithm=logarithm)
        for language, inputs in zip(cohort.languages, evaluation.inputs, strict=True)
    ]
    return evaluation.accuracy(torch.stack(features))


def code_accuracy(cohort: Cohort) -> Float[Tensor, " member"]:
    """Return the accuracy with a random code of every sentence, of as many numbers as the network has features."""
    dimension = cohort.scale.width * cohort.languages[0].length
    seeds = cohort.seeds("random code")
    features = [
        random_code(inputs, dimension, seed) for inputs, seed in zip(cohort.evaluation.inputs, seeds, strict=True)
    ]
    return cohort.evaluation.accuracy(torch.stack(features))


def test_algorithm(trial: Trial) -> None:
    best, worst = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    compared = ["base", "adversarial", "plain"]

    def measure(cohort: Cohort) -> tuple[Comparison, dict[str, Tensor]]:
        tables = {
            "lookup table": table_accuracy(cohort, cohort.evaluation),
            "lookup table, second exam": table_accuracy(cohort, cohort.draw_evaluation("second exam")),
            "lookup table of log p*": table_accuracy(cohort, cohort.evaluation, logarithm=True),
            "lookup table of random codes": code_accuracy(cohort),
        }
        comparison = Comparison.of(cohort, compared, accuracy=compared, evaluated=["base", "adversarial"])
        return comparison, tables

    for comparison, tables in trained(trial, compared, measure):
        yardsticks = {name: mean(values) for name, values in tables.items()}
        table, again = tables["lookup table"], tables["lookup table, second exam"]
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
