"""The union bound over the registry."""

import math

import pytest

from verify.trial.budget import SUITE_FALSE_ALARM, Budget


def test_property_union_bound_is_spent_exactly() -> None:
    claims = Budget(tuple(f"claim-{i}" for i in range(7)))
    spent = math.fsum(claims.alpha(claim, designs=3) for claim in claims.claims for _ in range(3))
    assert spent == pytest.approx(SUITE_FALSE_ALARM, rel=1e-14)
    assert spent == pytest.approx(1e-3, rel=1e-14)
    assert Budget(("a", "b")).alpha("a") == 5e-4


def test_error_paths() -> None:
    for claims in ((), ("a", "a")):
        with pytest.raises(ValueError, match="expected distinct claim ids"):
            Budget(claims)
    with pytest.raises(ValueError, match="expected a registered claim, got 'c'; valid ids: a, b"):
        Budget(("a", "b")).alpha("c")
    with pytest.raises(ValueError, match="expected designs ≥ 1, got 0"):
        Budget(("a", "b")).alpha("a", designs=0)
