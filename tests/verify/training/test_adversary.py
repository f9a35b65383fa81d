"""The adversary's head against ridge regression written out, and its gradient by finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from synthetic import PAD
from synthetic.closed_form import BracketLanguage
from tests.verify.training.examples import EPS, central_difference, stream
from verify.training.adversary import concatenated, task_draw, validation_loss

FITTED, RIDGE = 12, 0.05


def drawn(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = stream(seed)
    features = torch.randn(2, 20, 5, generator=generator, dtype=torch.float64)
    classes = torch.randint(3, (2, 20), generator=generator)
    return features, torch.nn.functional.one_hot(classes, 3).double()


def primal(features: Tensor, one_hot: Tensor) -> Tensor:
    """Minimise ‖Y − Φ W‖² + μ‖W‖² on centred A by its normal equation; relative loss on B."""
    a, b, y, z = features[:FITTED], features[FITTED:], one_hot[:FITTED], one_hot[FITTED:]
    a, b, y, z = a - a.mean(0), b - a.mean(0), y - y.mean(0), z - y.mean(0)
    penalty = RIDGE * a.square().sum()
    weight = torch.linalg.inv(a.mT @ a + penalty * torch.eye(5, dtype=torch.float64)) @ a.mT @ y
    loss: Tensor = (b @ weight - z).square().sum() / z.square().sum()
    return loss


def test_closed_form_the_dual_head_is_ridge_regression() -> None:
    features, one_hot = drawn()
    found = validation_loss(features, one_hot, FITTED, RIDGE)
    expected = torch.stack([primal(*member) for member in zip(features, one_hot, strict=True)])
    # Solutions of equations of condition number 1 + 1/ridge at most, with sums of at most 20 terms.
    torch.testing.assert_close(found, expected, rtol=1e3 * (1 + 1 / RIDGE) * EPS, atol=0)


def test_closed_form_extremes() -> None:
    features, one_hot = drawn()
    constant = features[:, :1].expand_as(features)
    assert torch.equal(validation_loss(constant, one_hot, FITTED, RIDGE), torch.ones(2, dtype=torch.float64))
    equal = one_hot[:, :1].expand_as(one_hot)
    assert not bool(validation_loss(features, equal, FITTED, RIDGE).any())
    shift, scale = torch.full((5,), 3.0, dtype=torch.float64), 7.0
    # The relative penalty makes units and origins indifferent.
    moved = validation_loss(scale * features + shift, one_hot, FITTED, RIDGE)
    expected = validation_loss(features, one_hot, FITTED, RIDGE)
    torch.testing.assert_close(moved, expected, rtol=1e3 * (1 + 1 / RIDGE) * EPS, atol=0)


def test_property_features_that_say_the_label_leave_little_and_a_misled_head_more_than_one() -> None:
    _, one_hot = drawn()
    assert bool((validation_loss(one_hot, one_hot, FITTED, 1e-6) < 1e-9).all())
    wrong = one_hot.clone()
    wrong[:, FITTED:] = one_hot[:, FITTED:].roll(1, -1)
    assert bool((validation_loss(wrong, one_hot, FITTED, 1e-6) > 1).all())


def test_finite_difference_of_the_head() -> None:
    features, one_hot = drawn()
    features.requires_grad_(True)
    direction = torch.randn(features.shape, generator=stream(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(validation_loss(features, one_hot, FITTED, RIDGE).sum(), features)
    slope = float((gradient * direction).sum())

    def along(t: float) -> float:
        with torch.no_grad():
            return float(validation_loss(features + t * direction, one_hot, FITTED, RIDGE).sum())

    estimate, error = central_difference(along, 1e-4, 1e3 * (1 + 1 / RIDGE))
    assert error < 1e-4 * abs(slope)
    assert abs(estimate - slope) <= error


def test_finite_difference_is_finite_without_spread() -> None:
    _, one_hot = drawn()
    constant = torch.ones(2, 20, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(validation_loss(constant, one_hot, FITTED, RIDGE).sum(), constant)
    assert not bool(gradient.any())


def test_enumeration_states_side_by_side() -> None:
    states = torch.randn(2, 3, 4, 5, generator=stream(0))
    inputs = torch.tensor([[0, 1, 1, 0], [1, PAD, PAD, PAD], [0, 0, 1, PAD]]).expand(2, 3, 4)
    beside = concatenated(states, inputs)
    for row, length in enumerate([4, 1, 3]):
        assert torch.equal(beside[:, row, : 5 * length], states[:, row, :length].flatten(-2))
        assert not bool(beside[:, row, 5 * length :].any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_enumeration_labels_in_one_hot_code(dtype: torch.dtype) -> None:
    language = BracketLanguage(6)
    for task in language.downstream.values():
        inputs, one_hot = task_draw(task, dtype)(40, stream(2))
        assert one_hot.dtype == dtype
        assert bool((one_hot.sum(-1) == 1).all())
        values = torch.tensor(task.label_values, dtype=torch.float64)
        assert torch.equal(values[one_hot.argmax(-1)], task.label(inputs))
