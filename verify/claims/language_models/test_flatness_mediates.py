"""Make networks flat or sharp at the same excess loss, and take the noise apart that recovers an adversarial one."""

from __future__ import annotations

from collections.abc import Sequence

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
from verify.trial import Design, Outlook, Reported, Trial

CLAIM = "flatness-mediates"
OUTLOOK = Outlook(
    finding="A network forced to be flatter gains 2 points of accuracy.",
    expected="refuted",
    figure="none known; both interventions are ours",
    would_change="An interval below 0.02 for either intervention, in one language, refutes it; intervals above 0 that "
    "reach 0.02 for both, in every language, would support it.",
)
GAIN = 0.02
RECOVERED = "adversarial-"


def designs(profile: Profile, scale: str | None = None) -> tuple[Design, ...]:
    """Return the designs: two points by a penalty on tr F, and two by the shape of the noise."""
    return tuple(
        contrast(
            CLAIM,
            scale_of(profile, scale),
            prediction=prediction,
            statistic=statistic,
            target=GAIN,
            delta=GAIN,
            spread=spread,
            side="lower",
            designs=2,
        )
        for prediction, statistic, spread in (
            (
                "a penalty on tr F, against a reward, adds 2 points of accuracy at the same excess loss",
                "accuracy, tr F penalised − accuracy, tr F rewarded",
                0.015,
            ),
            (
                "sampled labels recover an adversarial network by 2 points more than isotropic noise of the same norm",
                "accuracy recovered by sampled labels − accuracy recovered by isotropic noise",
                0.018,
            ),
        )
    )


def further_recoveries(bench: Bench, names: Sequence[str]) -> dict[str, Reported]:
    """Return what further recoveries gain and do to tr F: each matched apart, so that it moves no decided contrast."""
    isotropic = f"{RECOVERED}isotropic"
    shown = {}
    for name in names:
        comparison = Comparison.of(bench, ["adversarial", isotropic, name])
        short = name.removeprefix(RECOVERED)
        shown[f"gain by {short}"] = mean(comparison.gain(name, "adversarial").values)
        shown[f"ln(tr F, {short} ÷ isotropic)"] = mean(comparison.log_trace_ratio(name, isotropic).values)
    return shown


def test_flatness_mediates(trial: Trial) -> None:
    penalty, shape = trial.declare(designs(trial.profile, trial.scale))
    if from_stored(trial):
        return
    recovered = [RECOVERED + labels for labels in ("sampled", "soft", "isotropic")]
    sampled, soft, isotropic = recovered
    further = [RECOVERED + name for name in scale_of(trial.profile, trial.scale).further_recoveries]
    pushed = ["flat", "sharp"]
    forced, freed = ["base", "plain", *pushed], ["adversarial", *recovered]

    def measure(bench: Bench) -> tuple[Comparison, Comparison, dict[str, Reported]]:
        return (
            Comparison.of(bench, forced, accuracy=forced, traces=pushed, evaluated=pushed, raw=pushed),
            Comparison.of(bench, freed, accuracy=freed, traces=[sampled, isotropic], raw=[sampled, isotropic]),
            further_recoveries(bench, further),
        )

    for comparison, recovery, others in trained(trial, [*forced, *freed, *further], measure):
        fall = mean(comparison.log_trace_ratio("flat", "sharp").values)
        raw = before_the_anneal(comparison, "flat", "sharp")
        forcing = {"ln(tr F, flat ÷ sharp)": fall, **raw}
        record(
            trial,
            penalty,
            comparison,
            comparison.gain("flat", "sharp"),
            forcing,
            further_evaluations(comparison, "flat", "sharp"),
        )
        record_control(
            trial, "penalty of weight 0", "nothing acts on tr F", penalty, comparison, comparison.gain("plain", "base")
        )
        shown = {
            f"gain by {name.removeprefix(RECOVERED)}": mean(recovery.gain(name, "adversarial").values)
            for name in recovered
        }
        shown["ln(tr F, sampled ÷ isotropic)"] = mean(recovery.log_trace_ratio(sampled, isotropic).values)
        raw = before_the_anneal(recovery, sampled, isotropic)
        record(trial, shape, recovery, recovery.gain(sampled, isotropic), {**shown, **raw, **others})
        record_control(
            trial,
            "soft labels in place of sampled ones",
            "there is no label noise",
            shape,
            recovery,
            recovery.gain(soft, isotropic),
        )
