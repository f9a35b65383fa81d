"""Designs: closed forms of their powers, declared powers that hold, and every refusal."""

import dataclasses
import math
from typing import Any

import pytest
from scipy import stats

from verify.trial import Design, UnderpoweredError
from verify.trial.design import same_decisions

STUDENT = Design(
    claim="slow-flow",
    prediction="drift constant / (1/4) = 1",
    target=1.0,
    delta=0.01,
    delta_refute=0.01,
    alpha=1e-4,
    power=0.99,
    n=64,
    instances=4,
    statistic="normalised drift constant",
    bound="student-t",
    spread=0.008,
    justification="group means of 64 replicas; spread from a pilot run, doubled",
)
BINOMIAL = dataclasses.replace(
    STUDENT, bound="binomial", spread=None, target=0.875, delta=0.05, delta_refute=0.05, n=6000
)
ENCLOSURE = dataclasses.replace(STUDENT, bound="enclosure", n=1, spread=1e-6)
DESIGNS = {"student-t": STUDENT, "binomial": BINOMIAL, "enclosure": ENCLOSURE}


@pytest.mark.parametrize("name", DESIGNS)
def test_property_declared_designs_have_their_power(name: str) -> None:
    design = DESIGNS[name]
    design.check_power()
    assert design.equivalence_power() >= design.power
    assert design.refutation_power(design.delta_refute) >= design.power


@pytest.mark.parametrize("name", [name for name in DESIGNS if name != "enclosure"])
def test_property_required_n_is_enough_and_one_less_is_not(name: str) -> None:
    design = DESIGNS[name]
    n = design.required_n()
    assert n <= design.n
    dataclasses.replace(design, n=n).check_power()
    with pytest.raises(UnderpoweredError, match=r"use n ≥ required_n\(\)"):
        dataclasses.replace(design, n=n - 1).check_power()


@pytest.mark.parametrize("name", DESIGNS)
def test_property_systematic_error_costs_power(name: str) -> None:
    design = DESIGNS[name]
    biased = dataclasses.replace(design, systematic=0.4 * design.delta)
    assert biased.refutation_power(design.delta_refute) <= design.refutation_power(design.delta_refute)
    assert biased.equivalence_power() <= design.equivalence_power()


@pytest.mark.parametrize("name", DESIGNS)
def test_property_one_sided_design_is_no_weaker_on_its_side(name: str) -> None:
    design = dataclasses.replace(DESIGNS[name], side="two")
    lower, upper = (dataclasses.replace(design, side=side) for side in ("lower", "upper"))
    assert lower.refutation_power(design.delta_refute) >= design.refutation_power(design.delta_refute) - 1e-9
    assert min(lower.equivalence_power(), upper.equivalence_power()) >= design.equivalence_power()


@pytest.mark.parametrize("name", DESIGNS)
def test_closed_form_two_sides_are_the_worse_of_both(name: str) -> None:
    two, lower, upper = (
        dataclasses.replace(DESIGNS[name], side=side).refutation_power(0.02) for side in ("two", "lower", "upper")
    )
    assert two == pytest.approx(min(lower, upper), abs=1e-9)  # the far tail is smaller


def test_closed_form_on_one_side_a_systematic_error_hides_support_both_ways() -> None:
    """Supported if δ > 2 (s + error bound): the interval may lie s on the wrong side, and is widened by s."""
    for side in ("lower", "upper"):
        design = dataclasses.replace(ENCLOSURE, side=side, systematic=0.004, delta_refute=0.02)
        powers = [dataclasses.replace(design, spread=spread).equivalence_power() for spread in (0.0009, 0.0011)]
        assert powers == [1.0, 0.0]


def test_closed_form_power_at_the_ends_of_the_domain_and_without_hope() -> None:
    half = dataclasses.replace(BINOMIAL, target=0.5)
    assert half.refutation_power(0.5) == 1.0
    assert dataclasses.replace(STUDENT, spread=1.0).equivalence_power() == 0.0
    for target in (0.0, 1.0):
        assert dataclasses.replace(BINOMIAL, target=target, n=1, instances=1).domain == (0.0, 1.0)


def test_closed_form_required_n_may_be_the_least_that_the_bound_accepts() -> None:
    assert dataclasses.replace(STUDENT, spread=1e-6).required_n() == 16


def test_closed_form_student_power() -> None:
    """Refutation: noncentral t. Equivalence at the target: union bound over 4 instances."""
    critical = stats.t.isf(1e-4 / 8, 63)
    noncentrality = 0.01 * 8 / 0.008
    power = stats.nct.sf(critical, 63, noncentrality)
    assert STUDENT.alpha_instance == 2.5e-5
    assert STUDENT.refutation_power(0.01) == pytest.approx(power, abs=1e-6)
    single = dataclasses.replace(STUDENT, instances=1, alpha=2.5e-5)
    assert STUDENT.equivalence_power() == pytest.approx(1 - 4 * (1 - single.equivalence_power()), rel=1e-12)


