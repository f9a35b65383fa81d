"""What declared designs promise, checked on trials at many root seeds.

Every promise is a null hypothesis with a test that is exact, for means if group means are Gaussian. `LEVEL` is split
evenly over all tests of a calibration: if all promises hold, any test fails with probability at most `LEVEL`. Instances
of one statistic draw from streams of their own, so that its p-values are independent. Talts et al. (arXiv 1804.06788)
do the same with ranks in posterior samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from verify.statistics import Interval, binomial_interval, student_t_interval
from verify.statistics.intervals import MIN_GROUPS, student_t_quantile
from verify.streams import stream_seed
from verify.trial.calibration.campaign import LETTERS, Campaign, Series
from verify.trial.decision import Verdict
from verify.trial.design import Design

LEVEL = 1e-3
"""Probability that a calibration in which every promise holds fails any test, at most."""
SHOWN = 0.05
"""Error probability of each interval that is shown; each for itself, and none of them decides."""
COVERAGES = (0.5, 0.9, 0.99)
TAILS = (0.1, 0.01, 0.001)
SUPPORTED, REFUTED = LETTERS[Verdict.SUPPORTED], LETTERS[Verdict.REFUTED]

PValues = Float[np.ndarray, " _"]  # one axis, `trial`


@dataclass(frozen=True)
class Check:
    """One promise of a claim.

    Attributes:
        claim: id.
        about: the statistic or the control.
        promise: what was promised, in words, and what was found.
        p_value: probability of what was found, or worse, if the promise holds.
    """

    claim: str
    about: str
    promise: str
    p_value: float


@dataclass(frozen=True)
class Covered:
    """How many intervals at a level contained a predicted value, of how many."""

    level: float
    count: int
    n: int


@dataclass(frozen=True)
class StatisticFound:
    """What was found of one design.

    Attributes:
        design: the design.
        verdicts: number of root seeds at which all its instances were supported; one was refuted; neither.
        supported: share of the first with its 95% interval.
        uniform: p-value of the test of Kolmogorov and Smirnov for its p-values; None without sampling error.
        exact: whether these must be uniform; else they may be too large, and must not be too small.
        coverage: at each of `COVERAGES`, then at 1 − alpha_instance; empty without sampling error.
        bias: mean of estimate − target with its 95% interval; None for one-sided designs and enclosures.
        allowance: mean of the systematic errors that were allowed for.
        spread: median and largest standard deviation of a replicate over the planned one; None but for Student's t.
    """

    design: Design
    verdicts: tuple[int, int, int]
    supported: Interval
    uniform: float | None
    exact: bool
    coverage: tuple[Covered, ...]
    bias: Interval | None
    allowance: float
    spread: tuple[float, float] | None


@dataclass(frozen=True)
class ClaimFound:
    """What was found of one claim.

    Attributes:
        campaign: its trials.
        verdicts: number of root seeds at which it was supported, refuted, inconclusive.
        wrong: share of wrong verdicts with the upper end of its one-sided 95% interval.
        level: what it may be, the sum of the levels of its designs.
        statistics: by design.
        missed: for each control that was missed, its name and at how many root seeds.
    """

    campaign: Campaign
    verdicts: tuple[int, int, int]
    wrong: Interval
    level: float
    statistics: tuple[StatisticFound, ...]
    missed: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Calibration:
    """What was found of all claims.

    Attributes:
        claims: each of them.
        tails: for p-values that must be uniform, then for those that must not be too small: how many are at most u,
            for u in `TAILS`, of how many.
        wrong: root seeds at which any verdict was wrong.
        root_seeds: all of them.
        checks: every test.
    """

    claims: tuple[ClaimFound, ...]
    tails: tuple[tuple[tuple[float, int, int], ...], ...]
    wrong: tuple[int, ...]
    root_seeds: tuple[int, ...]
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The promises that do not hold, at `LEVEL` over all of them."""
        return tuple(check for check in self.checks if check.p_value <= LEVEL / len(self.checks))

    @property
    def kept(self) -> bool:
        """Whether every promise holds, and no trial is missing."""
        return not self.failed and not any(own.campaign.missing for own in self.claims)


def is_point(design: Design, *instances: Series) -> bool:
    """Whether the mean itself is predicted, so that p-values are uniform: two-sided, no systematic allowance."""
    return design.side == "two" and not any(any(own.systematics) for own in instances)


