"""Train against a head for the downstream task, come back to the same excess loss, and compare transfer."""

from __future__ import annotations

from verify.cohorts import (
    Bench,
    Comparison,
    contrast,
    from_stored,
    further_evaluations,
    record,
    record_control,
    scale_of,
    trained,
)
from verify.environment import Profile
from verify.trial import Design, Outlook, Trial

CLAIM = "same-loss-different-transfer"
OUTLOOK = Outlook(
    finding="At one loss, two ways of training differ by 7 points of accuracy.",
    figure="+6.8, +6.9, +5.5 points (grammar, tasks A, B, C); second-hand",
    would_change="An interval below 0.07 in one language refutes it; intervals above 0 that reach 0.07 in every "
    "language support it.",
)
GAP = 0.07


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the design: seven points of accuracy at the same loss."""
    return (
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction="at the same excess loss, AdamW transfers better than the adversarial algorithm by 7 points",
            statistic="accuracy of AdamW − accuracy of the adversarial algorithm",
            target=GAP,
            delta=GAP,
            spread=0.06,
            side="lower",
        ),
    )


def test_same_loss_different_transfer(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    compared = ["base", "plain", "adversarial"]

    def measure(bench: Bench) -> Comparison:
        return Comparison.of(bench, compared, accuracy=compared, evaluated=["base", "adversarial"])

    for comparison in trained(trial, compared, measure):
        shown = further_evaluations(comparison, "base", "adversarial")
        record(trial, design, comparison, comparison.gain("base", "adversarial"), evaluations=shown)
        record_control(
            trial,
            "adversary of weight 0",
            "nothing acts on the features",
            design,
            comparison,
            comparison.gain("base", "plain"),
        )
