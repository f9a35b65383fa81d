"""Enumeration of all signs: the estimate of tr F is unbiased, and so is its gradient; sampled labels are not."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from tests.verify.training.examples import EPS, small_language, small_network, stream
from verify.training import FlatParameters
from verify.training.trace_penalty import random_signs, trace_estimate

LANGUAGE = small_language(2)
CONTEXTS = LANGUAGE.enumerate_contexts().contexts[[1, 9, 20]]
N, C = 3, 2
ALL_SIGNS = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=N * C)), dtype=torch.float64).reshape(-1, N, C)
FLAT = FlatParameters(small_network(LANGUAGE, [0, 1]), torch.float64, "cpu")


def trace(weight: Callable[[Tensor], Tensor]) -> Tensor:
    """(1/n) Σ_i Σ_y weight(p_θ(y|x_i)) ‖∇ log p_θ(y|x_i)‖², one gradient at a time."""
    log_prob = FLAT.network(CONTEXTS)
    total = torch.zeros(2, dtype=torch.float64)
    for i, y in itertools.product(range(N), range(C)):
        parts = torch.autograd.grad(log_prob[:, i, y].sum(), FLAT.leaves, create_graph=True)
        square = torch.stack([part.reshape(2, -1).square().sum(1) for part in parts]).sum(0)
        total = total + weight(log_prob[:, i, y].exp()) * square / N
    return total


def estimate() -> Tensor:
    return trace_estimate(FLAT.network, FLAT.leaves, CONTEXTS, ALL_SIGNS.expand(2, -1, -1, -1))


def test_enumeration_value_and_gradient_are_unbiased() -> None:
    found, expected = estimate(), trace(lambda prob: prob)
    # Means of 64 numbers, each of at most 10⁴ roundings.
    torch.testing.assert_close(found, expected, rtol=1e5 * EPS, atol=0)
    slope = FLAT.gradient(expected.sum())
    bound = 1e6 * EPS * float(slope.abs().max())
    torch.testing.assert_close(FLAT.gradient(found.sum()), slope, rtol=0, atol=bound)


def test_mutant_labels_drawn_from_the_model_miss_a_part_of_the_gradient() -> None:
    """Their value is right; their law's dependence on θ is not differentiated."""
    drawn = trace(Tensor.detach)
    torch.testing.assert_close(drawn, estimate(), rtol=1e5 * EPS, atol=0)
    slope = FLAT.gradient(estimate().sum())
    assert float((FLAT.gradient(drawn.sum()) - slope).norm()) > 0.1 * float(slope.norm())


def test_property_the_members_of_a_stack_and_single_networks() -> None:
    signs = random_signs((2, N, C), [stream(0), stream(1)], torch.float64, torch.device("cpu"))
    both = trace_estimate(FLAT.network, FLAT.leaves, CONTEXTS, signs)
    for member in range(2):
        own = FlatParameters(FLAT.network.member(member), torch.float64, "cpu")
        alone = trace_estimate(own.network, own.leaves, CONTEXTS, signs[member : member + 1])
        torch.testing.assert_close(alone[0], both[member], rtol=1e5 * EPS, atol=0)


def test_property_signs_come_from_their_own_stream() -> None:
    signs = random_signs((50, 3), [stream(0), stream(1)], torch.float32, torch.device("cpu"))
    assert set(signs.flatten().tolist()) == {-1.0, 1.0}
    assert not torch.equal(signs[0], signs[1])
    (alone,) = random_signs((50, 3), [stream(1)], torch.float32, torch.device("cpu"))
    assert torch.equal(signs[1], alone)
