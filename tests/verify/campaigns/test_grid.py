"""Closed form: the grid of a campaign is a product; a file that asks for what cannot be is named by its key."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.verify.campaigns.examples import written
from verify.campaigns import CampaignError, load, runs
from verify.campaigns.grid import trainings
from verify.cohorts import SCALES, Cohort, anneal
from verify.cohorts.conditions import relaxation


def test_the_runs_are_the_product_of_points_root_seeds_and_families(tmp_path: Path) -> None:
    plan = runs(load(written(tmp_path, ('["hmm"]', '["hmm", "pcfg"]'))))
    assert [(run.point["noisy_rate"], run.root_seed, run.family) for run in plan] == [
        (rate, seed, family) for rate in (0.1, 0.2) for seed in (3, 4) for family in ("hmm", "pcfg")
    ]
    assert {run.scale for run in plan} == {
        replace(
            SCALES["small"],
            members=2,
            width=4,
            layers=1,
            pretraining=12,
            continuation=6,
            anneal=6,
            checkpoints=3,
            reference=64,
            probes=2,
            draws=2,
            tested=16,
            noisy_rate=rate,
        )
        for rate in (0.1, 0.2)
    }
    assert len({run.key.digest for run in plan}) == len(plan)
    assert plan[-1].about == "pcfg, root seed 4, noisy_rate 0.2"


def test_without_axes_there_is_one_point(tmp_path: Path) -> None:
    (run,) = runs(load(written(tmp_path, ("[3, 4]", "[3]"), ("noisy_rate = [0.1, 0.2]", ""))))
    assert run.point == {}


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (('name = "tiny"', 'name = "other"'), True),
        (("[vary]", '[[question]]\nabout = "what"\n[vary]'), True),
        (('["polished", "sampled"]', '["sampled", "polished"]'), True),
        (('["polished", "sampled"]', '["soft", "sampled"]'), False),
        (("probes = 2", "probes = 3"), False),
        (("continuation = 6", "continuation = 7"), False),
    ],
)
def test_property_a_run_is_told_by_all_that_its_rows_depend_on(
    tmp_path: Path, change: tuple[str, str], same: bool
) -> None:
    first, second = ([run.key.digest for run in runs(load(written(tmp_path, *how)))] for how in ((), (change,)))
    assert (first == second) is same
    assert same or not set(first) & set(second)


def test_steps_of_a_shorter_dose_are_part_of_a_longer_one() -> None:
    cohort = Cohort("hmm", replace(SCALES["small"], members=1), 3)
    scale, base = cohort.scale, cohort.condition("base")
    found = trainings(cohort, ["polished", "sampled@30", "sampled@70", "soft@30", "relaxed-soft"])
    labels = {name: cohort.condition(name).training for name in ("sampled", "soft")}
    assert found == {
        ("large", base.training): scale.pretraining,
        ("large", labels["sampled"]): 70,
        ("large", labels["soft"]): scale.continuation,
        ("large", anneal(scale)): 4 * scale.anneal,
        ("large", relaxation(scale)): 2 * scale.anneal,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "tiny"', ""), "expected .*name.*, got no name"),
        (('name = "tiny"', 'nmae = "tiny"\nname = "tiny"'), "expected conditions, families, .*, got 'nmae'"),
        (('"small"', '"tall"'), "scale: expected one of small, .*, got 'tall'"),
        (('["hmm"]', '["hmmm"]'), "families: expected some of hmm, .*, got 'hmmm'"),
        (('["hmm"]', '["hmm", "hmm"]'), "families: expected one or more different values, got 'hmm' twice"),
        (('["hmm"]', "[]"), "families: expected one or more different values, got none"),
        (("[3, 4]", "[3, 4, 3]"), "root_seeds: expected one or more different values, got 3 twice"),
        (("[3, 4]", "[3, 4.5]"), r"root_seeds\[1\]: expected int, got 4.5"),
        (("[3, 4]", "3"), "root_seeds: expected .*int.*, got 3"),
        (('["polished", "sampled"]', '["sampled"]'), "conditions: expected at least two, .* got 'sampled' alone"),
        (("[0.1, 0.2]", "[]"), "vary.noisy_rate: expected one or more different values, got none"),
        (("[0.1, 0.2]", "[0.1, 0.1]"), "vary.noisy_rate: expected one or more different values, got 0.1 twice"),
        (("[0.1, 0.2]", '[0.1, "high"]'), "vary.noisy_rate: expected float, got 'high'"),
        (("[0.1, 0.2]", "0.1"), "vary.noisy_rate: expected .*, got 0.1"),
        (("noisy_rate =", "noise ="), "vary: expected fields of a scale, members, .*, got 'noise'"),
        (("noisy_rate =", "families ="), "vary: expected fields of a scale, members, .*, got 'families'"),
        (("noisy_rate =", "members ="), "vary.members: expected a field that is not set as well"),
        (("members = 2", "members = 2.5"), "settings.members: expected int, got 2.5"),
        (("members = 2", "members = "), "Invalid value"),
    ],
)
def test_error_a_file_that_asks_for_what_cannot_be(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = written(tmp_path, change)
    with pytest.raises(CampaignError, match=f"^{path}: {message}"):
        load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('"sampled"]', '"smpled"]'), r"conditions: expected one of base, .*, got 'smpled' \(hmm, noisy_rate 0.1\)"),
        (('"sampled"]', '"sampled@x"]'), r"conditions: expected one of .*, got 'sampled@x' .*: expected NAME@STEPS"),
        (("width = 4", "width = 5"), r"conditions: .*\(hmm, noisy_rate 0.1\): .*5"),
        (("noisy_rate = [0.1, 0.2]", "reference = [0]"), "hmm, reference 0: "),
    ],
)
def test_error_a_condition_that_cannot_be_begun(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    changes = [change] if "reference" not in change[1] else [change, ("reference = 64\n", "")]
    with pytest.raises(CampaignError, match=f"^{message}"):
        runs(load(written(tmp_path, *changes)))


def test_the_file_of_a_familys_languages_is_part_of_what_tells_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verify.campaigns.grid import _files

    grammar = tmp_path / "grammar.txt"
    grammar.write_text("S -> a")
    monkeypatch.setenv("FLATPROOF_AUTHORS_GRAMMAR", str(grammar))
    first = _files("authors")
    grammar.write_text("S -> b")
    assert _files("hmm") == []
    assert len(first) == 1
    assert first != _files("authors")
