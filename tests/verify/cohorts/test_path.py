"""Matching: closed form on made-up paths."""

import math

import pytest
import torch

from verify.cohorts.path import Path, match
from verify.networks import Transformer, TransformerConfig

TEMPLATE = Transformer(TransformerConfig(3, 2, width=2, layers=1, heads=1), (2,))
SIZE = TEMPLATE.n_parameters()


def path(excess: list[list[float]]) -> Path:
    """Checkpoint k has all parameters k."""
    table = torch.tensor(excess, dtype=torch.float64)
    theta = torch.arange(len(excess), dtype=torch.float32)[:, None, None].expand(-1, 2, SIZE)
    return Path(TEMPLATE, tuple(range(len(excess))), theta, table)


def test_the_level_is_what_the_worst_condition_reaches_and_every_condition_stops_at_its_first_checkpoint_there() -> (
    None
):
    slow, fast = path([[9.0, 9.0], [3.5, 4.0], [3.0, 4.5]]), path([[8.0, 1.0], [2.9, 0.5], [1.0, 0.1]])
    first, second = match([slow, fast])
    # Levels: max(3, 1) = 3 and max(4, 0.1) = 4; at a level of 4 for both members the first would stop at 3.5.
    assert first.checkpoint.tolist() == [2, 1]
    assert first.excess.tolist() == [3.0, 4.0]
    assert second.checkpoint.tolist() == [1, 0]
    assert second.excess.tolist() == [2.9, 1.0]
    assert first.network.get_parameter("token")[:, 0, 0].tolist() == [2.0, 1.0]


def test_a_condition_matches_itself_exactly() -> None:
    own = path([[3.0, 3.0], [1.0, 2.0]])
    first, second = match([own, own])
    assert first.excess.equal(second.excess)
    assert first.checkpoint.equal(second.checkpoint)


def test_a_point_is_one_checkpoint_of_all_members() -> None:
    found = path([[3.0, 3.5], [1.0, 2.0]]).point(1)
    assert found.excess.tolist() == [1.0, 2.0]
    assert found.checkpoint.tolist() == [1, 1]
    assert found.network.get_parameter("token")[:, 0, 0].tolist() == [1.0, 1.0]


def test_one_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two conditions"):
        match([path([[1.0, 1.0]])])


def test_an_excess_that_is_not_finite_is_refused_with_its_condition_and_member() -> None:
    with pytest.raises(ValueError, match=r"condition 1 for members \[0\]"):
        match([path([[1.0, 1.0]]), path([[math.nan, 1.0]])])


def test_a_level_that_is_never_reached_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"members \[1\]"):
        path([[1.0, 1.0]]).at(torch.tensor([2.0, 0.5], dtype=torch.float64))
