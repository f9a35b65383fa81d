"""Contrasts of conditions as measurements and controls of a trial, with what identifies the language and the scale."""

from __future__ import annotations

from jaxtyping import Float
from scipy import stats
from torch import Tensor

from verify.cohorts.comparison import Comparison, Contrast
from verify.trial.decision import InstanceResult
from verify.trial.design import Design
from verify.trial.report import HALF_WIDTH, MEAN
from verify.trial.trial import Trial

Parameters = dict[str, float | int | str]


def identify(comparison: Comparison, **more: float | int | str) -> Parameters:
    """Return language, scale and matched excess of a comparison, as the evidence shows them."""
    scale = comparison.cohort.scale
    accuracies: Parameters = {}
    if comparison.accuracies:
        accuracies["accuracy, largest class"] = round(float(comparison.cohort.evaluation.chance.mean()), 6)
    for condition, values in comparison.accuracies.items():
        accuracies[f"accuracy, {condition}"] = float(values.mean())
        accuracies[f"accuracy, {condition}{HALF_WIDTH}"] = half_width(values)
    return {
        "language": comparison.cohort.family.name,
        "scale": scale.name,
        "width": scale.width,
        "units": scale.members,
        "excess share": round(comparison.share, 6),
        **accuracies,
        **more,
    }


def further_evaluations(comparison: Comparison, first: str, second: str) -> Parameters:
    """Return the accuracy of one condition minus that of another in every further evaluation, without a verdict.

    "<evaluation>: mean difference" over the replicates, and "<evaluation>: ±", t_{0.975, n−1} S/√n, the half-width of
    Student's 95% interval; what mismatch of excess is left is not in it.
    """
    found: Parameters = {}
    for evaluation, gains in comparison.further_gains(first, second).items():
        found[f"{evaluation}{MEAN}"] = float(gains.mean())
        found[f"{evaluation}{HALF_WIDTH}"] = half_width(gains)
    return found


def half_width(values: Float[Tensor, " member"]) -> float:
    """Return t_{0.975, n−1} S/√n, the half-width of Student's 95% interval of a mean over replicates."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std(correction=1) / n**0.5)


def before_the_anneal(comparison: Comparison, first: str, second: str) -> Parameters:
    """Return two conditions as training left them, at excess losses of their own, not comparable.

    "raw excess share, <condition>" for both; "raw gain" and "raw ln(tr F ratio)", first against second, means over
    replicates.
    """
    raw = {condition: comparison.raw(condition) for condition in (first, second)}
    gap = comparison.cohort.reference.learnable_gap
    shares: Parameters = {
        f"raw excess share, {name}": round(float((found.excess / gap).mean()), 6) for name, found in raw.items()
    }
    return shares | {
        "raw gain": float((raw[first].accuracy - raw[second].accuracy).mean()),
        "raw ln(tr F ratio)": float((raw[first].log_trace - raw[second].log_trace).mean()),
    }


def record(
    trial: Trial, design: Design, comparison: Comparison, found: Contrast, **more: float | int | str
) -> InstanceResult:
    """Decide a contrast by a declared design."""
    return trial.decide(
        design,
        found.values.numpy(),
        parameters=identify(comparison, **more),
        prediction=None,
        systematic=found.systematic,
    )


def record_control(
    trial: Trial, name: str, broken: str, design: Design, comparison: Comparison, found: Contrast
) -> InstanceResult:
    """Decide a contrast in which a hypothesis is broken."""
    return trial.control(
        name, broken, design, found.values.numpy(), parameters=identify(comparison), systematic=found.systematic
    )