def test_closed_form_refutation_has_the_power_of_the_harder_direction() -> None:
    """Binomial counts vary more towards ½; the other tail is below 1e-9 there."""
    below, above = (dataclasses.replace(BINOMIAL, side=side).refutation_power(0.02) for side in ("lower", "upper"))
    assert 0.1 < below < above - 0.01
    assert BINOMIAL.refutation_power(0.02) == pytest.approx(below, abs=1e-9)


def test_closed_form_enclosure() -> None:
    assert ENCLOSURE.equivalence_power() == 1.0
    assert [ENCLOSURE.refutation_power(departure) for departure in (2.001e-6, 1.999e-6)] == [1.0, 0.0]
    assert ENCLOSURE.required_n() == 1
    dataclasses.replace(ENCLOSURE, spread=0.0).check_power()


def test_closed_form_systematic_error_can_hide_twice_itself() -> None:
    """It may shift the value towards the target, and widens the interval as well: 2 (error bound + s)."""
    design, hidden = dataclasses.replace(ENCLOSURE, systematic=0.002), 2 * (1e-6 + 0.002)
    assert [design.refutation_power(hidden * factor) for factor in (1.001, 0.999)] == [1.0, 0.0]


def test_designs_decide_alike_whatever_their_words() -> None:
    said = dataclasses.replace(STUDENT, prediction="other words", statistic="others", justification="others again")
    said = dataclasses.replace(said, alpha=STUDENT.alpha * 1.01)  # as when there was a claim less
    assert same_decisions([STUDENT], [said])
    for change in ({"n": 65}, {"target": 1.1}, {"side": "lower"}, {"claim": "plateau"}, {"spread": 0.1}):
        assert not same_decisions([STUDENT], [dataclasses.replace(said, **change)])
    assert not same_decisions([STUDENT], [STUDENT, STUDENT])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claim": " "}, "expected a non-empty claim"),
        ({"justification": ""}, "expected a non-empty justification"),
        ({"prediction": ""}, "expected a non-empty prediction"),
        ({"statistic": ""}, "expected a non-empty statistic"),
        ({"bound": "bootstrap"}, r"expected a bound among binomial, .* got 'bootstrap'"),
        ({"side": "both"}, "expected side two, lower or upper, got 'both'"),
        ({"alpha": 0.0}, "expected 0 < alpha < 1"),
        ({"alpha": math.nan}, "expected 0 < alpha < 1"),
        ({"power": 1.0}, "expected 0 < power < 1"),
        ({"power": 0.0}, "expected 0 < power < 1"),
        ({"power": -0.5}, "expected 0 < power < 1"),
        ({"delta": 0.0}, "expected finite delta > 0"),
        ({"delta": math.inf}, "expected finite delta > 0"),
        ({"delta_refute": -1.0}, "expected finite delta_refute > 0"),
        ({"systematic": 0.01}, "expected 0 ≤ systematic < delta"),
        ({"systematic": math.nan}, "expected 0 ≤ systematic < delta"),
        ({"systematic": -0.005}, "expected 0 ≤ systematic < delta"),
        ({"instances": 0}, "expected instances ≥ 1"),
        ({"n": 15}, "expected n ≥ 16 for student-t, got 15"),
        ({"bound": "enclosure"}, "expected n = 1 for an enclosure, got 64"),
        ({"bound": "enclosure", "n": 0}, "expected n ≥ 1 for enclosure, got 0"),
        ({"bound": "binomial", "spread": None, "target": 0.5, "n": 0}, "expected n ≥ 1 for binomial, got 0"),
        ({"bound": "binomial", "spread": None, "target": -0.5}, r"expected a finite target in \[0.0, 1.0\]"),
        ({"bound": "enclosure", "n": 1, "spread": math.inf}, "expected a finite spread > 0"),
        ({"spread": -0.5}, "expected a finite spread > 0"),
        ({"target": math.nan}, "expected a finite target"),
        ({"spread": None}, "expected a spread for every bound but binomial, .* got None for student-t"),
        ({"spread": 0.0}, "expected a finite spread > 0"),
        ({"spread": math.inf}, "expected a finite spread > 0"),
        ({"bound": "binomial"}, "got 0.008 for binomial; state an upper bound for planning, or leave it out"),
        ({"bound": "binomial", "spread": None, "target": 1.5}, r"expected a finite target in \[0.0, 1.0\]"),
    ],
)
def test_error_fields(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(STUDENT, **changes)


def test_error_departure() -> None:
    for departure in (0.0, math.nan, 1.0):
        with pytest.raises(ValueError, match="expected a departure > 0 that stays in"):
            BINOMIAL.refutation_power(departure)
    assert BINOMIAL.refutation_power(0.5) == 1.0  # only downwards stays in [0, 1]


def test_error_underpowered() -> None:
    weak = dataclasses.replace(STUDENT, n=16)
    with pytest.raises(UnderpoweredError, match=r"slow-flow: expected power 0.99 with n = 16 and 4 instances"):
        weak.check_power()
    with pytest.raises(UnderpoweredError, match=r"expected some n with power 0.99, got none up to 1073741824"):
        dataclasses.replace(STUDENT, systematic=0.006).required_n()
    with pytest.raises(UnderpoweredError, match=r"expected some n with power 0.99, got none up to 1"):
        dataclasses.replace(ENCLOSURE, spread=1.0).required_n()
