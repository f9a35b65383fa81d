"""The excess loss against its definition as a difference, on all contexts and on a sample."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.verify.training.examples import EPS, small_language, small_network, stream
from verify.networks import Network
from verify.training import Reference, context_table, excess, excess_loss
from verify.training.excess import divergences, log_ratio_error

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
ALL = Reference.enumerated(TABLE)
EXACT = torch.zeros(2, dtype=torch.float64)


def losses(network: Network) -> Tensor:
    """Σ π Σ_y p* (log p* − log p_θ), member by member."""
    with torch.no_grad():
        log_prob = network.copy().double()(TABLE.contexts)
    difference = (TABLE.conditional * (TABLE.conditional.log() - log_prob)).sum(-1)
    total: Tensor = (TABLE.prob * difference).sum(-1)
    return total


def uniform() -> Network:
    """Two networks that guess: log p = −log 3 everywhere."""
    network = small_network(LANGUAGE, [0, 1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return network


@pytest.mark.parametrize("seeds", [2, [2, 3]])
def test_enumeration_is_loss_minus_floor(seeds: int | list[int]) -> None:
    network = small_network(LANGUAGE, seeds)
    found = excess_loss(network, ALL)
    expected = losses(network)
    assert found.estimate.shape == expected.shape == network.stack
    # A sum of at most 10³ rounded terms of order one.
    torch.testing.assert_close(found.estimate, expected, rtol=0, atol=1e4 * EPS)
    assert not bool(found.standard_error.any())
    assert next(network.parameters()).dtype == torch.float32, "the network is left as it is"


def test_closed_form_a_guess() -> None:
    found = excess_loss(uniform(), ALL)
    gap = TABLE.unigram_entropy - TABLE.entropy_floor
    expected = math.log(3) - TABLE.entropy_floor
    torch.testing.assert_close(found.estimate, torch.full((2,), expected, dtype=torch.float64), rtol=0, atol=1e3 * EPS)
    assert abs(ALL.entropy_floor - LANGUAGE.entropy_floor()) <= 1e3 * EPS
    assert abs(ALL.learnable_gap - gap) <= 1e3 * EPS


def test_property_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small_network(LANGUAGE, [2, 3])
    whole = excess_loss(network, ALL).estimate
    monkeypatch.setattr(excess, "CHUNK_ENTRIES", 2 * 4 * 4 * 7)
    torch.testing.assert_close(excess_loss(network, ALL).estimate, whole, rtol=0, atol=1e3 * EPS)
    monkeypatch.setattr(excess, "CHUNK_ENTRIES", 1)
    torch.testing.assert_close(excess_loss(network, ALL).estimate, whole, rtol=0, atol=1e3 * EPS)


def test_property_a_sample_and_its_standard_error() -> None:
    n = 4000
    reference = Reference.sampled(LANGUAGE, n, stream(3))
    found = excess_loss(uniform(), reference)
    divergence = math.log(3) + torch.special.xlogy(reference.conditional, reference.conditional).sum(-1)
    naive = math.sqrt(float((divergence - divergence.mean()).square().sum()) / (n - 1) / n)
    torch.testing.assert_close(
        found.standard_error, torch.full((2,), naive, dtype=torch.float64), rtol=1e4 * EPS, atol=0
    )
    # KL(p* ‖ uniform) lies in [0, log 3]: Hoeffding, false alarm 1e-6.
    allowed = math.log(3) * math.sqrt(math.log(2e6) / (2 * n))
    assert abs(float(found.estimate[0]) - float(losses(uniform())[0])) <= allowed
    assert abs(reference.entropy_floor - TABLE.entropy_floor) <= allowed


def test_property_the_error_of_a_log_ratio_is_its_spread_over_samples_of_contexts() -> None:
    first, second = small_network(LANGUAGE, [0, 1]), small_network(LANGUAGE, [2, 3])
    assert log_ratio_error(divergences(first, ALL), divergences(second, ALL), ALL).equal(EXACT)
    ratios, errors = [], []
    for seed in range(400):
        reference = Reference.sampled(LANGUAGE, 200, stream(seed))
        one, other = (divergences(network, reference) for network in (first, second))
        assert log_ratio_error(one, one, reference).equal(EXACT)
        ratios.append((one.mean(-1) / other.mean(-1)).log())
        errors.append(log_ratio_error(one, other, reference))
    # The standard deviation of 400 nearly normal numbers has a relative standard error of 1/√800: five of them.
    spread = torch.stack(ratios).std(0) / torch.stack(errors).square().mean(0).sqrt()
    assert bool(((spread - 1).abs() < 5 / 800**0.5).all())


def test_errors() -> None:
    with pytest.raises(ValueError, match="expected n >= 2 contexts for an estimate with a standard error, got 1"):
        Reference.sampled(LANGUAGE, 1, stream(0))
