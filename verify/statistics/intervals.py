"""Intervals with a level: exact for shares and for deterministic values, Student t for means that are near Gaussian.

An interval at level α misses the true value with probability at most α. The test it implies refutes a value lying
outside it, and then errs with probability at most α. For other needs there is `scipy.stats`: `permutation_test` and
`bootstrap`, `kstest`, and `binomtest` for one share alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

Samples = Float[np.ndarray, "..."]  # one axis, `unit`; checked by `checked_samples`, also outside the tests
"""Values of independent units."""

MIN_GROUPS = 16
"""Fewest group means a Student t interval accepts."""


@dataclass(frozen=True, repr=False)
class Interval:
    """An interval [low, high] around an estimate, which misses the truth with probability at most `alpha`.

    Attributes:
        estimate: the point estimate; low ≤ estimate ≤ high.
        alpha: two-sided error probability; 0 for a deterministic enclosure.
        n: number of independent units behind it.
        method: name of the bound.

    Raises:
        ValueError: if the ends are not finite or not ordered, or `alpha` or `n` is out of range.
    """

    estimate: float
    low: float
    high: float
    alpha: float
    n: int
    method: str

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.low, self.estimate, self.high))):
            raise ValueError(
                f"expected finite ends and estimate, got low = {self.low}, estimate = {self.estimate}, "
                f"high = {self.high}; an unbounded interval shows nothing: use more units or a larger alpha"
            )
        if not self.low <= self.estimate <= self.high:
            raise ValueError(
                f"expected low ≤ estimate ≤ high, got {self.low}, {self.estimate}, {self.high}; check the order"
            )
        if not 0 <= self.alpha < 1:
            raise ValueError(f"expected 0 ≤ alpha < 1, got {self.alpha}; alpha is the error probability, not the level")
        if self.n < 1:
            raise ValueError(f"expected n ≥ 1, got {self.n}; n counts the independent units behind the interval")

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def contains(self, value: float) -> bool:
        """Whether low ≤ value ≤ high; when not, `value` is refuted at level `alpha`."""
        return self.low <= value <= self.high

    def __repr__(self) -> str:
        return (
            f"Interval({self.estimate:.6g} in [{self.low:.6g}, {self.high:.6g}], alpha={self.alpha:.3g}, "
            f"n={self.n}, method={self.method!r})"
        )

    def _repr_latex_(self) -> str:
        return f"${self.estimate:.6g}\\in[{self.low:.6g},\\,{self.high:.6g}]$"


def checked_alpha(alpha: float) -> float:
    """Return `alpha`, an error probability strictly between 0 and 1.

    Raises:
        ValueError: if it is not.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"expected 0 < alpha < 1, got {alpha}; alpha is an error probability, such as 1e-5")
    return alpha


def checked_samples(samples: Samples, minimum: int) -> Float[np.ndarray, " unit"]:
    """Return `samples` as a float64 vector of at least `minimum` finite values.

    Raises:
        ValueError: on any other shape, too few values, or a NaN or infinity.
    """
    x: Float[np.ndarray, "..."] = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected one axis (unit), got shape {x.shape}; reduce each unit to one number first")
    if x.size < minimum:
        raise ValueError(f"expected at least {minimum} samples, got {x.size}; run more independent units")
    bad = np.flatnonzero(~np.isfinite(x))
    if bad.size:
        raise ValueError(
            f"expected finite samples, got {bad.size} NaN or infinite, the first at index {bad[0]}; "
            "report a diverged unit as diverged, do not average it in nor drop it"
        )
    return x


def binomial_interval(successes: int, n: int, alpha: float) -> Interval:
    """Exact interval for the probability of success, from `successes` in n independent trials.

    low solves Pr_low(K ≥ k) = α/2 and high solves Pr_high(K ≤ k) = α/2 (Clopper and Pearson 1934), that is,
    quantiles of Beta(k, n−k+1) and Beta(k+1, n−k). Exact: conservative for every probability and n.

    Raises:
        ValueError: unless 0 ≤ successes ≤ n, n ≥ 1 and 0 < alpha < 1.
    """
    checked_alpha(alpha)
    if not (n >= 1 and 0 <= successes <= n):
        raise ValueError(f"expected 0 ≤ successes ≤ n and n ≥ 1, got {successes} of {n}; count successes among trials")
    k = successes
    low = float(special.betaincinv(k, n - k + 1, alpha / 2)) if k > 0 else 0.0
    high = float(special.betainccinv(k + 1, n - k, alpha / 2)) if k < n else 1.0
    return Interval(k / n, low, high, alpha, n, "binomial")


def student_t_interval(means: Samples, alpha: float, justification: str) -> Interval:
    """Student's interval for the mean, on at least 16 group means; α is approximate, so it must be justified.

    x̄ ± t_{n−1, 1−α/2} S / √n over the n group means; exact only for Gaussian group means. With skewness γ
    of a group mean, Pr(T ≤ −t) = α/2 + γ (2t² + 1) φ(t) / 6√n + O(1/n) (Hall 1992, The Bootstrap and
    Edgeworth Expansion, §2.6): the error relative to α/2 grows like t³, so raw samples that are skewed do not
    pass at α = 1e-5. A mean over g raw samples of skewness γ₁ has γ = γ₁/√g.

    Seen for χ²₁ (γ₁ = 2.8, the law of a rank-one Hessian's quadratic form), as multiples of α: raw, n = 16, 6 at
    α = 1e-2 and 700 at 1e-5; 32 group means with g = 64, 1.04 at 1e-2, 1.2 at 1e-3, 2.0 at 1e-5; with g = 256,
    1.2 ± 0.2 at 1e-5. State g and γ₁ in the justification.

    Args:
        means: group means, shape (group,).
        alpha: two-sided error probability.
        justification: why the group means are close enough to Gaussian at this alpha, in words.

    Raises:
        ValueError: without a justification, below 16 groups, or when all group means are equal.
    """
    checked_alpha(alpha)
    if not justification.strip():
        raise ValueError(
            "expected a written justification for Student t, got an empty one; say why the group means are "
            "near Gaussian at this alpha, such as means over many raw samples"
        )
    x = checked_samples(means, MIN_GROUPS)
    deviation = float(x.std(ddof=1))
    # Equal values may leave a rounding residue of n ulps in the deviation.
    if deviation <= x.size * np.finfo(np.float64).eps * float(np.abs(x).max()):
        raise ValueError(
            f"expected group means that vary, got {x.size} equal values {x[0]}; "
            "use `enclosure` for a deterministic quantity"
        )
    mean, half_width = float(x.mean()), student_t_quantile(x.size - 1, alpha) * deviation / math.sqrt(x.size)
    return Interval(mean, mean - half_width, mean + half_width, alpha, x.size, "student-t")


def student_t_quantile(degrees: int, alpha: float) -> float:
    """Quantile t with Pr(|T| > t) = α for Student's T with `degrees` degrees of freedom."""
    return -float(special.stdtrit(degrees, alpha / 2))


def enclosure(value: float, error_bound: float) -> Interval:
    """Interval value ± error_bound of a deterministic quantity, whose error bound is rigorous; α = 0.

    Raises:
        ValueError: unless `value` is finite and `error_bound` finite and at least 0.
    """
    if not (math.isfinite(value) and math.isfinite(error_bound) and error_bound >= 0):
        raise ValueError(
            f"expected a finite value and a finite error bound ≥ 0, got {value} ± {error_bound}; "
            "derive the bound, for instance from the dtype's eps and the number of operations"
        )
    return Interval(value, value - error_bound, value + error_bound, 0.0, 1, "enclosure")
