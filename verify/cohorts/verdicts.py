"""Contrasts of conditions as measurements and controls of a trial, with what identifies the language and the scale."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from scipy import stats
from torch import Tensor

from verify.cohorts.comparison import Comparison, Contrast
from verify.trial import Design, Networks, Reported, Trial
from verify.trial.decision import InstanceResult

Means = Mapping[str, Reported]
NOTHING: Means = MappingProxyType({})


def mean(values: Float[Tensor, " member"]) -> Reported:
    """Return the mean over replicates with Student's 95% interval, of half-width t_{0.975, n−1} S/√n."""
    n, value = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, n - 1) * values.std(correction=1) / n**0.5)
    return Reported(value, value - half, value + half)


def identify(
    comparison: Comparison, beside: Means = NOTHING, evaluations: Means = NOTHING, yardsticks: Means = NOTHING
) -> Networks:
    """Return language, scale, matched excess and accuracies of a comparison, as the evidence shows them."""
    scale = comparison.cohort.scale
    accuracies = {condition: mean(values) for condition, values in comparison.accuracies.items()}
    if accuracies:
        chance = Reported(round(float(comparison.bench.evaluation.chance.mean()), 6))
        accuracies = {"largest class": chance} | accuracies
    return Networks(
        language=comparison.cohort.family.name,
        scale=scale.name,
        replicates=scale.members,
        width=scale.width,
        excess_share=round(comparison.share, 6),
        accuracies=accuracies | dict(yardsticks),
        evaluations=evaluations,
        beside=beside,
    )


def further_evaluations(comparison: Comparison, first: str, second: str) -> Means:
    """Return the accuracy of one condition minus that of another in every further evaluation, without a verdict.

    What mismatch of excess is left is not in the intervals.
    """
    return {evaluation: mean(gains) for evaluation, gains in comparison.further_gains(first, second).items()}


def before_the_anneal(comparison: Comparison, first: str, second: str) -> Means:
    """Return two conditions as training left them, at excess losses of their own, not comparable.

    "raw excess share, <condition>" for both; "raw gain" and "raw ln(tr F ratio)", first against second, means over
    replicates.
    """
    raw = {condition: comparison.raw(condition) for condition in (first, second)}
    gap = comparison.cohort.reference.learnable_gap
    shares = {
        f"raw excess share, {condition}": Reported(round(float((found.excess / gap).mean()), 6))
        for condition, found in raw.items()
    }
    return shares | {
        "raw gain": mean(raw[first].accuracy - raw[second].accuracy),
        "raw ln(tr F ratio)": mean(raw[first].log_trace - raw[second].log_trace),
    }


def split_of_trace(comparison: Comparison, first: str, second: str) -> Means:
    """Return ln(tr F of one condition ÷ tr F of another) as the sum of what is of the function and what is of scales.

    The function part is the logarithm of the ratio of the least values on the orbits of the networks' symmetries, the
    orbit part the rest: it could be had, or undone, without a change of any prediction.
    """
    function = comparison.log_orbit_trace(first) - comparison.log_orbit_trace(second)
    whole = comparison.log_trace(first) - comparison.log_trace(second)
    return {"ln(tr F ratio), function part": mean(function), "ln(tr F ratio), orbit part": mean(whole - function)}


def record(
    trial: Trial,
    design: Design,
    comparison: Comparison,
    found: Contrast,
    beside: Means = NOTHING,
    evaluations: Means = NOTHING,
    yardsticks: Means = NOTHING,
) -> InstanceResult:
    """Decide a contrast by a declared design.

    Args:
        beside: what else is shown.
        evaluations: the contrast in the scale's further evaluations.
        yardsticks: accuracies of what is no network.
    """
    networks = identify(comparison, beside, evaluations, yardsticks)
    return trial.decide(design, found.values.numpy(), systematic=found.systematic, networks=networks)


def record_control(
    trial: Trial, name: str, broken: str, design: Design, comparison: Comparison, found: Contrast
) -> InstanceResult:
    """Decide a contrast in which a hypothesis is broken."""
    return trial.control(
        name, broken, design, found.values.numpy(), systematic=found.systematic, networks=identify(comparison)
    )
