"""Rank correlations inside units: what the covariate takes away, and what dealing at random leaves."""

import numpy as np
import torch

from verify.association import spearman
from verify.cohorts.ranks import correlations, dealt


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


def test_measures_dealt_at_random_keep_no_correlation() -> None:
    first, second, excess = tables(100)
    assert float(correlations(first, second, excess).mean()) > 0.4
    left = dealt(first, second, excess, np.random.default_rng(0), deals=4)
    # A deal has variance 1/(arms − 2) for ten arms given one covariate: six standard errors of 400 of them.
    assert abs(float(left.mean())) < 6 / (8 * 400) ** 0.5
