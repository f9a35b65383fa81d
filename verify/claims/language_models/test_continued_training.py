"""Train on from a minimum on sampled labels, and compare transfer before and after at the same excess loss."""

from __future__ import annotations

from verify.cohorts import (
    Bench,
    Comparison,
    before_the_anneal,
    contrast,
    from_stored,
    further_evaluations,
    mean,
    record,
    record_control,
    scale_of,
    trained,
)
from verify.environment import Profile
from verify.trial import Design, Outlook, Trial

CLAIM = "continued-training"
OUTLOOK = Outlook(
    finding="Training on after convergence adds 2 points of accuracy.",
    expected="refuted",
    figure="+1.6 points (grammar, task C), +4.0 points (hidden Markov model, task 10); second-hand",
    would_change="An interval below 0.02 in one language refutes it; intervals above 0 that reach 0.02 in every "
    "language, perhaps after a longer continuation, would support it.",
)
GAIN = 0.02


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the design: two points, between the paper's 1.6 (PCFG) and 4.0 (HMM), both second-hand."""
    return (
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction="SGD on sampled labels after convergence adds 2 points of accuracy at the same excess loss",
            statistic="accuracy after SGD on sampled labels − accuracy at convergence",
            target=GAIN,
            delta=GAIN,
            spread=0.018,
            side="lower",
        ),
    )


def test_continued_training(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    converged = scale_of(trial.profile, trial.scale).converged
    compared = [converged, "sampled", "soft"]

    def measure(bench: Bench) -> Comparison:
        two = compared[:2]
        return Comparison.of(bench, compared, accuracy=compared, traces=two, evaluated=two, raw=two)

    for comparison in trained(trial, compared, measure):
        fall = mean(comparison.log_trace_ratio("sampled", converged).values)
        raw = before_the_anneal(comparison, "sampled", converged)
        shown = {"ln(tr F after ÷ before)": fall, **raw}
        record(
            trial,
            design,
            comparison,
            comparison.gain("sampled", converged),
            shown,
            further_evaluations(comparison, "sampled", converged),
        )
        record_control(
            trial,
            "soft labels",
            "the gradient has no label noise",
            design,
            comparison,
            comparison.gain("soft", converged),
        )
