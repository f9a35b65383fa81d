r"""The limit of a mean that rises towards it: a(1 − e^{−t/s}) fitted to what replicates show at several times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from verify.statistics.intervals import checked_alpha

RESAMPLES = 999
SCALES = 200
"""Values of s that are tried, evenly spaced in ln s."""


@dataclass(frozen=True)
class Asymptote:
    """A limit with its percentile bootstrap interval.

    Attributes:
        value: a of the fit; None where it is a straight line within the times, so that no limit is seen.
        low: lower end.
        high: upper end; either is None where that quantile of the resamples is a straight line.
    """

    value: float | None
    low: float | None
    high: float | None


def asymptote(
    times: Float[np.ndarray, " time"],
    values: Float[np.ndarray, "replicate time"],
    generator: np.random.Generator,
    alpha: float = 0.05,
) -> Asymptote:
    """Fit a(1 − e^{−t/s}) to the mean over replicates, weighted by the inverse variances of its values.

    For given s the best a is linear; s is the best of `SCALES` from a tenth of the first time to ten times the last,
    where the curve bends by a twentieth at most and counts as straight. Replicates are resampled whole.
    Source: ours. Monte Carlo; its coverage is that of a percentile bootstrap (`cluster_bootstrap`) and of the model.

    Raises:
        ValueError: fewer than 3 positive rising times, values of another shape, not finite, or constant at a time.
    """
    checked_alpha(alpha)
    t, v = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if t.ndim != 1 or len(t) < 3 or not (np.diff(t, prepend=0.0) > 0).all():
        raise ValueError(f"expected at least 3 positive times that rise, got {t}; two show no bend")
    if v.ndim != 2 or v.shape[1] != len(t) or len(v) < 2 or not np.isfinite(v).all() or not (v.std(0) > 0).all():
        raise ValueError(
            f"expected finite values (replicate, {len(t)}) that vary at every time, got shape {v.shape}; "
            "give a row for each replicate"
        )
    scales = np.geomspace(t[0] / 10, 10 * t[-1], SCALES)
    basis, weight = -np.expm1(-t / scales[:, None]), 1 / v.var(0, ddof=1)
    counts = generator.multinomial(len(v), np.full(len(v), 1 / len(v)), size=RESAMPLES)
    means = np.concatenate([v.mean(0)[None], counts @ v / len(v)])
    limits = (means * weight) @ basis.T / (weight * basis**2).sum(1)  # resample, scale
    misfit = (weight * (means[:, None] - limits[..., None] * basis) ** 2).sum(-1)
    best = misfit.argmin(1)
    found = limits[np.arange(len(means)), best]
    unbounded = np.where(best == SCALES - 1, np.sign(found) * np.inf, found)
    ends = np.quantile(unbounded[1:], (alpha / 2, 1 - alpha / 2), method="nearest")
    value, low, high = (float(own) if np.isfinite(own) else None for own in (unbounded[0], *ends))
    return Asymptote(value, low, high)
