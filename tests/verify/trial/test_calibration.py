"""Calibration on synthetic trials: sound ones pass, each kind of false promise fails its own test."""

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from verify.trial import Design, Evidence, Measurement, Verdict
from verify.trial.calibration import as_json, as_markdown, as_text, calibrate, campaigns, load, save
from verify.trial.calibration.campaign import SHIPPED, Campaign, Series
from verify.trial.calibration.checks import LEVEL, p_values
from verify.trial.decision import combine, decide
from verify.trial.evidence import ControlOutcome

CLAIM = "slow-flow"
SEEDS = range(200)


def design(**fields: object) -> Design:
    known = {"claim": CLAIM, "prediction": "1", "statistic": "x ÷ 1", "bound": "student-t", "justification": "Gaussian"}
    numbers = {"target": 1.0, "delta": 0.2, "delta_refute": 0.2, "alpha": 1e-4, "power": 0.95, "n": 32, "spread": 0.1}
    return Design(**{**known, **numbers, **fields})  # type: ignore[arg-type]


STUDENT = design(instances=2)
ALLOWED = design(statistic="y ÷ 1", systematic=0.02)
ONE_SIDED = design(statistic="z", side="lower")
COUNT = design(statistic="share", bound="binomial", spread=None, n=500, target=0.3, delta=0.15)
DESIGNS = (STUDENT, ALLOWED, ONE_SIDED, COUNT)

Draw = Callable[[Design, np.random.Generator], np.ndarray]


def sound(own: Design, rng: np.random.Generator) -> np.ndarray:
    """Replicates of a true claim, on the edge of what it allows."""
    if own.bound == "binomial":
        return rng.binomial(1, own.target, own.n).astype(float)
    return rng.normal(own.target + own.systematic, 0.1, own.n)


