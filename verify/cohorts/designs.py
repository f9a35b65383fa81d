"""The designs of the empirical claims: contrasts of conditions, over independent replicates."""

from __future__ import annotations

from typing import Literal

from verify.cohorts.scale import Scale
from verify.trial import BUDGET, Design

SKEW_ALLOWANCE = 10.0
"""Student t is asked for a level this many times smaller, because replicates may be skewed.

Simulated, 46 replicates from gamma laws, six million intervals, α = 1.4e-5: at α/10 the interval missed 0.3 α with
skewness ½ and 2.0 α with skewness 1; at α itself, 10 α with skewness 1.
"""

_SKEWED = (
    f"Student t is asked for a level {SKEW_ALLOWANCE:g} times smaller than the design's, which pays for skewness up to "
    "½ in full and for skewness 1 up to a factor of 2 (simulated)."
)


def contrast(
    claim: str,
    scale: Scale,
    *,
    prediction: str,
    statistic: str,
    target: float,
    delta: float,
    spread: float,
    side: Literal["lower", "upper"],
    designs: int = 1,
) -> Design:
    """Return the design of a contrast: one value per replicate, one instance per family.

    With the margin as large as the target, `supported` says that the effect has the predicted sign and was not shown to
    be smaller than the target, `refuted` that it is smaller.

    Args:
        target: the smallest effect of interest.
        spread: standard deviation of a replicate at the small scale, for planning, from a pilot at another root seed.
        side: whether the claim is ≥ target or ≤ target.
        designs: how many designs share the claim's level.
    """
    return Design(
        claim=claim,
        prediction=prediction,
        statistic=statistic,
        bound="student-t",
        spread=spread * scale.spread,
        instances=len(scale.families),
        justification=(
            "A replicate is a random language of the family with its own networks, examples and evaluation, "
            "independent of the other replicates; its value is a difference of means over many heads and sentences, "
            f"or of logs of traces. {_SKEWED} The systematic error is the slope of the statistic along an anneal "
            "times the mismatch of ln(excess) that is left. Spread: pilot at other root seeds."
        ),
        target=target,
        delta=delta,
        delta_refute=delta,
        alpha=BUDGET.alpha(claim, designs) / SKEW_ALLOWANCE,
        power=0.9,
        n=scale.members,
        side=side,
    )


def equivalence(
    claim: str,
    scale: Scale,
    *,
    prediction: str,
    statistic: str,
    target: float,
    delta: float,
    spread: float,
    systematic: float,
    because: str,
    designs: int = 1,
) -> Design:
    """Return the design of a two-sided claim: one value per replicate lies within `delta` of the target in the mean.

    Args:
        delta: margin, and the smallest departure that is refuted with the declared power.
        spread: standard deviation of a replicate, for planning, from a pilot at another root seed.
        systematic: planned allowance for errors that replicates share.
        because: what a replicate's value is, where margin and allowance come from.
        designs: how many designs share the claim's level.
    """
    return Design(
        claim=claim,
        prediction=prediction,
        statistic=statistic,
        bound="student-t",
        spread=spread,
        instances=len(scale.families),
        justification=f"{because} {_SKEWED} Spread: pilot at other root seeds.",
        target=target,
        delta=delta,
        delta_refute=delta,
        alpha=BUDGET.alpha(claim, designs) / SKEW_ALLOWANCE,
        power=0.9,
        n=scale.members,
        systematic=systematic,
    )
