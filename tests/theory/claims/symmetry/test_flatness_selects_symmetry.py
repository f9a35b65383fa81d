"""The trace of permuted copies: by hand, and what the derivation rests on."""

from __future__ import annotations

import pytest

from theory.claims.symmetry.flatness_selects_symmetry import CLAIM


def test_closed_form_one_relu_unit_and_its_mirror_image() -> None:
    """Contexts (1, 2) and (2, 1) at even odds, f* = 0 (σ' = ¼): unit relu(x₁ + 3x₂) and head 0 are a minimiser."""
    trace = 0.25 * (7**2 + 5**2) / 2
    copies = 2 * 0.25 * (7**2 + 5**2) / 2 / 2  # two units at 2^{−1/2} times the weights: half the squares each
    assert CLAIM.predict(trace=trace, N=2, s=1 / 2) == pytest.approx(copies, rel=8 * 2.0**-52)
    squares = 0.25 * (7**4 + 5**4) / 2
    copies = 2 * squares * 2 ** (-4 / 3)  # weights at 2^{−1/3} times: fourth powers
    assert CLAIM.predict(trace=squares, N=2, s=1 / 3) == pytest.approx(copies, rel=8 * 2.0**-52)


@pytest.mark.parametrize("n", [1, 2, 24])
def test_closed_form_relu_copies_are_as_flat_and_higher_degrees_flatter(n: int) -> None:
    assert CLAIM.predict(trace=3.0, N=n, s=1 / 2) == 3.0
    assert (CLAIM.predict(trace=3.0, N=n, s=1 / 3) < 3.0) == (n > 1)
    assert (CLAIM.predict(trace=3.0, N=n, s=1 / 4) < CLAIM.predict(trace=3.0, N=n, s=1 / 3)) == (n > 1)


def test_every_hypothesis_holds_in_a_model_and_is_needed() -> None:
    derivation = CLAIM.derivation
    assert derivation.status == "derived"
    for step in derivation.hypotheses:
        held, fallen = derivation.models_of(step.name)
        assert len(held) == 3
        assert fallen