def trials(
    draw: Draw = sound, designs: tuple[Design, ...] = DESIGNS, seeds: Iterable[int] = SEEDS, off: float = 0.3
) -> list[Evidence]:
    """Evidence as `Trial` concludes it; the control is off the target by `off`."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng([seed, 7])
        results = [decide(own, draw(own, rng)) for own in designs for _ in range(own.instances)]
        broken = decide(designs[0], sound(replace(designs[0], target=designs[0].target + off), rng))
        found.append(
            Evidence(
                claim=designs[0].claim,
                title="",
                status="",
                verdict=str(combine(results)),
                expected="supported",
                measurements=tuple(Measurement.of(result, {}, None) for result in results),
                controls=(ControlOutcome("off", "the mean", Measurement.of(broken, {}, None)),),
                designs=designs,
                profile="quick",
                device="cpu",
                root_seed=seed,
                seconds=0.0,
                versions={},
                hardware={},
                date="2026-01-01",
            )
        )
    return found


def failed(evidence: Iterable[Evidence]) -> set[tuple[str, str]]:
    """Statistic (or control) and the first word of each promise that does not hold."""
    return {(own.about, own.promise.split()[0]) for own in calibrate(campaigns(evidence)).failed}


def test_known_answer_sound_trials_pass_also_on_the_edge_of_what_is_allowed() -> None:
    found = calibrate(campaigns(trials()))
    assert not found.failed
    assert found.kept
    (claim,) = found.claims
    assert claim.verdicts == (len(SEEDS), 0, 0)
    assert claim.level == pytest.approx(4e-4)
    assert claim.wrong.high == pytest.approx(1 - 0.05 ** (1 / len(SEEDS)))
    exact, loose = found.tails
    assert [n for _, _, n in exact] == [3 * len(SEEDS)] * 3  # two instances and the shares
    assert [n for _, _, n in loose] == [2 * len(SEEDS)] * 3
    assert abs(exact[0][1] - 0.1 * exact[0][2]) < 5 * math.sqrt(0.09 * exact[0][2])
    assert "none fails" in as_text(found)
    assert "none fails" in as_markdown(found)
    content = json.loads(json.dumps(as_json(found)))
    assert content["claims"][0]["root_seeds"] == list(SEEDS)
    assert content["failed"] == []


def shifted(by: float) -> Draw:
    return lambda own, rng: sound(own, rng) + by * (own.bound == "student-t" and own.side == "two")


def narrowed(evidence: Iterable[Evidence], statistic: str, factor: float) -> list[Evidence]:
    """The same with intervals too narrow, as of a σ that is too small; verdicts as they were."""

    def own(m: Measurement) -> Measurement:
        half = ((m.high - m.low) / 2 - m.systematic) * factor + m.systematic
        return replace(m, low=m.estimate - half, high=m.estimate + half) if m.statistic == statistic else m

    return [replace(item, measurements=tuple(map(own, item.measurements))) for item in evidence]


def test_mutant_intervals_of_a_wrong_deviation_fail() -> None:
    found = failed(narrowed(trials(), STUDENT.statistic, 0.6))
    assert (STUDENT.statistic, "p-values") in found
    assert (STUDENT.statistic, "target") in found
    assert {about for about, _ in found} == {STUDENT.statistic}
    assert failed(narrowed(trials(), ALLOWED.statistic, 0.6)) == {(ALLOWED.statistic, "target")}


def test_mutant_a_biased_mean_fails_beyond_the_allowance() -> None:
    # 0.01 is half a standard error of one trial, and seven of the mean of all of them.
    found = failed(trials(shifted(0.01)))
    assert {(STUDENT.statistic, "mean"), (ALLOWED.statistic, "mean")} <= found
    assert not any(about == COUNT.statistic for about, _ in found)


def test_mutant_a_claim_refuted_too_often_fails() -> None:
    def draw(own: Design, rng: np.random.Generator) -> np.ndarray:
        return sound(own, rng) - 0.15 * (own is ONE_SIDED and rng.random() < 0.05)

    found = failed(trials(draw))
    assert {("verdict", "wrong"), (ONE_SIDED.statistic, "refuted")} <= found
    wrong = calibrate(campaigns(trials(draw))).claims[0]
    assert wrong.verdicts[1] == round(wrong.wrong.estimate * len(SEEDS)) > 1


def test_mutant_a_false_power_fails_with_the_spread_that_it_rests_on() -> None:
    def wide(own: Design, rng: np.random.Generator) -> np.ndarray:
        return own.target + 4.0 * (sound(own, rng) - own.target)

    found = failed(trials(wide, (STUDENT,)))
    assert found == {(STUDENT.statistic, "supported"), (STUDENT.statistic, "standard")}


def test_mutant_a_control_that_is_missed_fails() -> None:
    assert failed(trials(off=0.08)) == {("control: off", "refuted")}
    found = calibrate(campaigns(trials(off=0.08)))
    assert found.claims[0].missed[0][0] == "off"
    assert "control 'off' at " in as_text(found)


def test_known_answer_the_level_is_split_over_all_tests() -> None:
    found = calibrate(campaigns(trials(seeds=range(20))))
    assert len(found.checks) > 20
    for own in found.checks:
        alone = replace(found, checks=(replace(own, p_value=LEVEL),) + (own,) * 9)
        assert not alone.failed
        assert replace(alone, checks=(replace(own, p_value=LEVEL / 10), *alone.checks[1:])).failed


def series(own: Design, x: np.ndarray) -> Series:
    result = decide(own, x)
    m = Measurement.of(result, {}, None)
    half = (m.high - m.low) / 2 - m.systematic
    return Series("", own.statistic, (m.estimate,), (half,), (m.systematic,), "S")


@pytest.mark.parametrize("own", DESIGNS, ids=lambda own: own.statistic)
def test_property_a_p_value_below_alpha_is_a_refutation(own: Design) -> None:
    rng = np.random.default_rng(1)
    seen = set()
    for shift in np.linspace(-0.15, 0.15, 61):
        x = rng.binomial(1, own.target + shift, own.n) if own.bound == "binomial" else sound(own, rng) + shift
        x = x.astype(float)
        (p,) = p_values(own, series(own, x))
        refuted = decide(own, x).verdict == Verdict.REFUTED
        assert (p <= own.alpha_instance) == refuted
        seen.add(refuted)
    assert seen == {True, False}


def test_cross_library_p_values_of_student_and_of_counts() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(1.03, 0.1, 32)
    assert p_values(STUDENT, series(STUDENT, x))[0] == pytest.approx(stats.ttest_1samp(x, 1.0).pvalue)
    for k in (100, 150, 151, 190):
        shares = np.repeat([1.0, 0.0], [k, 500 - k])
        tails = [stats.binomtest(k, 500, 0.3, alternative=side).pvalue for side in ("less", "greater")]
        assert p_values(COUNT, series(COUNT, shares))[0] == pytest.approx(min(1.0, 2 * min(tails)))


class Midpoints(np.random.Generator):
    """V by V at the midpoints of a grid, in place of random numbers."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:  # type: ignore[override]
        return (np.arange(math.prod(size)) + 0.5) / math.prod(size)


