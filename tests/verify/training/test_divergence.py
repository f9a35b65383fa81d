"""Enumeration: a member diverges, and nobody else notices."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from tests.verify.training.examples import assert_same_tensors
from tests.verify.training.trainers import PLAIN, trainer
from verify.training import SGD, AdamW, AllDivergedError


@pytest.mark.parametrize(("rate", "optimiser"), [(1e3, SGD()), (1e30, SGD(0.9)), (1e30, AdamW())])
def test_enumeration_one_member_diverges(rate: float, optimiser: SGD | AdamW) -> None:
    config = replace(PLAIN, optimiser=optimiser)
    sane, mad = (trainer(replace(config, rate=(0.1, middle, 0.1))) for middle in (0.1, rate))
    sane.run(10)
    mad.run(10)
    assert sane.divergences == ()
    (end,) = mad.divergences
    assert mad.alive.tolist() == [True, False, True]
    assert (end.seed, end.member, end.bound) == (6, 1, 10 * math.log(3))
    assert not end.loss <= end.bound
    assert torch.equal(mad.theta[[0, 2]], sane.theta[[0, 2]])
    assert torch.equal(mad.curve[:, [0, 2]], sane.curve[:, [0, 2]])
    # The last good parameters: those of a run that ended there.
    short = trainer(replace(config, rate=(0.1, rate, 0.1)))
    short.run(end.step - 1)
    kept = short.theta if end.step > 1 else trainer(config).theta
    assert torch.equal(mad.theta[1], kept[1])
    assert torch.isnan(mad.curve[end.step // 4 :, 1]).all()
    assert f"seed 6 (member 1) diverged at step {end.step}: loss" in str(end)
    assert f"the parameters of step {end.step - 1} are kept" in str(end)


def test_divergence_is_seen_at_once_and_survives_a_restart() -> None:
    mad = trainer(replace(PLAIN, rate=(0.1, 1e3, 0.1), record_every=100))
    mad.run(5)
    (end,) = mad.divergences
    other = trainer(mad.config)
    other.restore(*mad.state())
    assert other.divergences == (end,)
    mad.run(9)
    other.run(9)
    assert_same_tensors(other.state()[0], mad.state()[0])


@pytest.mark.parametrize("record_every", [2, 100])
def test_all_diverged(record_every: int) -> None:
    start = trainer()
    lost = trainer(replace(PLAIN, record_every=record_every))
    lost._bound = 1e-6
    with pytest.raises(AllDivergedError, match=r"seed 5 .* at step 0: .*seed 7 .*step 0 are kept; lower the learning"):
        lost.run(10)
    assert lost.step == min(record_every, 10)
    assert torch.equal(lost.theta, start.theta)
