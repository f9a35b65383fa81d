"""The designs of the empirical claims: contrasts of arms, over independent units."""

from __future__ import annotations

from typing import Literal

from verify.cohorts.scale import SCALES
from verify.design import Design
from verify.trial import BUDGET, Profile

SKEW_ALLOWANCE = 10.0
"""How much more often than α Student t may miss when units are skewed; α is divided by it."""


def scale_profile(profile: Profile) -> Literal["default", "full"]:
    """Return the profile whose scale a run uses: `quick` shows what `default` found."""
    return "full" if profile == "full" else "default"


def contrast(
    claim: str,
    profile: Profile,
    *,
    prediction: str,
    statistic: str,
    target: float,
    delta: float,
    spread: float,
    side: Literal["lower", "upper"],
    designs: int = 1,
) -> Design:
    """Return the design of a contrast: one value per unit, one instance per family.

    With the margin as large as the target, `supported` says that the effect has the predicted sign and was not shown to
    be smaller than the target, `refuted` that it is smaller.

    Args:
        claim: id.
        profile: of the run.
        prediction: in words.
        statistic: in words.
        target: the smallest effect of interest.
        delta: margin.
        spread: standard deviation of a unit, for planning, from a pilot at another root seed.
        side: whether the claim is ≥ target or ≤ target.
        designs: how many designs share the claim's level.
    """
    scale = SCALES[scale_profile(profile)]
    return Design(
        claim=claim,
        prediction=prediction,
        statistic=statistic,
        bound="student-t",
        spread=spread,
        instances=len(scale.families),
        justification=(
            "A unit is a random language of the family with its own networks, examples and exam, independent of the "
            "other units; its value is a difference of means over many heads and sentences, or of logarithms of traces. "
            f"With units of skewness up to 1, Student t at these levels misses up to {SKEW_ALLOWANCE:g} times as often "
            "as it says (simulated in the tests), and is asked for a level that much smaller. The systematic error is "
            "the slope of the statistic along a way down times the mismatch of ln(excess) that is left. Spread: pilot "
            "at other root seeds."
        ),
        target=target,
        delta=delta,
        delta_refute=delta,
        alpha=BUDGET.alpha(claim, designs) / SKEW_ALLOWANCE,
        power=0.9,
        n=scale.members,
        side=side,
    )
