"""Rank correlations inside replicates: what the covariate takes away, and what dealing at random leaves."""

import numpy as np
import pytest
import torch

from verify.cohorts.ranks import correlations, dealt, mean_where_defined, pooled, reliability, without_ranks
from verify.statistics import spearman


def tables(members: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second, excess = torch.randn(3, 10, members, generator=generator, dtype=torch.float64)
    return first, first + second, excess


def test_cross_library_one_correlation_per_unit_given_the_excess() -> None:
    first, second, excess = tables(4)
    found = correlations(first, second, excess)
    for unit in range(4):
        assert float(found[unit]) == spearman(*(each[:, unit].numpy() for each in (first, second, excess)))


def test_property_a_monotone_measure_has_correlation_one_and_does_not_care_for_its_scale() -> None:
    first, second, excess = tables(4)
    assert torch.allclose(correlations(first, first.exp(), excess), torch.ones(4, dtype=torch.float64), rtol=1e-12)
    assert correlations(first.exp(), second, excess).equal(correlations(first, second, excess))


def test_a_unit_without_ranks_counts_as_zero_where_it_is_decided_and_is_left_out_of_what_is_only_shown() -> None:
    first, second, excess = tables(4)
    whole = correlations(first, second, excess)
    assert without_ranks(first, second, excess) == 0
    second[:, 2] = 1.0
    found = correlations(first, second, excess)
    assert found[[0, 1, 3]].equal(whole[[0, 1, 3]])
    assert found[2] == 0
    assert without_ranks(first, second, excess) == without_ranks(second, first, excess) == 1
    assert without_ranks(first, excess.exp(), excess) == 4  # nothing is left once the excess is given
    assert mean_where_defined(first, second, excess) == pytest.approx(float(whole[[0, 1, 3]].mean()), rel=1e-12)
    assert np.isnan(mean_where_defined(first, torch.ones_like(second), excess))
    with pytest.raises(ValueError, match="finite"):
        correlations(first, torch.full_like(second, np.nan), excess)


def test_unbiased_broken_ties_have_mean_zero() -> None:
    generator = torch.Generator().manual_seed(5)
    measure, excess = torch.randn(2, 10, 1, generator=generator, dtype=torch.float64).expand(2, 10, 4000)
    broken = torch.rand(10, 4000, generator=generator, dtype=torch.float64)
    # A ρ of ten conditions given one covariate has variance 1/(conditions − 2): six standard errors of 4000 of them.
    assert abs(float(correlations(measure, broken, excess).mean())) < 6 / (8 * 4000) ** 0.5


def test_unbiased_reliability_of_the_whole_is_the_correlation_of_two_wholes() -> None:
    generator = torch.Generator().manual_seed(3)
    truth = torch.randn(40, 400, generator=generator, dtype=torch.float64)
    halves = truth + torch.randn(4, 40, 400, generator=generator, dtype=torch.float64)
    excess = torch.randn(40, 400, generator=generator, dtype=torch.float64)
    wholes = halves[:2].mean(0), halves[2:].mean(0)
    # 400 replicates of 40 conditions: standard error 0.005; Spearman's ρ of normals is within 0.02 of Pearson's, which
    # Brown's formula is about.
    assert abs(reliability(halves[:2], excess) - float(correlations(*wholes, excess).mean())) < 0.04
    assert abs(reliability(halves[:2], excess) - 2 / 3) < 0.05


def test_pooled_ranks_are_given_the_excess_and_relative_to_the_unit() -> None:
    generator = torch.Generator().manual_seed(1)
    noise, excess = torch.randn(2, 10, 30, generator=generator, dtype=torch.float64)
    other = torch.randn(10, 30, generator=generator, dtype=torch.float64)
    levels = 5 * torch.randn(30, generator=generator, dtype=torch.float64)
    # Both follow the excess and the replicate's level, and nothing else: given these, no correlation is left.
    found = pooled(
        (excess + noise / 4 + levels).exp(), excess + other / 4 + levels, excess.exp(), np.random.default_rng(0)
    )
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.6
    assert spearman(*(each.flatten().numpy() for each in (excess + noise / 4, excess + other / 4))) > 0.8


def test_closed_form_whole_replicates_are_redrawn_for_pooled_ranks() -> None:
    """In each of 40 replicates ρ is 1 or −1, so that ρ of all has the standard error 1/√40 and not that of 400 runs."""
    first, _, excess = tables(40)
    signs = torch.tensor([1.0] * 20 + [-1.0] * 20, dtype=torch.float64)
    found = pooled(first.exp(), first * signs, excess.exp(), np.random.default_rng(0))
    assert found.low is not None
    assert found.high is not None
    # A quarter more or less: 1000 resamples know the width to 5%, and pooling weighs replicates by how they vary.
    assert found.high - found.low == pytest.approx(2 * 1.96 / 40**0.5, rel=0.25)


def test_measures_dealt_at_random_keep_no_correlation() -> None:
    first, second, excess = tables(100)
    assert float(correlations(first, second, excess).mean()) > 0.4
    left = dealt(first, second, excess, np.random.default_rng(0), deals=4)
    # A deal has variance 1/(conditions − 2) for ten conditions given one covariate: six standard errors of 400 of them.
    assert abs(float(left.mean())) < 6 / (8 * 400) ** 0.5
