"""A trial enforces its own rules: declared designs, spent budget, controls, expected verdicts."""

from contextlib import nullcontext as still
from dataclasses import replace

import numpy as np
import pytest
import torch

from theory.claims import CLAIMS
from verify.environment import Settings
from verify.statistics import enclosure
from verify.streams import RepeatedStreamError
from verify.trial import BUDGET, Design, Networks, Trial
from verify.trial.evidence import ANY, UnexpectedOutcomeError, require_expected

CLAIM = CLAIMS["product-model"]


def design(instances: int = 1) -> Design:
    return Design(
        claim=CLAIM.id,
        prediction="one",
        target=1.0,
        delta=0.1,
        delta_refute=0.2,
        alpha=BUDGET.alpha(CLAIM.id),
        power=0.99,
        n=1,
        statistic="value",
        bound="enclosure",
        spread=0.01,
        justification="a constant with a known rounding error",
        instances=instances,
    )


def finished(estimate: float = 1.0, control: float = 2.0, asked: str | None = None, measured: str = "") -> Trial:
    trial = Trial(CLAIM, Settings(scale=asked))
    (declared,) = trial.declare([design()])
    networks = Networks(language="hmm", scale=measured, replicates=46) if measured else None
    trial.decide(declared, enclosure(estimate, 0.01), networks=networks)
    trial.control("off", "nothing holds", declared, enclosure(control, 0.01))
    return trial


def test_a_supported_claim_with_caught_controls_passes() -> None:
    evidence = finished().conclude()
    assert evidence.verdict == "supported"
    assert evidence.status == CLAIM.status
    require_expected(evidence)


@pytest.mark.parametrize(("estimate", "verdict"), [(1.5, "refuted"), (1.095, "refuted"), (1.005, "supported")])
def test_the_verdict_follows_the_measurement(estimate: float, verdict: str) -> None:
    assert finished(estimate).conclude().verdict == verdict


def test_an_unexpected_verdict_fails_with_the_measurement() -> None:
    with pytest.raises(UnexpectedOutcomeError, match=r"refuted, expected supported: value.*1\.5"):
        require_expected(finished(1.5).conclude())


@pytest.mark.parametrize(
    ("asked", "measured", "free"),
    [
        (None, "small", False),
        ("medium", "", False),  # about no networks
        ("medium", "small", False),  # always on the small ones
        ("medium", "medium", True),
        ("small:hmm-lstm", "small", True),
    ],
)
def test_any_verdict_will_do_only_for_networks_at_the_scale_that_was_asked_for(
    asked: str | None, measured: str, *, free: bool
) -> None:
    evidence = finished(1.5, asked=asked, measured=measured).conclude()
    assert (evidence.expected == ANY) == free
    if free:
        require_expected(evidence)
    else:
        with pytest.raises(UnexpectedOutcomeError, match="refuted, expected supported"):
            require_expected(evidence)


def test_a_claim_expected_to_be_refuted_fails_when_it_is_supported() -> None:
    with pytest.raises(UnexpectedOutcomeError, match="supported, expected refuted"):
        require_expected(replace(finished().conclude(), expected="refuted"))


def test_a_missed_control_fails_and_is_named() -> None:
    with pytest.raises(UnexpectedOutcomeError, match=r"controls not caught: off \(nothing holds\)"):
        require_expected(finished(control=1.0).conclude())


def test_no_control_no_conclusion() -> None:
    trial = Trial(CLAIM, Settings())
    (declared,) = trial.declare([design()])
    trial.decide(declared, enclosure(1.0, 0.01))
    with pytest.raises(ValueError, match="without a control"):
        trial.conclude()


def test_an_undecided_design_and_a_missing_instance_are_errors() -> None:
    trial = Trial(CLAIM, Settings())
    (declared,) = trial.declare([design(instances=2)])
    trial.control("off", "nothing holds", declared, enclosure(2.0, 0.01))
    with pytest.raises(ValueError, match="did not decide: value"):
        trial.conclude()
    trial.decide(declared, enclosure(1.0, 0.01))
    with pytest.raises(ValueError, match="expected 2 declared instances"):
        trial.conclude()


def test_the_interval_that_is_shown_is_widened_by_the_allowance() -> None:
    trial = Trial(CLAIM, Settings())
    (declared,) = trial.declare([design()])
    trial.decide(declared, enclosure(1.0, 0.01), systematic=0.05)
    trial.control("off", "nothing holds", declared, enclosure(2.0, 0.01))
    (shown,) = trial.conclude().measurements
    assert (shown.low, shown.high, shown.systematic) == pytest.approx((0.94, 1.06, 0.05), rel=1e-15)


def test_every_declared_design_must_be_decided() -> None:
    trial = Trial(CLAIM, Settings())
    half = replace(design(), alpha=BUDGET.alpha(CLAIM.id, 2))
    declared, _ = trial.declare([half, replace(half, statistic="another value")])
    trial.decide(declared, enclosure(1.0, 0.01))
    trial.control("off", "nothing holds", declared, enclosure(2.0, 0.01))
    with pytest.raises(ValueError, match="did not decide: another value"):
        trial.conclude()


