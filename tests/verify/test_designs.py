"""Every declared design has the power it declares; computed, not sampled."""

import importlib

import pytest

from theory.claims import CLAIMS
from verify.budget import SUITE_FALSE_ALARM
from verify.design import Design
from verify.trial import BUDGET, PROFILES, Profile


def declared(claim: str, profile: Profile) -> tuple[Design, ...]:
    module = importlib.import_module(f"verify.test_{claim.replace('-', '_')}")
    found: tuple[Design, ...] = module.designs(profile)
    return found


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
        assert sum(design.alpha for design in declared(claim, profile)) <= BUDGET.alpha(claim) * (1 + 1e-12)


def test_the_shares_add_up_to_the_suite() -> None:
    assert sum(BUDGET.alpha(claim) for claim in CLAIMS) <= SUITE_FALSE_ALARM * (1 + 1e-12)
