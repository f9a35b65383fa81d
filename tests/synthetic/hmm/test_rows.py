"""Rows of probabilities, draws from them, stationary laws, and numbers with wide exponents."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.hmm.chains import StationaryError, stationary_law
from synthetic.hmm.rows import EPS, ProbabilityError, RowSampler, check_rows, normalise_rows
from synthetic.hmm.wide import Wide
from synthetic.testing.oracle import dkwm_half_width

ROWS = torch.tensor([[0.0, 0.25, 0.0, 0.75, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)


def test_closed_form_inversion_on_the_boundaries() -> None:
    sampler = RowSampler.of(ROWS)
    uniform = torch.tensor([0.0, 0.25 - EPS, 0.25, 1 - EPS / 2], dtype=torch.float64)
    assert sampler.draw(torch.zeros(4, dtype=torch.int64), uniform).tolist() == [1, 1, 3, 3]
    assert sampler.draw(torch.ones(4, dtype=torch.int64), uniform).tolist() == [2, 2, 2, 2]


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 1e-17, 1e-300, 7.0]), min_size=1, max_size=9).filter(any))
@settings(max_examples=60, deadline=None)
def test_property_no_uniform_number_draws_an_impossible_outcome(weights: list[float]) -> None:
    row = normalise_rows("row", torch.tensor([weights], dtype=torch.float64))
    cumulative = row.cumsum(1)[0]
    uniform = torch.cat([cumulative, cumulative - EPS, torch.linspace(0, 1, 50, dtype=torch.float64)])
    drawn = RowSampler.of(row).draw(torch.zeros(len(uniform), dtype=torch.int64), uniform.clamp(0, 1 - EPS / 2))
    assert (row[0, drawn] > 0).all()


def test_frequencies_lie_in_the_dkwm_band() -> None:
    n, row = 20_000, normalise_rows("row", torch.arange(7.0, dtype=torch.float64)[None])
    uniform = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = RowSampler.of(row).draw(torch.zeros(n, dtype=torch.int64), uniform)
    gap = (torch.bincount(drawn, minlength=7) / n - row[0]).cumsum(0).abs().max()
    assert float(gap) <= dkwm_half_width(n, 1e-6)


def test_rounding_is_no_error_and_anything_else_is() -> None:
    check_rows("rows", torch.full((1, 49), 1 / 49, dtype=torch.float64))
    with pytest.raises(ProbabilityError, match=r"got 1, off by \+1e-10, in row 1; .*normalised"):
        check_rows("rows", torch.tensor([[0.5, 0.5], [0.5, 0.5 + 1e-10]], dtype=torch.float64))
    for bad in (-0.5, float("nan"), float("inf")):
        with pytest.raises(ProbabilityError, match="expected finite entries >= 0 in rows"):
            normalise_rows("rows", torch.tensor([[1.0, bad]]))
    with pytest.raises(ProbabilityError, match="got inf in row 0; give the row a positive entry, and rescale"):
        normalise_rows("rows", torch.tensor([[1e308, 1e308]], dtype=torch.float64))


def test_closed_form_stationary_law_of_a_birth_and_death_chain() -> None:
    # Detailed balance: π(s+1)/π(s) = up/down, here 1e-30 per step, far beyond absolute precision.
    transition = torch.diag(torch.full((4,), 1e-30, dtype=torch.float64), 1)
    transition += torch.diag(torch.full((4,), 0.5, dtype=torch.float64), -1)
    transition += torch.diag(1 - transition.sum(1))
    law = stationary_law(transition)
    torch.testing.assert_close(law[1:] / law[:-1], torch.full((4,), 2e-30, dtype=torch.float64), rtol=1e-14, atol=0.0)


def test_transient_states_get_no_mass_and_two_closed_classes_are_refused() -> None:
    transition = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.2, 0.8], [0.0, 0.4, 0.6]], dtype=torch.float64)
    assert stationary_law(transition).tolist() == pytest.approx([0.0, 1 / 3, 2 / 3], rel=1e-14)
    with pytest.raises(StationaryError, match="expected a chain with one closed class of states, got 2"):
        stationary_law(torch.eye(2, dtype=torch.float64))


NUMBERS = st.lists(st.sampled_from([0.0, 1.0, 0.3, 7.5, 1e-300, 1e-200, 3e-150]), min_size=3, max_size=3)


@given(NUMBERS, NUMBERS, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_enumeration_wide_numbers_agree_with_fractions(left: list[float], right: list[float], power: int) -> None:
    a, b = (Wide.of(torch.tensor(row, dtype=torch.float64)) for row in (left, right))
    product, exact = a, [Fraction(x) for x in left]
    for _ in range(power):
        product, exact = product * b, [x * Fraction(y) for x, y in zip(exact, right, strict=True)]
    total = sum(exact, Fraction(0))
    summed = product.sum(0)
    assert (float(summed.mantissa) == 0) == (total == 0)
    if total:
        gap = Fraction(float(summed.mantissa)) * Fraction(2) ** int(summed.exponent) / total - 1
        assert abs(gap) <= 8 * EPS
        ratios = [float(x / total) for x in exact]
        assert product.ratio(summed).tolist() == pytest.approx(ratios, rel=16 * EPS, abs=1e-307)
