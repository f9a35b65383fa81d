"""Enumeration of all labels: what is drawn, what is exact, and what is isotropic."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.verify.training.examples import EPS, small_language, small_network, stream
from verify.training import FlatParameters
from verify.training.data import Batch
from verify.training.labels import Labels, isotropic_direction, label_gradient

LANGUAGE = small_language()
CHOSEN = torch.tensor([[5, 40], [77, 8]])
CONTEXTS = LANGUAGE.enumerate_contexts().contexts[CHOSEN]
CONDITIONAL = LANGUAGE.masked_conditional(CONTEXTS.flatten(0, 1)).reshape(2, 2, 3)
FLAT = FlatParameters(small_network(LANGUAGE, [0, 1]), torch.float64, "cpu")


def gradient(labels: Labels, targets: Tensor, noise: int = 0) -> tuple[Tensor, Tensor]:
    """Loss and gradient of two members, each on two contexts of its own."""
    batch = Batch(CONTEXTS, targets, CONDITIONAL)
    generators = [stream(noise), stream(noise + 1)]
    return label_gradient(labels, FLAT, FLAT.network(CONTEXTS), batch, generators)


def test_enumeration_soft_labels_are_the_mean_over_drawn_labels() -> None:
    loss, slope = gradient("soft", torch.zeros(2, 2, dtype=torch.int64))
    mean_loss, mean_slope, square = torch.zeros_like(loss), torch.zeros_like(slope), torch.zeros_like(loss)
    for pair in itertools.product(range(3), repeat=2):
        targets = torch.tensor(pair).expand(2, 2)
        prob = CONDITIONAL.gather(-1, targets.unsqueeze(-1)).prod(1).squeeze(-1)
        drawn_loss, drawn_slope = gradient("sampled", targets)
        mean_loss += prob * drawn_loss
        mean_slope += prob[:, None] * drawn_slope
        square += prob * (drawn_slope - slope).square().sum(1)
    # Nine terms, each of at most a thousand roundings of numbers below the largest entry.
    assert bool(((mean_loss - loss).abs() <= 1e3 * EPS * loss).all())
    torch.testing.assert_close(mean_slope, slope, rtol=0, atol=1e4 * EPS * float(slope.abs().max()))
    assert bool((square > 0).all()), "labels make noise"


def test_closed_form_isotropic_noise_is_the_norm_of_label_noise_in_a_drawn_direction() -> None:
    targets = torch.tensor([[0, 2], [1, 1]])
    loss, soft = gradient("soft", targets)
    _, sampled = gradient("sampled", targets)
    found_loss, found = gradient("isotropic", targets, noise=7)
    assert torch.equal(found_loss, loss)
    norm = (sampled - soft).norm(dim=1, keepdim=True)
    expected = soft + norm * isotropic_direction(soft, [stream(7), stream(8)])
    # ‖g_sampled − g_soft‖ is taken of the gradient of the difference, which is the difference but for its rounding.
    bound = 1e4 * EPS * float(sampled.abs().max() + soft.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)
    torch.testing.assert_close((found - soft).norm(dim=1, keepdim=True), norm, rtol=0, atol=bound)


def test_property_directions_are_uniform() -> None:
    draws, size = 4000, 5
    like = torch.zeros(draws, size, dtype=torch.float64)
    direction = isotropic_direction(like, [stream(seed) for seed in range(draws)])
    # Rounding of a norm of 5 numbers.
    assert bool(((direction.square().sum(1) - 1).abs() <= 16 * EPS).all())
    # A coordinate of a uniform point of the sphere is sub-Gaussian with variance proxy 1/size; its square, and the
    # product of two, lie in an interval of length 1 (Hoeffding). Union over all 5 + 25 statements, false alarm 1e-6.
    alarm = 1e-6 / (size + size**2)
    assert float(direction.mean(0).abs().max()) <= math.sqrt(2 * math.log(2 / alarm) / (draws * size))
    second = direction.mT @ direction / draws
    allowed = math.sqrt(math.log(2 / alarm) / (2 * draws))
    assert float((second - torch.eye(size, dtype=torch.float64) / size).abs().max()) <= allowed
    assert allowed < 1 / size


def test_property_a_direction_belongs_to_its_member() -> None:
    like = torch.zeros(2, 6)
    both = isotropic_direction(like, [stream(3), stream(4)])
    assert torch.equal(both[1:], isotropic_direction(like[:1], [stream(4)]))


def test_mutant_noise_of_the_size_of_the_gradient_would_be_seen() -> None:
    targets = torch.tensor([[0, 2], [1, 1]])
    _, soft = gradient("soft", targets)
    _, sampled = gradient("sampled", targets)
    _, found = gradient("isotropic", targets)
    ratio = (found - soft).norm(dim=1) / sampled.norm(dim=1)
    assert bool(((ratio - 1).abs() > 0.01).all())


@pytest.mark.parametrize("labels", ["soft", "isotropic"])
def test_a_batch_without_the_conditional_is_refused(labels: Labels) -> None:
    batch = Batch(CONTEXTS, torch.zeros(2, 2, dtype=torch.int64), None)
    with pytest.raises(ValueError, match=f"expected a batch with p\\* for {labels} labels"):
        label_gradient(labels, FLAT, FLAT.network(CONTEXTS), batch, [])
