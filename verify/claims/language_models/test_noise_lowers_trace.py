"""Go on from one minimum on sampled and on soft labels, and compare tr F at equal excess loss."""

from __future__ import annotations

import math

from verify.cohorts import (
    Bench,
    Comparison,
    before_the_anneal,
    contrast,
    from_stored,
    record,
    record_control,
    scale_of,
    split_of_trace,
    trained,
)
from verify.environment import Profile
from verify.trial import Design, Outlook, Trial

CLAIM = "noise-lowers-trace"
OUTLOOK = Outlook(
    finding="Training on with sampled labels makes a network flatter than with soft ones.",
    figure="none known (curves that we do not have); ln 0.9 is ours",
    would_change="An interval above ln 0.9 in one language refutes it; intervals below 0 that reach ln 0.9 in every "
    "language support it.",
)
LEAST = math.log(0.9)


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the design: tr F falls by a tenth at least."""
    return (
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction="SGD on sampled labels lowers tr F by a tenth at least, against the same run on soft labels",
            statistic="ln(tr F, sampled labels ÷ tr F, soft labels)",
            target=LEAST,
            delta=-LEAST,
            spread=0.095,
            side="upper",
        ),
    )


def test_noise_lowers_trace(trial: Trial) -> None:
    (design,) = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    compared = ["sampled", "soft", "isotropic"]

    def measure(bench: Bench) -> Comparison:
        return Comparison.of(bench, compared, traces=compared, raw=compared[:2])

    for comparison in trained(trial, ["base", *compared], measure):
        pair = comparison, "sampled", "soft"
        beside = {**before_the_anneal(*pair), **split_of_trace(*pair)}
        record(trial, design, comparison, comparison.log_trace_ratio("sampled", "soft"), beside)
        record_control(
            trial,
            "isotropic noise of the same norm",
            "the covariance of the noise is not the Hessian",
            design,
            comparison,
            comparison.log_trace_ratio("isotropic", "soft"),
        )
