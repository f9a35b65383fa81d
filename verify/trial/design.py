"""Declared designs: what a claim's test will decide, at which error rates, fixed before anything is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from verify.statistics.intervals import MIN_GROUPS, checked_alpha
from verify.trial.power import BinomialLaw, EnclosureLaw, SamplingLaw, StudentLaw, Thresholds

MINIMUM_N: dict[str, int] = {"binomial": 1, "student-t": MIN_GROUPS, "enclosure": 1}
"""Fewest replicates by the name of the bound."""
_MAX_N = 1 << 30


class UnderpoweredError(ValueError):
    """A design whose n does not give the power it declares."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """One statistic of one claim, and how it will be decided.

    The interval at level α/instances, widened by `systematic`, *refutes* when it misses the target and *shows
    equivalence* when it lies inside (target − delta, target + delta). With side = "lower" the claim is
    statistic ≥ target: only an interval wholly below refutes, and only target − delta has to be exceeded;
    "upper" mirrors this. The interval stays two-sided, so a one-sided design errs with probability α/2 at most.

    Attributes:
        claim: id in the registry.
        prediction: what is predicted, in words: the quantity and its value.
        target: predicted value of the normalised statistic.
        delta: equivalence margin on the statistic.
        delta_refute: smallest departure from the target that must be refuted with probability `power`.
        alpha: level for this design, over all its instances.
        power: probability wanted for `supported` when the claim holds, and for `refuted` at `delta_refute`.
        n: independent replicates (replicas, groups, seeds) in each instance.
        statistic: what is averaged, in words.
        bound: name of the interval.
        justification: why the bound holds here, and where `spread` and `systematic` come from.
        instances: randomly drawn instances; all must support, one refuted refutes.
        spread: upper bound of one replicate's standard deviation, used for planning only; for an enclosure its error
            bound; None for binomial, whose spread is known.
        side: "two", "lower" or "upper".
        systematic: allowance for a deterministic error of the statistic, such as an extrapolation remainder.

    Raises:
        ValueError: if a field is out of range, missing for the bound or not used by it.
    """

    claim: str
    prediction: str
    target: float
    delta: float
    delta_refute: float
    alpha: float
    power: float
    n: int
    statistic: str
    bound: str
    justification: str
    instances: int = 1
    spread: float | None = None
    side: str = "two"
    systematic: float = 0.0

    def __post_init__(self) -> None:
        self._check_words()
        checked_alpha(self.alpha)
        if not 0 < self.power < 1:
            raise ValueError(f"expected 0 < power < 1, got {self.power}; declare a reachable power, such as 0.99")
        for name in ("delta", "delta_refute"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise ValueError(f"expected finite {name} > 0, got {value}; state the smallest departure of interest")
        if not 0 <= self.systematic < self.delta:
            raise ValueError(
                f"expected 0 ≤ systematic < delta = {self.delta}, got {self.systematic}; "
                "equivalence cannot be shown below the systematic error: reduce it or widen delta"
            )
        if self.instances < 1:
            raise ValueError(f"expected instances ≥ 1, got {self.instances}; draw at least one instance")
        if self.n < MINIMUM_N[self.bound]:
            raise ValueError(
                f"expected n ≥ {MINIMUM_N[self.bound]} for {self.bound}, got {self.n}; use more replicates"
            )
        if self.bound == "enclosure" and self.n != 1:
            raise ValueError(f"expected n = 1 for an enclosure, got {self.n}; a deterministic value is one replicate")
        self._check_law()

    def _check_words(self) -> None:
        for name in ("claim", "prediction", "statistic", "justification"):
            if not getattr(self, name).strip():
                raise ValueError(f"expected a non-empty {name}, got {getattr(self, name)!r}; a design says it in words")
        if self.bound not in MINIMUM_N:
            raise ValueError(f"expected a bound among {', '.join(MINIMUM_N)}, got {self.bound!r}; choose one of these")
        if self.side not in {"two", "lower", "upper"}:
            raise ValueError(f"expected side two, lower or upper, got {self.side!r}; choose one of these")

    def _check_law(self) -> None:
        if (self.spread is None) != (self.bound == "binomial"):
            raise ValueError(
                f"expected a spread for every bound but binomial, whose law is known, got {self.spread} for "
                f"{self.bound}; state an upper bound for planning, or leave it out"
            )
        if self.spread is not None and not (
            0 < self.spread < math.inf or (self.bound == "enclosure" and self.spread == 0)
        ):
            raise ValueError(f"expected a finite spread > 0, got {self.spread}; state an upper bound for planning")
        low, high = self.domain
        if not (math.isfinite(self.target) and low <= self.target <= high):
            raise ValueError(f"expected a finite target in [{low}, {high}], got {self.target}; check the normalisation")

    @property
    def decides(self) -> tuple[str | int | float | None, ...]:
        """Everything that decides but the level, a share of the suite's that shrinks with every claim that is added."""
        return (
            *(self.claim, self.bound, self.side, self.target, self.delta, self.delta_refute, self.systematic),
            *(self.power, self.n, self.instances, self.spread),
        )

    @property
    def domain(self) -> tuple[float, float]:
        """Values the true mean of a replicate can take."""
        return (0.0, 1.0) if self.bound == "binomial" else (-math.inf, math.inf)

    @property
    def alpha_instance(self) -> float:
        """Level of one instance, alpha / instances (Bonferroni)."""
        return self.alpha / self.instances

    def thresholds(self, systematic: float) -> Thresholds:
        """Thresholds on the interval, before widening, for an allowance `systematic`."""
        c_lo = self.target - systematic if self.side != "upper" else -math.inf
        c_hi = self.target + systematic if self.side != "lower" else math.inf
        e_lo = self.target - self.delta + systematic if self.side != "upper" else -math.inf
        e_hi = self.target + self.delta - systematic if self.side != "lower" else math.inf
        return Thresholds(c_lo, c_hi, e_lo, e_hi)

    def law(self) -> SamplingLaw:
        """What is known beforehand about one instance's interval."""
        if self.spread is None:
            return BinomialLaw(self.n, self.alpha_instance)
        if self.bound == "enclosure":
            return EnclosureLaw(self.spread)
        return StudentLaw(self.n, self.spread, self.alpha_instance)

    def equivalence_power(self) -> float:
        """Probability, at least, that every instance is supported when the prediction is exactly true.

        1 − instances · (1 − worst instance), over systematic errors −s, 0 and +s.
        """
        law, decision = self.law(), self.thresholds(self.systematic)
        low, high = self.domain
        errors = (-self.systematic, 0.0, self.systematic)
        worst = min(law.support(min(max(self.target + e, low), high), decision) for e in errors)
        return max(0.0, 1 - self.instances * (1 - worst))

    def refutation_power(self, departure: float) -> float:
        """Probability, at least, that one instance off by `departure` > 0 is refuted.

        The worst of the directions that violate the claim and stay in the domain, with the systematic error
        hiding as much of the departure as it can.

        Raises:
            ValueError: unless departure > 0 and some such direction leaves a value in the domain.
        """
        signs = {"two": (-1.0, 1.0), "lower": (-1.0,), "upper": (1.0,)}[self.side]
        low, high = self.domain
        truths = [(self.target + sign * departure, sign) for sign in signs]
        inside = [(truth, sign) for truth, sign in truths if low <= truth <= high]
        if not departure > 0 or not inside:
            raise ValueError(
                f"expected a departure > 0 that stays in [{low}, {high}] from {self.target}, got {departure}; "
                "choose a smaller one, or the side on which the claim can fail"
            )
        law, decision = self.law(), self.thresholds(self.systematic)
        hidden = [min(max(truth - sign * self.systematic, low), high) for truth, sign in inside]
        return min(law.refute(mean, decision) for mean in hidden)

    def _sufficient(self) -> bool:
        return min(self.equivalence_power(), self.refutation_power(self.delta_refute)) >= self.power

    def required_n(self) -> int:
        """An n that gives the declared power while n − 1 does not; the smallest where power grows with n.

        Exact binomial power has a saw-tooth in n, so there a smaller n may suffice too.

        Raises:
            UnderpoweredError: if no n up to 2³⁰ suffices.
        """
        floor = MINIMUM_N[self.bound]
        insufficient, n = floor - 1, floor
        while not replace(self, n=n)._sufficient():
            if n >= _MAX_N or self.bound == "enclosure":
                raise UnderpoweredError(
                    f"expected some n with power {self.power}, got none up to {n}; the level and the systematic error "
                    f"cap the power: widen delta or delta_refute, or reduce systematic = {self.systematic}"
                )
            insufficient, n = n, 2 * n
        while n - insufficient > 1:
            middle = (insufficient + n) // 2
            if replace(self, n=middle)._sufficient():
                n = middle
            else:
                insufficient = middle
        return n

    def check_power(self) -> None:
        """Check, without sampling, that n gives the declared power for both tests.

        Raises:
            UnderpoweredError: if it does not.
        """
        equivalence, refutation = self.equivalence_power(), self.refutation_power(self.delta_refute)
        if min(equivalence, refutation) < self.power:
            raise UnderpoweredError(
                f"{self.claim}: expected power {self.power} with n = {self.n} and {self.instances} instances, got "
                f"{equivalence:.6g} for equivalence within {self.delta} and {refutation:.6g} for refuting a departure "
                f"of {self.delta_refute}; use n ≥ required_n(), or wider margins"
            )


def same_decisions(some: Sequence[Design], others: Sequence[Design]) -> bool:
    """Whether designs decide alike, one by one; they may say so in other words, and each at its own level."""
    return [design.decides for design in some] == [design.decides for design in others]