def test_designs_are_declared_once_for_the_right_claim_within_the_budget() -> None:
    trial = Trial(CLAIM, Settings())
    with pytest.raises(ValueError, match="expected designs of product-model"):
        trial.declare([replace(design(), claim="plateau")])
    with pytest.raises(ValueError, match="expected designs of product-model, got none"):
        trial.declare([])
    with pytest.raises(ValueError, match="may spend a level of"):
        trial.declare([design(), replace(design(), statistic="other")])
    trial.declare([design()])
    with pytest.raises(ValueError, match="declared already"):
        trial.declare([design()])


def test_only_declared_designs_decide() -> None:
    trial = Trial(CLAIM, Settings())
    with pytest.raises(ValueError, match="not a declared design"):
        trial.decide(design(), enclosure(1.0, 0.01))


def test_streams_depend_on_root_seed_claim_and_purpose() -> None:
    one, same, two = (Trial(CLAIM, Settings(root_seed=seed)) for seed in (1, 1, 2))
    first = one.rng("a").integers(1 << 60)
    assert first == same.rng("a").integers(1 << 60)
    assert first != one.rng("b").integers(1 << 60)
    assert first != two.rng("a").integers(1 << 60)
    assert torch.equal(torch.rand(3, generator=one.torch("x")), torch.rand(3, generator=same.torch("x")))


def test_mutant_one_draw_passed_off_as_several_instances_is_refused() -> None:
    trial = Trial(CLAIM, Settings())
    with pytest.raises(RepeatedStreamError, match=r"product-model: .* got \('instance', 0\) again, .* pass again=True"):
        [trial.rng("instance", 0) for _ in range(3)]
    for taken in (trial.seed, trial.rng, trial.torch):
        with pytest.raises(RepeatedStreamError):
            taken("instance", 0)
        taken("instance", 0, again=True)


@pytest.mark.parametrize(
    ("bound", "drawn", "refused"),
    [
        ("enclosure", (1.0, 1.0), True),
        ("enclosure", (1.0, 1.1), False),
        ("student-t", (1.0, 1.0), True),
        ("student-t", (1.0, 1.1), True),  # the same groups under another name
    ],
)
def test_mutant_an_instance_that_is_decided_twice_is_refused(
    bound: str, drawn: tuple[float, float], *, refused: bool
) -> None:
    trial = Trial(CLAIM, Settings())
    size = 1 if bound == "enclosure" else 32
    (declared,) = trial.declare([replace(design(2), bound=bound, n=size)])
    groups = np.random.default_rng(0).normal(1.0, 0.01, size)
    first, second = (enclosure(1.0, 0.01) if bound == "enclosure" else groups.copy() for _ in range(2))
    trial.decide(declared, first, parameters={"alpha": drawn[0]})
    trial.control("the same groups", "a control may be what an instance was", declared, second)
    refusal = pytest.raises(ValueError, match=r"expected another instance of 'value', .*; draw each")
    with refusal if refused else still():
        trial.decide(declared, second, parameters={"alpha": drawn[1]})


def test_instances_of_whole_numbers_may_agree_as_at_root_seed_6_of_flattest_brackets() -> None:
    trial = Trial(CLAIM, Settings())
    (declared,) = trial.declare([replace(design(2), bound="enclosure", n=1)])
    for _ in range(2):
        trial.decide(declared, enclosure(1.0, 0.01), parameters={"T": 8, "loss": "squared"})


def test_progress_counts_tasks() -> None:
    seen: list[float] = []
    trial = Trial(CLAIM, Settings(), seen.append)
    trial.plan(4)
    trial.advance()
    trial.advance(2)
    assert seen == [0.25, 0.75]


def test_stored_evidence_is_used_in_place_of_measuring() -> None:
    stored = finished().conclude()
    trial = Trial(CLAIM, Settings(profile="quick"))
    trial.declare([design()])
    trial.use_stored(stored)
    assert trial.uses_stored
    assert trial.conclude() is stored


@pytest.mark.parametrize("change", [{"claim": "plateau"}, {"designs": (design(instances=2),)}])
def test_stored_evidence_of_another_design_is_refused(change: dict[str, object]) -> None:
    stored = replace(finished().conclude(), **change)  # type: ignore[arg-type]
    trial = Trial(CLAIM, Settings())
    trial.declare([design()])
    with pytest.raises(ValueError, match="measure again"):
        trial.use_stored(stored)


def test_stored_evidence_of_another_claim_is_refused_whatever_its_designs() -> None:
    trial = Trial(CLAIM, Settings())
    trial.declare([design()])
    with pytest.raises(ValueError, match="got evidence of plateau"):
        trial.use_stored(replace(finished().conclude(), claim="plateau"))


def test_nothing_stored_is_used_over_a_measurement() -> None:
    trial = finished()
    with pytest.raises(ValueError, match="nothing measured"):
        trial.use_stored(finished().conclude())
