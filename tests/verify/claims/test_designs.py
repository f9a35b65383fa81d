"""Every declared design has the power it declares; computed, not sampled."""

import inspect

import pytest

from theory.claims import CLAIMS
from verify.claims import experiment
from verify.cohorts import SCALES
from verify.environment import PROFILES, Profile
from verify.trial import BUDGET, Design
from verify.trial.budget import SUITE_FALSE_ALARM


def declared(claim: str, profile: Profile) -> tuple[Design, ...]:
    """Return the designs of a profile, at every scale where the claim is about trained networks."""
    designs = experiment(CLAIMS[claim]).designs
    if "scale" not in inspect.signature(designs).parameters:
        return tuple(designs(profile))
    return tuple(design for scale in (None, *SCALES) for design in designs(profile, scale))


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
    assert sum(BUDGET.alpha(claim) for claim in CLAIMS) <= SUITE_FALSE_ALARM * (1 + 1e-12)
