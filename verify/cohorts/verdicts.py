"""Contrasts of arms as measurements and controls of a trial, with what identifies the language and the scale."""

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


def identify(arms: Comparison, **more: float | int | str) -> Parameters:
    """Return language, scale and matched excess of a comparison, as the evidence shows them."""
    scale = arms.cohort.scale
    accuracies: Parameters = {}
    if arms.accuracies:
        accuracies["accuracy, largest class"] = round(float(arms.cohort.exam.chance.mean()), 6)
    for arm, values in arms.accuracies.items():
        accuracies[f"accuracy, {arm}"] = float(values.mean())
        accuracies[f"accuracy, {arm}{HALF_WIDTH}"] = half_width(values)
    return {
        "language": arms.cohort.family.name,
        "scale": scale.name,
        "width": scale.width,
        "units": scale.members,
        "excess share": round(arms.share, 6),
        **accuracies,
        **more,
    }


def further_exams(arms: Comparison, first: str, second: str) -> Parameters:
    """Return the accuracy of one arm minus that of another in every further exam of the scale, without a verdict.

    "<exam>: mean difference" over the units, and "<exam>: ±", t_{0.975, n−1} S/√n, the half-width of Student's 95%
    interval; what mismatch of excess is left is not in it.
    """
    found: Parameters = {}
    for exam, gains in arms.further_gains(first, second).items():
        found[f"{exam}{MEAN}"] = float(gains.mean())
        found[f"{exam}{HALF_WIDTH}"] = half_width(gains)
    return found


def half_width(values: Float[Tensor, " member"]) -> float:
    """Return t_{0.975, n−1} S/√n, the half-width of Student's 95% interval of a mean over units."""
    n = len(values)
    return float(stats.t.ppf(0.975, n - 1) * values.std(correction=1) / n**0.5)


def before_the_way_down(arms: Comparison, first: str, second: str) -> Parameters:
    """Return two arms as training left them, at excess losses of their own: what the way down was to make comparable.

    "raw excess share, <arm>" for both; "raw gain" and "raw ln(tr F ratio)", first against second, means over units.
    """
    raw = {arm: arms.raw(arm) for arm in (first, second)}
    gap = arms.cohort.reference.learnable_gap
    shares: Parameters = {
        f"raw excess share, {arm}": round(float((found.excess / gap).mean()), 6) for arm, found in raw.items()
    }
    return shares | {
        "raw gain": float((raw[first].accuracy - raw[second].accuracy).mean()),
        "raw ln(tr F ratio)": float((raw[first].log_trace - raw[second].log_trace).mean()),
    }


def record(
    trial: Trial, design: Design, arms: Comparison, found: Contrast, **more: float | int | str
) -> InstanceResult:
    """Decide a contrast by a declared design."""
    return trial.decide(
        design,
        found.values.numpy(),
        parameters=identify(arms, **more),
        prediction=None,
        systematic=found.systematic,
    )


def record_control(
    trial: Trial, name: str, broken: str, design: Design, arms: Comparison, found: Contrast
) -> InstanceResult:
    """Decide a contrast in which a hypothesis is broken."""
    return trial.control(
        name, broken, design, found.values.numpy(), parameters=identify(arms), systematic=found.systematic
    )
