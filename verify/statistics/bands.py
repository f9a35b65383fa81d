"""Bands around an empirical distribution function, and the mean interval they imply for bounded variables."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from verify.statistics.intervals import Interval, Samples, checked_alpha, checked_bounded, checked_samples


def dkwm_radius(n: int, alpha: float) -> float:
    """ε = √(ln(2/α) / 2n): Pr(sup_x |F_n(x) − F(x)| > ε) ≤ α.

    Dvoretzky, Kiefer and Wolfowitz 1956, with the sharp constant 2 e^{−2nε²} of Massart 1990.
    """
    return math.sqrt(math.log(2 / alpha) / (2 * n))


@dataclass(frozen=True, eq=False)
class Band:
    """A band F_n ± radius, cut to [0, 1], which contains all of F with probability at least 1 − α.

    Attributes:
        points: the sorted samples, shape (unit,); F_n jumps by 1/n at each.
        radius: ε of the Dvoretzky-Kiefer-Wolfowitz-Massart inequality.
        alpha: error probability of the whole band.
    """

    points: Float[np.ndarray, " unit"]
    radius: float
    alpha: float

    def empirical(self, x: Samples) -> Samples:
        """F_n(x) = (number of samples ≤ x) / n."""
        values: Samples = np.searchsorted(self.points, x, side="right") / self.points.size
        return values

    def low(self, x: Samples) -> Samples:
        """max(0, F_n(x) − ε)."""
        return np.maximum(self.empirical(x) - self.radius, 0.0)

    def high(self, x: Samples) -> Samples:
        """min(1, F_n(x) + ε)."""
        return np.minimum(self.empirical(x) + self.radius, 1.0)

    def distance(self, cdf: Callable[[Samples], Samples]) -> float:
        """sup_x |F_n(x) − F(x)| for a continuous distribution function F (Kolmogorov's D_n); exact.

        Raises:
            ValueError: if `cdf` is not a nondecreasing function into [0, 1] on the samples.
        """
        n = self.points.size
        # F_n jumps at a sample from (i−1)/n to i/n; between samples F is monotone, so the sup is at a jump.
        prob = np.asarray(cdf(self.points), dtype=np.float64)
        # A NaN fails every comparison, hence the positive form.
        if not (prob.shape == (n,) and np.all((prob >= 0) & (prob <= 1)) and np.all(np.diff(prob) >= 0)):
            raise ValueError(
                "expected cdf to map sorted samples to nondecreasing values in [0, 1], one each, got shape "
                f"{prob.shape} in [{prob.min()}, {prob.max()}]; pass a distribution function, not a density"
            )
        steps = np.arange(n + 1) / n
        return float(max(np.max(steps[1:] - prob), np.max(prob - steps[:-1])))


def dkwm_band(samples: Samples, alpha: float) -> Band:
    """Band F_n ± √(ln(2/α) / 2n) around the distribution function of independent samples, for any F.

    Refuses samples that are empty or not finite.
    """
    checked_alpha(alpha)
    x = checked_samples(samples, 1)
    return Band(np.sort(x), dkwm_radius(x.size, alpha), alpha)


def dkwm_distance_interval(samples: Samples, cdf: Callable[[Samples], Samples], alpha: float) -> Interval:
    """Interval D_n ± ε for the Kolmogorov distance sup|F − F₀| of the samples' law F from a continuous F₀.

    |D_n − sup|F − F₀|| ≤ sup|F_n − F| by the triangle inequality, which exceeds ε = √(ln(2/α) / 2n) with
    probability at most α. F = F₀ is refuted when 0 lies outside. Conservative.
    Refuses samples that are empty or not finite, and a `cdf` that is no distribution function.
    """
    band = dkwm_band(samples, alpha)
    distance = band.distance(cdf)
    low, high = max(0.0, distance - band.radius), min(1.0, distance + band.radius)
    return Interval(distance, low, high, alpha, band.points.size, "dkwm")


def anderson_interval(samples: Samples, lower: float, upper: float, alpha: float) -> Interval:
    """Interval for the mean of independent, identically distributed variables in [lower, upper].

    The mean is upper − ∫ F over [lower, upper]. F ≥ F_n − ε moves mass ε of the smallest samples to `upper`,
    F ≤ F_n + ε mass ε of the largest to `lower` (Anderson 1969; ε two-sided, Massart 1990). Never longer than
    Hoeffding's, and much shorter when the samples crowd at one end. Conservative.
    Refuses samples that are empty, not finite or out of range.
    """
    checked_alpha(alpha)
    x = np.sort(checked_bounded(samples, lower, upper, 1))
    radius = min(dkwm_radius(x.size, alpha), 1.0)
    steps = np.arange(x.size + 1) / x.size
    mass_after_cut = np.diff(np.maximum(steps - radius, 0.0))  # weight left on each sample, smallest cut first
    high = float(mass_after_cut @ x) + radius * upper
    low = float(mass_after_cut[::-1] @ x) + radius * lower
    mean = float(x.mean())
    low, high = max(lower, min(low, mean)), min(upper, max(high, mean))
    return Interval(min(max(mean, lower), upper), low, high, alpha, x.size, "anderson")
