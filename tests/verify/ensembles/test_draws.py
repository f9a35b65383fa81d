"""The random streams: known answers, frequencies, and what they do not depend on."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from verify.ensembles.arithmetic import fill
from verify.ensembles.draws import NORMALS, SAMPLES, DrawTables, normals, philox, seed_words
from verify.models import BracketModel, PairModel

LEVEL = 1e-4
"""False-alarm rate of each frequency test; the seeds are fixed, so a pass stays a pass."""


def words_at(counter: int, replicas: int, seed: int, purpose: int = SAMPLES) -> list[list[int]]:
    words = philox(torch.tensor([[counter]]), torch.arange(replicas), purpose, seed)
    return [word[0].tolist() for word in words]


def test_philox_known_answers() -> None:
    """Vectors for Philox4x32-10 published with the authors' Random123 library."""
    zero = philox(torch.tensor([[0]]), torch.tensor([0]), 0, 0)
    assert [int(w) for w in zero] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = philox(torch.tensor([[-1]]), torch.tensor([0xFFFFFFFF]), 0xFFFFFFFF, 2**64 - 1)
    assert [int(w) for w in ones] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_compiled_words_equal_torch_words() -> None:
    seed, first, replica = 0x1234567890ABCDEF, 2**32 - 3, 48
    words = np.zeros((6, 4, 16), dtype=np.uint32)
    low, high = (np.uint64(word) for word in seed_words(seed))
    fill(words, first, 6, replica, low, high)
    counter = torch.arange(first, first + 6).unsqueeze(-1)
    expected = torch.stack(philox(counter, torch.arange(replica, replica + 16), SAMPLES, seed), dim=1)
    assert np.array_equal(words.astype(np.int64), expected.numpy())


def test_purposes_and_seeds_give_other_words() -> None:
    streams = [words_at(5, 4, seed, purpose) for seed in (0, 1, 2**32) for purpose in (SAMPLES, NORMALS)]
    for one, other in itertools.combinations(streams, 2):
        assert one != other


def draw(tables: DrawTables, replicas: int, calls: int, seed: int) -> tuple[Tensor, Tensor]:
    words = torch.stack(philox(torch.arange(calls).unsqueeze(-1), torch.arange(replicas), SAMPLES, seed))
    context = tables.choose_contexts(words[0::2])
    return context, tables.choose_labels(context, words[1::2])


def joint_p_value(observed: Tensor, prob: Tensor) -> float:
    count = torch.bincount(observed.flatten(), minlength=prob.numel()).double()
    return float(stats.chisquare(count.numpy(), (prob.flatten() * observed.numel()).numpy()).pvalue)


@pytest.mark.parametrize("uniform", [True, False])
def test_joint_frequencies_of_contexts_and_labels(uniform: bool) -> None:
    model = BracketModel(4, 1, 1.2)
    if not uniform:
        model.context_prob = torch.softmax(model.contexts[:, 0] + 0.3 * model.contexts[:, 1], 0)
    tables = DrawTables(model, model.conditional)
    assert (len(tables.cumulative) == 0) is uniform
    context, label = draw(tables, 200, 500, 7)
    joint = model.context_prob.unsqueeze(-1) * model.conditional
    assert joint_p_value(2 * context + label, joint / joint.sum()) > LEVEL
    # and the test can fail: the joint law of a slightly different noise
    other = model.context_prob.unsqueeze(-1) * BracketModel(4, 1, 1.15).conditional
    assert joint_p_value(2 * context + label, other / other.sum()) < LEVEL


def test_frequencies_of_three_tokens() -> None:
    model = PairModel(2, 1, 1.0)
    conditional = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.25, 0.75]]).double()
    context, label = draw(DrawTables(model, conditional), 100, 500, 8)
    possible = conditional.flatten() > 0
    count = torch.bincount((3 * context + label).flatten(), minlength=12)
    assert not count[~possible].any()
    expected = (conditional.flatten() / 4)[possible] * context.numel()
    assert float(stats.chisquare(count[possible].numpy(), expected.numpy()).pvalue) > LEVEL


def test_replicas_and_steps_are_uncorrelated() -> None:
    tables = DrawTables(PairModel(4, 1, 0.0), PairModel(4, 1, 0.0).conditional)
    context, label = draw(tables, 64, 2000, 9)
    bits = torch.cat([label, context % 2, context // 8]).flatten(0, 1).double() * 2 - 1
    n, replicas = bits.shape
    for pairs in (bits.T @ bits / n, (bits[1:].T @ bits[:-1]) / (n - 1)):
        entries = pairs[~torch.eye(replicas, dtype=torch.bool)]
        # each entry is a mean of n signs; the largest of 64·63 against its union bound at LEVEL
        bound = stats.norm.isf(LEVEL / 2 / len(entries)) / n**0.5
        assert float(entries.abs().max()) < bound


def test_normals_are_standard_and_of_any_number() -> None:
    replica = torch.arange(3000)
    draws = torch.stack([normals(step, 7, replica, 11, torch.float64) for step in range(5)])
    assert draws.shape == (5, 3000, 7)
    assert stats.kstest(draws.flatten().numpy(), "norm").pvalue > LEVEL
    correlation = torch.corrcoef(draws.permute(0, 2, 1).flatten(0, 1)) - torch.eye(35)
    assert float(correlation.abs().max()) < stats.norm.isf(LEVEL / 2 / (35 * 34)) / 3000**0.5
    assert torch.equal(normals(2, 7, replica[100:], 11, torch.float64), draws[2, 100:])


def test_closed_form_normals_are_made_of_words_of_their_own_purpose() -> None:
    """Box and Muller, of the words that no context or label is drawn from."""
    uniform = (torch.tensor(words_at(5, 3, 11, NORMALS)).double() + 0.5) / 2**32
    polar = [torch.polar((-2 * uniform[k].log()).sqrt(), 2 * torch.pi * uniform[k + 1]) for k in (0, 2)]
    expected = torch.stack([polar[0].real, polar[1].real, polar[0].imag, polar[1].imag], 1)
    found = normals(5, 4, torch.arange(3), 11, torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=64 * torch.finfo(torch.float64).eps)


def test_probabilities_are_realised_to_32_bits() -> None:
    model = PairModel(2, 1, 20.0)
    tables = DrawTables(model, model.conditional)
    realised = 1 - tables.thresholds[:, 0].double() / 2**32
    assert float((realised - model.conditional[:, 1]).abs().max()) <= 2.0**-33


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match=re.escape(f"expected a seed from 0 to 2**64 - 1, got {seed}")):
        seed_words(seed)
