"""Every declared design has the power it declares, computed and not sampled; its numbers are those of one table.

`python -m tests.verify.claims.test_designs` writes the table, `designs.tsv`, anew: review what has changed.
"""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from theory.claims import CLAIMS
from verify.claims import experiment
from verify.cohorts import SCALES
from verify.environment import PROFILES, Profile
from verify.trial import BUDGET, Design
from verify.trial.budget import SUITE_FALSE_ALARM

TABLE = Path(__file__).with_name("designs.tsv")
PINNED = (
    "side",
    "target",
    "delta",
    "delta_refute",
    "share of level",
    "power",
    "n",
    "instances",
    "systematic",
    "bound",
    "spread",
)
"""What of a design is decided before a run, all but its words. The level is told as a share of the claim's, which a
new claim lowers for all."""


def placed(claim: str, profile: Profile) -> Iterator[tuple[str, Design]]:
    """Give the designs of a profile, at every scale where the claim is about trained networks, and where each is."""
    designs = experiment(CLAIMS[claim]).designs
    if "scale" not in inspect.signature(designs).parameters:
        yield from ((profile, design) for design in designs(profile))
        return
    for scale in (None, *SCALES):
        yield from ((f"{profile}@{scale}" if scale else profile, design) for design in designs(profile, scale))


def declared(claim: str, profile: Profile) -> tuple[Design, ...]:
    return tuple(design for _, design in placed(claim, profile))


def line(claim: str, design: Design) -> str:
    """Return the numbers of a design, to six digits."""
    share = {"share of level": design.alpha / BUDGET.alpha(claim)}
    values = (share[name] if name in share else getattr(design, name) for name in PINNED)
    shown = (f"{value:.6g}" if isinstance(value, float) else str(value) for value in values)
    return "\t".join((claim, design.statistic, *shown))


def table() -> str:
    """Return a line for every design of the suite, with the profiles and scales at which it is that."""
    where: dict[str, list[str]] = {}
    for claim in sorted(CLAIMS):
        for profile in PROFILES:
            for place, design in placed(claim, profile):
                where.setdefault(line(claim, design), []).append(place)
    head = "\t".join(("claim", "statistic", *PINNED, "where"))
    return "\n".join((head, *(f"{own}\t{' '.join(places)}" for own, places in where.items()))) + "\n"


def test_targets_margins_and_levels_are_those_of_the_table() -> None:
    """Those of the claims in it: a new claim is in no table until it is written anew."""
    pinned = set(TABLE.read_text("utf-8").splitlines())
    claims = {own.partition("\t")[0] for own in pinned}
    found = {own for own in table().splitlines() if own.partition("\t")[0] in claims}
    changed = "\n".join([*(f"- {own}" for own in pinned - found), *(f"+ {own}" for own in found - pinned)])
    assert pinned == found, f"designs are no longer those of {TABLE.name}:\n{changed}\nsay why, and write it anew"


@pytest.mark.parametrize("name", PINNED)
def test_mutant_another_number_is_another_line(name: str) -> None:
    claim = "product-model"
    design = declared(claim, "default")[0]
    name = "alpha" if name == "share of level" else name
    value = getattr(design, name)
    other = replace(design)
    object.__setattr__(other, name, value * 1.001 if isinstance(value, float) else f"{value}0")
    if value == 0:
        object.__setattr__(other, name, 1e-9)
    assert line(claim, design) != line(claim, other)
    assert any(own.startswith(line(claim, design) + "\t") for own in TABLE.read_text("utf-8").splitlines())


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("claim", CLAIMS)
def test_n_gives_the_declared_power(claim: str, profile: Profile) -> None:
    designs = declared(claim, profile)
    assert designs
    for design in designs:
        design.check_power()
        assert design.claim == claim
        assert design.power >= 0.9
        assert len(design.justification.split()) >= 12


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_spends_no_more_than_its_share(claim: str) -> None:
    for profile in PROFILES:
        designs = declared(claim, profile)
        statistics = {design.statistic for design in designs}
        for design in designs:
            assert design.alpha * len(statistics) <= BUDGET.alpha(claim) * (1 + 1e-12)


def test_the_shares_add_up_to_the_suite() -> None:
    assert SUITE_FALSE_ALARM == 1e-3
    assert sum(BUDGET.alpha(claim) for claim in CLAIMS) <= SUITE_FALSE_ALARM * (1 + 1e-12)


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
