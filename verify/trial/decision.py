"""Verdicts: a claim is supported only when equivalence is shown, never because nothing contradicts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from verify.statistics import Interval, Samples, binomial_interval, student_t_interval
from verify.statistics.intervals import checked_samples
from verify.trial.design import Design


class Verdict(StrEnum):
    """Outcome of a test: `inconclusive` says neither that the claim holds nor that it fails."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class InstanceResult:
    """Decision on one instance of a design.

    Attributes:
        design: the design declared before sampling.
        interval: the interval at level design.alpha_instance, not widened.
        systematic: allowance by which both its ends were moved outwards for the decision.
        refuted: the widened interval misses the target.
        equivalent: the widened interval lies inside (target − delta, target + delta).
    """

    design: Design
    interval: Interval
    systematic: float
    refuted: bool
    equivalent: bool

    @property
    def verdict(self) -> Verdict:
        """Refuted if refuted, else supported if equivalent, else inconclusive."""
        if self.refuted:
            return Verdict.REFUTED
        return Verdict.SUPPORTED if self.equivalent else Verdict.INCONCLUSIVE


def measure(design: Design, samples: Samples) -> Interval:
    """Interval of the design's bound at level alpha_instance, from the samples of one instance.

    Args:
        design: the declared design.
        samples: one value per replicate, shape (replicate,); zeros and ones for binomial.

    Raises:
        ValueError: if the samples do not suit the bound, or the bound takes no samples.
    """
    x, alpha = checked_samples(samples, 1), design.alpha_instance
    if design.bound == "binomial":
        if not np.isin(x, (0.0, 1.0)).all():
            raise ValueError("expected zeros and ones for binomial, got other values; pass success indicators")
        return binomial_interval(int(x.sum()), x.size, alpha)
    if design.bound == "student-t":
        return student_t_interval(x, alpha, design.justification)
    raise ValueError(f"expected an Interval for {design.bound}, got samples; build it with `enclosure`")


def _check_interval(design: Design, interval: Interval) -> None:
    if interval.method != design.bound:
        raise ValueError(f"expected the declared bound {design.bound}, got {interval.method}; declare it beforehand")
    # One ulp for the division that made alpha_instance.
    if interval.alpha > design.alpha_instance * (1 + np.finfo(np.float64).eps):
        raise ValueError(
            f"expected level {design.alpha_instance} or smaller, got {interval.alpha}; "
            "compute the interval at design.alpha_instance"
        )
    if interval.n != design.n:
        raise ValueError(
            f"expected the declared n = {design.n} replicates, got {interval.n}; neither drop any nor add some after "
            "looking: report those that diverged, and declare another n beforehand"
        )


def decide(design: Design, measured: Samples | Interval, *, systematic: float = 0.0) -> InstanceResult:
    """Decide one instance: refutation first, then equivalence.

    With s the larger of design.systematic and the measured `systematic`, refuted if target ∉ [low − s, high + s];
    equivalent if [low − s, high + s] ⊂ (target − delta, target + delta). If the statistic's mean is within s of
    the true quantity, a true claim is refuted with probability at most alpha_instance, and a claim false by delta
    or more is supported with probability at most alpha_instance.

    Args:
        design: the declared design.
        measured: samples of shape (replicate,), or the interval of the declared bound.
        systematic: allowance estimated from this instance, such as the remainder of an extrapolation.

    Raises:
        ValueError: if `measured` is not of the declared bound, level and n, or `systematic` is not finite or < 0.
    """
    if not 0 <= systematic < np.inf:
        raise ValueError(f"expected a finite systematic ≥ 0, got {systematic}; it is the size of an error")
    interval = measured if isinstance(measured, Interval) else measure(design, measured)
    _check_interval(design, interval)
    allowance = max(design.systematic, systematic)
    c = design.thresholds(allowance)
    return InstanceResult(
        design=design,
        interval=interval,
        systematic=allowance,
        refuted=interval.low > c.c_hi or interval.high < c.c_lo,
        equivalent=c.e_lo < interval.low and interval.high < c.e_hi,
    )


def combine(results: Sequence[InstanceResult]) -> Verdict:
    """Verdict on a claim: refuted if any instance is, supported if all are, else inconclusive.

    Results may come from several designs of the claim; within one statistic all declared instances must be there,
    because a missing one could be the one that refutes.

    Raises:
        ValueError: if there are none, they belong to several claims, or some declared instance is missing.
    """
    claims = {result.design.claim for result in results}
    if len(claims) != 1:
        raise ValueError(f"expected results of one claim, got {sorted(claims)}; combine each claim by itself")
    counts: dict[tuple[str, int], int] = {}
    for result in results:
        key = (result.design.statistic, result.design.instances)
        counts[key] = counts.get(key, 0) + 1
    for (statistic, declared), count in counts.items():
        if count != declared:
            raise ValueError(
                f"expected {declared} declared instances of {statistic!r}, got {count}; "
                "pass all of them, the inconclusive and the diverged included"
            )
    verdicts = {result.verdict for result in results}
    if Verdict.REFUTED in verdicts:
        return Verdict.REFUTED
    return Verdict.SUPPORTED if verdicts == {Verdict.SUPPORTED} else Verdict.INCONCLUSIVE
