"""Verdicts: the table of cases, error rates of the whole pipeline, and every refusal."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from verify.statistics import Interval, enclosure
from verify.trial import Design, Verdict
from verify.trial.decision import InstanceResult, combine, decide

DESIGN = Design(
    claim="plateau",
    prediction="excess / predicted excess = 1",
    target=1.0,
    delta=0.5,
    delta_refute=0.5,
    alpha=0.02,
    power=0.9,
    n=24,
    instances=2,
    statistic="normalised excess",
    bound="student-t",
    spread=0.4,
    justification="Gaussian draws in a test",
)
ENCLOSURE = dataclasses.replace(DESIGN, bound="enclosure", n=1, instances=1, spread=0.1)


def verdict(low: float, high: float, design: Design, systematic: float = 0.0) -> Verdict:
    middle = (low + high) / 2
    return decide(design, enclosure(middle, high - middle), systematic=systematic).verdict


@pytest.mark.parametrize(
    ("side", "low", "high", "systematic", "expected"),
    [
        ("two", 0.9, 1.2, 0.0, "supported"),
        ("two", 0.4, 1.2, 0.0, "inconclusive"),
        ("two", 0.9, 1.75, 0.0, "inconclusive"),
        ("two", 0.25, 2.0, 0.0, "inconclusive"),  # contains the target, which alone supports nothing
        ("two", 1.125, 1.25, 0.0, "refuted"),  # equivalent, yet the target is excluded
        ("two", 1.125, 1.25, 0.25, "inconclusive"),  # 1.25 + 0.25 touches target + delta
        ("two", 1.125, 1.25, 0.125, "supported"),
        ("two", 0.25, 0.75, 0.0, "refuted"),
        ("two", 0.25, 0.75, 0.25, "inconclusive"),
        ("two", 2.0, 3.0, 0.0, "refuted"),
        ("lower", 2.0, 3.0, 0.0, "supported"),
        ("lower", 0.625, 3.0, 0.0, "supported"),
        ("lower", 0.5, 3.0, 0.0, "inconclusive"),
        ("lower", 0.5, 0.75, 0.0, "refuted"),
        ("lower", 0.625, 0.75, 0.25, "inconclusive"),
        ("upper", 0.0, 0.25, 0.0, "supported"),
        ("upper", 0.0, 1.5, 0.0, "inconclusive"),
        ("upper", 1.25, 1.5, 0.0, "refuted"),
    ],
)
def test_enumeration_verdicts(side: str, low: float, high: float, systematic: float, expected: str) -> None:
    design = dataclasses.replace(ENCLOSURE, side=side)
    assert verdict(low, high, design, systematic) == expected


def test_closed_form_the_larger_allowance_counts() -> None:
    design = dataclasses.replace(ENCLOSURE, systematic=0.2)
    assert decide(design, enclosure(1.0, 0.1), systematic=0.1).systematic == 0.2
    assert decide(design, enclosure(1.0, 0.1), systematic=0.3).systematic == 0.3


def test_closed_form_one_replicate_of_a_share() -> None:
    one = dataclasses.replace(BERNOULLI, n=1, instances=1)
    assert decide(one, np.array([1.0])).interval.estimate == 1.0
    with pytest.raises(ValueError, match="expected at least 1 samples, got 0"):
        decide(one, np.array([]))


BERNOULLI = dataclasses.replace(DESIGN, bound="binomial", spread=None, target=0.1, delta=0.1, delta_refute=0.2, n=300)
PIPELINES: dict[str, Design] = {"student-t": DESIGN, "binomial": BERNOULLI}


def draw(design: Design, mean: float, generator: np.random.Generator) -> np.ndarray:
    if design.spread is None:
        return (generator.random(design.n) < mean).astype(float)
    return generator.normal(mean, design.spread, size=design.n)


def verdicts(design: Design, mean: float, trials: int, seed: int, systematic: float = 0.0) -> list[Verdict]:
    generator = np.random.default_rng(seed)
    return [
        combine([decide(design, draw(design, mean, generator), systematic=systematic) for _ in range(2)])
        for _ in range(trials)
    ]


@pytest.mark.parametrize("name", PIPELINES)
def test_null_rate_of_the_pipeline(name: str) -> None:
    """A true claim is refuted at most as often as alpha, over both instances."""
    design, trials = PIPELINES[name], 400
    alarms = verdicts(design, design.target, trials, 1).count(Verdict.REFUTED)
    assert stats.binomtest(alarms, trials, design.alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("name", PIPELINES)
def test_null_rate_with_a_systematic_error_inside_its_allowance(name: str) -> None:
    design, trials = PIPELINES[name], 400
    biased = verdicts(design, design.target + 0.05, trials, 2, systematic=0.05).count(Verdict.REFUTED)
    assert stats.binomtest(biased, trials, design.alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("name", PIPELINES)
def test_null_rate_of_false_support(name: str) -> None:
    """A claim off by delta is supported at most as often as alpha."""
    design, trials = PIPELINES[name], 400
    wrong = verdicts(design, design.target + design.delta, trials, 3).count(Verdict.SUPPORTED)
    assert stats.binomtest(wrong, trials, design.alpha, alternative="greater").pvalue > 1e-6


@pytest.mark.parametrize("name", PIPELINES)
def test_power_of_the_pipeline_is_the_planned_one(name: str) -> None:
    design, trials = PIPELINES[name], 300
    supported = verdicts(design, design.target, trials, 4).count(Verdict.SUPPORTED)
    refuted = verdicts(design, design.target + design.delta_refute, trials, 5).count(Verdict.REFUTED)
    for seen, planned in (
        (supported, design.equivalence_power()),
        (refuted, design.refutation_power(design.delta_refute)),
    ):
        assert planned > 0.5  # else this checks nothing
        assert stats.binomtest(seen, trials, planned, alternative="less").pvalue > 1e-6


def test_mutant_a_large_p_value_is_no_support() -> None:
    """Few noisy replicates never refute the truth, and never support it either."""
    noisy = dataclasses.replace(DESIGN, n=16, spread=4.0)
    seen = verdicts(noisy, 1.0, 100, 6)
    assert Verdict.SUPPORTED not in seen
    assert seen.count(Verdict.INCONCLUSIVE) >= 90


def result(outcome: str, design: Design = DESIGN) -> InstanceResult:
    interval = Interval(1.0, 0.9, 1.1, 0.01, 24, "student-t")
    return InstanceResult(design, interval, 0.0, outcome == "refuted", outcome == "supported")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("supported", "supported"), "supported"),
        (("supported", "inconclusive"), "inconclusive"),
        (("inconclusive", "inconclusive"), "inconclusive"),
        (("supported", "refuted"), "refuted"),
        (("inconclusive", "refuted"), "refuted"),
    ],
)
def test_enumeration_combine(outcomes: tuple[str, str], expected: str) -> None:
    assert combine([result(outcome) for outcome in outcomes]) == expected
    assert combine([result(outcome) for outcome in reversed(outcomes)]) == expected


def test_closed_form_combine_two_designs_of_a_claim() -> None:
    other = dataclasses.replace(DESIGN, statistic="order of the error", instances=1)
    assert combine([result("supported")] * 2 + [result("supported", other)]) is Verdict.SUPPORTED
    assert str(combine([result("supported")] * 2 + [result("refuted", other)])) == "refuted"


def test_error_combine() -> None:
    with pytest.raises(ValueError, match=r"expected results of one claim, got \[\]"):
        combine([])
    other = dataclasses.replace(DESIGN, claim="slow-flow")
    with pytest.raises(ValueError, match=r"got \['plateau', 'slow-flow'\]"):
        combine([result("supported"), result("supported", other)])
    with pytest.raises(ValueError, match="expected 2 declared instances of 'normalised excess', got 1"):
        combine([result("supported")])


def test_error_decide() -> None:
    x = np.random.default_rng(9).normal(size=24)
    for systematic in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected a finite systematic ≥ 0"):
            decide(DESIGN, x, systematic=systematic)
    with pytest.raises(ValueError, match="expected the declared bound student-t, got enclosure"):
        decide(DESIGN, enclosure(1.0, 0.1))
    with pytest.raises(ValueError, match=r"expected level 0.01 or smaller, got 0.02"):
        decide(DESIGN, Interval(1.0, 0.9, 1.1, 0.02, 24, "student-t"))
    with pytest.raises(ValueError, match="expected the declared n = 24 replicates, got 23"):
        decide(DESIGN, x[1:])
    with pytest.raises(ValueError, match="expected the declared n = 24 replicates, got 25"):
        decide(DESIGN, np.append(x, 0.0))
    with pytest.raises(ValueError, match="expected zeros and ones for binomial"):
        decide(BERNOULLI, np.full(300, 0.5))
    with pytest.raises(ValueError, match="expected an Interval for enclosure, got samples"):
        decide(ENCLOSURE, np.array([1.0]))
    with pytest.raises(ValueError, match="got 1 NaN or infinite, the first at index 0"):
        decide(DESIGN, np.append(math.nan, x[1:]))
