"""Sign-flip test and interval: exact for independent samples that are symmetric about one centre.

Flipping the sign of xᵢ − c leaves the law of the samples unchanged when they are symmetric about c. The
flipped sum Σ sᵢ(xᵢ − c) is at least the observed one exactly when the mean over the flipped subset S is at
most c, so the test and its inversion need only the subset means (Hartigan 1969, JASA 64, 1303).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from verify.statistics.intervals import Interval, Samples, checked_alpha, checked_samples

EXACT_LIMIT = 20
"""Up to this many samples all 2ⁿ subsets are enumerated."""

DEFAULT_RESAMPLES = 99_999
"""Random subsets drawn beyond that."""

_CHUNK = 1 << 16  # subsets per matrix product: bounds memory at 8·n·2¹⁶ bytes


@dataclass(frozen=True)
class SignFlip:
    """Outcome of a sign-flip test.

    Attributes:
        p_value: two-sided; Pr(p ≤ α) ≤ α under the null for every α.
        null: the centre tested.
        n: number of samples.
        resamples: subsets compared, besides the empty one that stands for the observed signs.
        exact: True when every subset was enumerated, False when they were drawn.
    """

    p_value: float
    null: float
    n: int
    resamples: int
    exact: bool


def _subset_means(
    x: Float[np.ndarray, " unit"], generator: np.random.Generator | None, resamples: int
) -> tuple[Float[np.ndarray, " subset"], int]:
    """Means over all nonempty subsets, or over random ones; and how many of the drawn subsets were empty.

    Raises:
        ValueError: when subsets must be drawn and there is no generator, or none are asked for.
    """
    if x.size <= EXACT_LIMIT:
        sums, sizes = np.zeros(1), np.zeros(1)
        for value in x:  # doubling: every subset without the value, then every subset with it
            sums, sizes = np.concatenate([sums, sums + value]), np.concatenate([sizes, sizes + 1])
        return sums[1:] / sizes[1:], 0
    if generator is None:
        raise ValueError(
            f"expected a generator for {x.size} > {EXACT_LIMIT} samples, got None; pass numpy.random.default_rng(seed)"
        )
    if resamples < 1:
        raise ValueError(f"expected resamples ≥ 1, got {resamples}; a test at level α needs at least 2/α")
    means, empty = [], 0
    for start in range(0, resamples, _CHUNK):
        count = min(_CHUNK, resamples - start)
        chosen = generator.integers(0, 2, size=(count, x.size), dtype=np.uint8).astype(np.float64)
        sizes = chosen.sum(axis=1)
        nonempty = sizes > 0
        means.append((chosen[nonempty] @ x) / sizes[nonempty])
        empty += int(count - nonempty.sum())
    return np.concatenate(means), empty


def _rounding(x: Float[np.ndarray, " unit"]) -> float:
    """Largest rounding error of a subset mean: n ulps of the largest sample."""
    return x.size * float(np.finfo(np.float64).eps) * float(np.abs(x).max())


def sign_flip_test(
    samples: Samples,
    null: float = 0.0,
    *,
    generator: np.random.Generator | None = None,
    resamples: int = DEFAULT_RESAMPLES,
) -> SignFlip:
    """Test that independent samples are symmetric about `null`, with the mean as statistic.

    p = 2 min over both directions of (1 + b) / (1 + m), b the number of the m flipped sums at least as
    extreme as the observed (Fisher 1935; Monte Carlo correction: Phipson and Smyth 2010). Up to 20 samples
    every flip is enumerated and p is exact; beyond, m flips are drawn. Needs no moments and no equal spreads.
    A mean equal to `null` with a skewed law is *not* the null hypothesis.

    Raises:
        ValueError: on a non-finite `null`, on fewer than two or non-finite samples, and above 20 samples
            without a generator or resamples.
    """
    x = checked_samples(samples, 2)
    if not math.isfinite(null):
        raise ValueError(f"expected a finite null, got {null}; it is the centre of symmetry to be tested")
    means, empty = _subset_means(x, generator, resamples)
    total = means.size + empty
    slack = _rounding(x)
    upper = (1 + empty + int(np.count_nonzero(means <= null + slack))) / (1 + total)
    lower = (1 + empty + int(np.count_nonzero(means >= null - slack))) / (1 + total)
    return SignFlip(min(1.0, 2 * min(upper, lower)), null, x.size, total, x.size <= EXACT_LIMIT)


def sign_flip_interval(
    samples: Samples,
    alpha: float,
    *,
    generator: np.random.Generator | None = None,
    resamples: int = DEFAULT_RESAMPLES,
) -> Interval:
    """Interval for the centre of symmetry: the values that `sign_flip_test` does not refute at level α.

    From the k-th smallest to the k-th largest subset mean, k = ⌊(1 + m) α/2⌋, m = 2ⁿ − 1 for n ≤ 20 and the
    number of drawn subsets beyond (Hartigan 1969). Misses the centre with probability 2k/(1 + m) ≤ α.

    Raises:
        ValueError: on samples that are fewer than two or not finite, above 20 of them without a generator, or
            when there are too few subsets for this alpha.
    """
    checked_alpha(alpha)
    x = checked_samples(samples, 2)
    means, empty = _subset_means(x, generator, resamples)
    rank = math.floor((1 + means.size + empty) * alpha / 2)
    # An empty subset counts as −∞ below and as +∞ above: its flipped sum equals the observed one.
    if rank <= empty:
        raise ValueError(
            f"expected at least 2/alpha = {2 / alpha:.4g} subsets, got {1 + means.size + empty} "
            f"from {x.size} samples; use at least {1 + math.ceil(math.log2(1 / alpha))} samples, "
            f"and above {EXACT_LIMIT} samples as many resamples"
        )
    index = rank - 1 - empty
    low = float(np.partition(means, index)[index])
    high = float(np.partition(means, means.size - 1 - index)[means.size - 1 - index])
    mean, slack = float(x.mean()), _rounding(x)
    return Interval(mean, min(low - slack, mean), max(high + slack, mean), alpha, x.size, "sign-flip")
