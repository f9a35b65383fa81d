"""Contrasts of arms as measurements and controls of a trial, with what identifies the language and the scale."""

from __future__ import annotations

from scipy import stats

from verify.cohorts.comparison import Comparison, Contrast
from verify.decision import InstanceResult
from verify.design import Design
from verify.report import HALF_WIDTH, MEAN
from verify.trial import Trial

Parameters = dict[str, float | int | str]


def identify(arms: Comparison, **more: float | int | str) -> Parameters:
    """Return language, scale and matched excess of a comparison, as the evidence shows them."""
    scale = arms.cohort.scale
    return {
        "language": arms.cohort.family.name,
        "scale": scale.name,
        "width": scale.width,
        "units": scale.members,
        "excess share": round(arms.share, 6),
        **more,
    }


def further_exams(arms: Comparison, first: str, second: str) -> Parameters:
    """Return the accuracy of one arm minus that of another in every further exam of the scale, without a verdict.

    "<exam>: mean difference" over the units, and "<exam>: ±", t_{0.975, n−1} S/√n, the half-width of Student's 95%
    interval; what mismatch of excess is left is not in it.
    """
    found: Parameters = {}
    for exam, gains in arms.further_gains(first, second).items():
        n = len(gains)
        found[f"{exam}{MEAN}"] = float(gains.mean())
        found[f"{exam}{HALF_WIDTH}"] = float(stats.t.ppf(0.975, n - 1) * gains.std(correction=1) / n**0.5)
    return found


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