def test_enumeration_p_values_of_counts_are_uniform() -> None:
    own, grid = replace(COUNT, n=9), 4000
    mass = stats.binom.pmf(np.arange(10), 9, own.target)
    for u in (0.01, 0.2, 0.5, 0.93):
        below = 0.0
        for k in range(10):
            many = Series("", own.statistic, (k / 9,) * grid, (0.0,) * grid, (0.0,) * grid, "S" * grid)
            below += mass[k] * float((p_values(own, many, Midpoints(np.random.PCG64())) <= u).mean())
        # Each of the two ends of p ≤ u in V is found to within one step of the grid.
        assert below == pytest.approx(u, abs=2 / grid)


def test_what_was_stored_before_and_what_another_design_decided_is_left_out() -> None:
    evidence = trials(seeds=range(30))
    older = [replace(item, designs=(replace(STUDENT, delta=0.3), *DESIGNS[1:])) for item in evidence[:5]]
    stored = [replace(item, profile="default", root_seed=99) for item in evidence[:1]]
    (found,) = campaigns([*older, *stored, *evidence[4:], evidence[4]])
    assert found.root_seeds == tuple(range(4, 30))
    assert found.missing == (0, 1, 2, 3)


def test_a_trial_that_ended_without_a_verdict_is_named() -> None:
    evidence = trials(seeds=range(30))
    other = [replace(item, claim="plateau") for item in trials(seeds=range(31))]
    found = calibrate(campaigns([*evidence, *other]))
    assert not found.kept
    assert f"NO VERDICT: {CLAIM} at 1 root seeds, the first 30." in as_text(found)


def test_known_answer_the_compact_file_holds_what_the_tables_rest_on(tmp_path: Path) -> None:
    found = campaigns(trials(seeds=range(20)))
    save(found, path := tmp_path / "campaigns.json")
    assert load(path) == found
    assert as_markdown(calibrate(load(path))) == as_markdown(calibrate(found))


def test_the_page_is_generated_from_the_campaigns_that_come_with_flatproof() -> None:
    page = (Path(__file__).parents[3] / "paper_notes" / "calibration.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- table: .*? -->\n(.*?)<!-- end of table -->", page, re.DOTALL)
    assert shown is not None
    assert shown[1] == as_markdown(calibrate(load(SHIPPED)))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"schema": 1', '"schema": 9', "expected campaigns of schema 1"),
        ("]}\n", "", "expected a JSON document"),
        ('"verdicts": "S', '"verdicts": "Q', "expected 20 verdicts S, R or I"),
        ('"root_seeds": [0,', '"root_seeds": [', "expected 20 values|expected 19 values"),
        ('"target": 1.0', '"target": null', "expected float, got None"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, old: str, new: str, reason: str) -> None:
    save(campaigns(trials(seeds=range(20))), path := tmp_path / "campaigns.json")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert text != path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=f"({reason}).*; make the file anew: flatproof calibrate"):
        load(path)


def test_error_paths() -> None:
    with pytest.raises(ValueError, match="expected campaigns of at least one claim, got none; measure some"):
        calibrate([])
    with pytest.raises(ValueError, match="expected evidence of some claim at profile quick, got none; measure it"):
        campaigns([])
    with pytest.raises(ValueError, match="expected evidence of plateau at profile quick, got none"):
        campaigns(trials(seeds=range(2)), ["plateau"])
    (found,) = campaigns(trials(seeds=range(3)))
    with pytest.raises(ValueError, match="of a declared statistic"):
        replace(found, instances=(replace(found.instances[0], statistic="another"),))
    with pytest.raises(ValueError, match="expected some verdicts S, R or I"):
        Campaign(CLAIM, "supported", ("", ""), (), (), (), "", (), ())
