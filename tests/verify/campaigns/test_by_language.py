"""The gain against the symmetry of a language: planted effects are found, absent ones refuted, missing rows told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verify.campaigns import load
from verify.campaigns.answers import OPEN, TableError
from verify.campaigns.by_language import FIRST, HALVES, SECOND, correlations, designs, findings, markdown

CAMPAIGN = load(Path(__file__).parents[3] / "verify" / "campaigns" / "symmetry.toml")
MEMBERS = 54


def planted(slope: float, cohorts: int = 5, apart: float = 0.0) -> Iterator[dict[str, Any]]:
    """Rows in which a gain is slope times share minus gap; `apart`: how much more the topics gain than others."""
    generator = np.random.default_rng(0)
    for place, family in enumerate(CAMPAIGN.families):
        for seed in CAMPAIGN.root_seeds[:cohorts]:
            for member in range(MEMBERS):
                share = (place * 7 % 20) / 20 + generator.normal(0, 0.02)
                mean = slope * share + apart * (family == "topics")
                row = {"family": family, "root_seed": seed, "member": member, "bag_share": share, "excess": 1.0}
                row |= {"excess_error": 0.0, "accuracy_slope": -0.01, "learnable_gap": (gap := generator.uniform(0, 1))}
                gain = mean - slope * gap + generator.normal(0, 0.015)
                yield {**row, "condition": FIRST, "accuracy": 0.8 + gain}
                yield {**row, "condition": SECOND, "accuracy": 0.8}


def test_the_campaign_has_the_families_and_conditions_that_are_compared() -> None:
    assert {FIRST, SECOND} <= set(CAMPAIGN.conditions)
    assert {name for half in HALVES.values() for name in half} <= set(CAMPAIGN.families)
    assert not set(HALVES["before"]) & set(HALVES["after"])


def test_closed_form_every_design_has_the_power_that_it_declares() -> None:
    for design in designs(CAMPAIGN).values():
        assert design.n == MEMBERS * 5
        design.check_power()


def test_planted_effects_are_found_and_every_control_is_refuted() -> None:
    found = list(findings(CAMPAIGN, list(planted(0.05, apart=0.06))))
    assert len(found) == 16
    for each in found:
        assert each.answer.verdict == ("refuted" if each.broken else "supported"), each.design.statistic


def test_where_there_is_no_effect_it_is_refuted() -> None:
    assert {each.answer.verdict for each in findings(CAMPAIGN, list(planted(0.0)))} == {"refuted"}


def test_missing_replicates_leave_it_open_and_missing_families_are_named() -> None:
    rows = list(planted(0.05, cohorts=2))
    assert {each.answer.verdict for each in findings(CAMPAIGN, rows)} == {OPEN}
    with pytest.raises(TableError, match="got 0 of nested and 108 of hmm; finish the campaign"):
        list(findings(CAMPAIGN, [row for row in rows if row["family"] != "nested"]))


def test_closed_form_correlations_of_a_replicate() -> None:
    x = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0], [3.0, 3.0, 1.0]])
    y = np.array([[1.0, 3.0, 1.0], [2.0, 2.0, 2.0], [3.0, 1.0, 3.0]])
    assert correlations(x, y).tolist() == pytest.approx([1.0, -1.0, 0.0])


def test_the_table_has_a_row_for_each_family_and_finding() -> None:
    text = markdown(CAMPAIGN, list(planted(0.05, cohorts=1)))
    assert text.count("| supported |") == 0
    assert text.count(f"| {OPEN} |") == 16
    assert all(f"| {family} |" in text for family in CAMPAIGN.families)