def p_values(design: Design, series: Series, rng: np.random.Generator | None = None) -> PValues:
    """P-values of "the mean is one that the claim allows", which the design's interval at level α refutes if p ≤ α.

    The claim allows the means M = [target − s, target + s], s the systematic allowance; a one-sided claim has an end
    at infinity. With μ₀ the point of M next to the estimate,

        p = 2 Pr(T ≥ |x̄ − μ₀| √n / S) for Student's t, p = min(1, 2 Pr_μ₀(K at least as far out)) for counts,

    and p = 1 inside M. If the mean μ is in M, then |x̄ − μ₀| ≤ |x̄ − μ| on the far side of μ₀, so that p is at least
    the p-value of "the mean is μ", and Pr(p ≤ u) ≤ u for every u: p may be too large, never too small. Where M is one
    point, Student's p is uniform; a count's is made so, if `rng` is given, by 2 min(U, 1 − U) with
    U = Pr(K < k) + V Pr(K = k), V uniform on [0, 1].

    Args:
        design: a design with sampling error.
        series: one of its instances, measured at the design's level.
        rng: generator of V; without it a count's p-value belongs to the interval of Clopper and Pearson.
    """
    x, s, n = np.array(series.estimates), np.array(series.systematics), design.n
    low = design.target - s if design.side != "upper" else np.full(x.shape, -math.inf)
    high = design.target + s if design.side != "lower" else np.full(x.shape, math.inf)
    nearest = np.clip(x, low, high)
    if design.bound == "student-t":
        error = np.array(series.half_widths) / student_t_quantile(n - 1, design.alpha_instance)
        return np.where((low < x) & (x < high), 1.0, 2 * stats.t.sf(np.abs(x - nearest) / error, n - 1))
    counts = np.rint(x * n)
    nearest = np.clip(nearest, 0.0, 1.0)
    below, at = stats.binom.cdf(counts - 1, n, nearest), stats.binom.pmf(counts, n, nearest)
    if rng is not None and is_point(design, series):
        rank = below + rng.random(counts.shape) * at
        return np.asarray(2 * np.minimum(rank, 1 - rank))
    tail = np.minimum(below + at, stats.binom.sf(counts - 1, n, nearest))
    return np.where((low < x) & (x < high), 1.0, np.minimum(1.0, 2 * tail))


def calibrate(campaigns: Sequence[Campaign]) -> Calibration:
    """Check every promise of the designs on campaigns.

    - A claim that is expected is not refuted more often than the levels of its designs allow, each statistic likewise.
    - Every design is supported, in all its instances, with the power it declares; every control is refuted with it.
    - P-values are uniform (Kolmogorov–Smirnov, exact), or, where the claim allows for a systematic error or is
      one-sided, not too small: sup (F̂(u) − u), whose law for uniform p-values bounds it.
    - Intervals at 50, 90, 99 % and at the design's own level, widened by the allowance, contain the predicted value.
    - The mean over root seeds is off the target by no more than the allowance (Student's t over root seeds).
    - No instance has a larger standard deviation than the one that its design's power is computed from (χ²).

    Nothing can be said of the true mean where the claim is only that it is not below (above) the target; there
    coverage is of the claim, and so is the p-value.

    Raises:
        ValueError: there are no campaigns.
    """
    if not campaigns:
        raise ValueError("expected campaigns of at least one claim, got none; measure some root seeds first")
    checks: list[Check] = []
    tails: dict[bool, list[PValues]] = {True: [], False: []}
    claims = tuple(_claim(campaign, checks, tails) for campaign in campaigns)
    counted = tuple(
        tuple((u, int(sum((p <= u).sum() for p in tails[exact])), sum(p.size for p in tails[exact])) for u in TAILS)
        for exact in (True, False)
    )
    seeds = {seed for own in campaigns for seed in own.root_seeds}
    wrong = {
        seed
        for own in campaigns
        for seed, letter in zip(own.root_seeds, own.verdicts, strict=True)
        if letter == _wrong(own)
    }
    return Calibration(claims, counted, tuple(sorted(wrong)), tuple(sorted(seeds)), tuple(checks))


def _claim(campaign: Campaign, checks: list[Check], tails: dict[bool, list[PValues]]) -> ClaimFound:
    claim, n = campaign.claim, len(campaign.root_seeds)
    level = sum(design.alpha for design in campaign.designs)
    wrong = campaign.verdicts.count(_wrong(campaign))
    _rarely(checks, claim, "verdict", "wrong", wrong, n, level)
    missed = []
    for control in campaign.controls:
        design = next(own for own in campaign.designs if own.statistic == control.statistic)
        caught = control.verdicts.count(REFUTED)
        _often(checks, claim, f"control: {control.name}", "refuted", caught, n, design.power)
        missed += [(control.name, n - caught)] * (caught < n)
    return ClaimFound(
        campaign,
        _counts(campaign.verdicts),
        binomial_interval(wrong, n, 2 * SHOWN),
        level,
        tuple(_statistic(campaign, design, checks, tails) for design in campaign.designs),
        tuple(missed),
    )


