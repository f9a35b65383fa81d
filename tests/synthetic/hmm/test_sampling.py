"""Rows of probabilities and draws from them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.hmm.checks import EPS, ProbabilityError, check_rows, normalise_rows
from synthetic.hmm.sampling import RowSampler
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
