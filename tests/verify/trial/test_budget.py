"""The union bound over the registry."""

import math

import pytest

from verify.trial.budget import SUITE_FALSE_ALARM, Budget, budget


def test_closed_form_budget() -> None:
    assert SUITE_FALSE_ALARM == 1e-3
    assert budget(10) == pytest.approx(1e-4, rel=1e-15)
    claims = Budget(("plateau", "slow-flow", "transfer-pairs"))
    assert claims.alpha("plateau") == budget(3)
    assert claims.alpha("plateau", designs=2) == budget(3) / 2


def test_property_union_bound_is_spent_exactly() -> None:
    claims = Budget(tuple(f"claim-{i}" for i in range(7)))
    spent = math.fsum(claims.alpha(claim, designs=3) for claim in claims.claims for _ in range(3))
    assert spent == pytest.approx(SUITE_FALSE_ALARM, rel=1e-14)


def test_error_paths() -> None:
    with pytest.raises(ValueError, match="expected n_claims ≥ 1, got 0"):
        budget(0)
    for claims in ((), ("a", "a")):
        with pytest.raises(ValueError, match="expected distinct claim ids"):
            Budget(claims)
    with pytest.raises(ValueError, match="expected a registered claim, got 'c'; valid ids: a, b"):
        Budget(("a", "b")).alpha("c")
    with pytest.raises(ValueError, match="expected designs ≥ 1, got 0"):
        Budget(("a", "b")).alpha("a", designs=0)