def _statistic(
    campaign: Campaign, design: Design, checks: list[Check], tails: dict[bool, list[PValues]]
) -> StatisticFound:
    claim, about, n = campaign.claim, design.statistic, len(campaign.root_seeds)
    instances = campaign.of(design)
    each = ["".join(letters) for letters in zip(*(own.verdicts for own in instances), strict=True)]
    verdicts = _counts("".join(_combined(letters) for letters in each))
    _often(checks, claim, about, "supported", verdicts[0], n, design.power)
    _rarely(checks, claim, about, "refuted", verdicts[1], n, design.alpha)
    uniform: float | None = None
    coverage: tuple[Covered, ...] = ()
    bias: Interval | None = None
    exact = is_point(design, *instances)
    if design.bound != "enclosure":
        rngs = (np.random.default_rng(stream_seed(0, claim, about, "p-value", i)) for i in range(len(instances)))
        p = np.concatenate([p_values(design, own, rng) for own, rng in zip(instances, rngs, strict=True)])
        tails[exact].append(p)
        uniform = float(stats.kstest(p, "uniform", alternative="two-sided" if exact else "greater").pvalue)
        checks.append(Check(claim, about, "p-values uniform" if exact else "p-values not too small", uniform))
        levels = (*COVERAGES, 1 - design.alpha_instance)
        shares = np.concatenate([p_values(design, own) for own in instances])
        coverage = tuple(Covered(own, int((shares > 1 - own).sum()), p.size) for own in levels)
        for own in coverage:
            _often(checks, claim, about, f"target in interval at {own.level:.7g}", own.count, own.n, own.level)
        if design.side == "two" and n >= MIN_GROUPS:
            bias = _bias(design, instances, checks)
    return StatisticFound(
        design,
        verdicts,
        binomial_interval(verdicts[0], n, SHOWN),
        uniform,
        exact,
        coverage,
        bias,
        float(np.mean([own.systematics for own in instances])),
        _spread(design, instances, checks) if design.bound == "student-t" else None,
    )


def _wrong(campaign: Campaign) -> str:
    """The wrong verdict: not `inconclusive`, which says nothing false."""
    return SUPPORTED if campaign.expected == Verdict.REFUTED else REFUTED


def _combined(letters: str) -> str:
    """The verdict on a design: refuted if any instance is, supported if all are."""
    return REFUTED if REFUTED in letters else min(set(letters), key="IS".index)


def _counts(letters: str) -> tuple[int, int, int]:
    supported, refuted = letters.count(SUPPORTED), letters.count(REFUTED)
    return supported, refuted, len(letters) - supported - refuted


def _often(checks: list[Check], claim: str, about: str, what: str, count: int, n: int, least: float) -> None:
    promise = f"{what} with probability at least {least:.7g}: {count} of {n}"
    checks.append(Check(claim, about, promise, float(stats.binom.cdf(count, n, least))))


def _rarely(checks: list[Check], claim: str, about: str, what: str, count: int, n: int, most: float) -> None:
    promise = f"{what} with probability at most {most:.3g}: {count} of {n}"
    checks.append(Check(claim, about, promise, float(stats.binom.sf(count - 1, n, most))))


def _bias(design: Design, instances: Sequence[Series], checks: list[Check]) -> Interval:
    """Interval of the mean of estimate − target over root seeds, tested against the mean allowance s: |mean| ≤ s."""
    off = np.mean([own.estimates for own in instances], axis=0) - design.target
    allowance = float(np.mean([own.systematics for own in instances]))
    found = student_t_interval(off, SHOWN, "means over hundreds of root seeds, shown and tested far from the tails")
    error = found.half_width / student_t_quantile(found.n - 1, SHOWN)
    p_value = float(2 * stats.t.sf((abs(found.estimate) - allowance) / error, found.n - 1))
    promise = f"mean off by at most {allowance:.3g}: {found.estimate:.3g} ± {found.half_width:.2g}"
    checks.append(Check(design.claim, design.statistic, promise, min(1.0, p_value)))
    return found


def _spread(design: Design, instances: Sequence[Series], checks: list[Check]) -> tuple[float, float]:
    """Median and largest S over the planned σ; (n − 1) S²/σ² is χ² if σ is true, and the largest of N is tested at N p.

    Raises:
        ValueError: the design plans no spread.
    """
    if design.spread is None:
        raise ValueError(f"expected a planned spread of {design.statistic!r}, got none; a Student's t design has one")
    widths = np.concatenate([own.half_widths for own in instances])
    ratios = widths * math.sqrt(design.n) / student_t_quantile(design.n - 1, design.alpha_instance) / design.spread
    p_value = ratios.size * float(stats.chi2.sf((design.n - 1) * ratios.max() ** 2, design.n - 1))
    promise = f"standard deviation at most {design.spread:.3g}: {ratios.max():.2f} times that"
    checks.append(Check(design.claim, design.statistic, promise, min(1.0, p_value)))
    return float(np.median(ratios)), float(ratios.max())
