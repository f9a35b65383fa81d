"""First crossings: which measurement they keep, and the hook that measures along training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.verify.training.examples import assert_same_tensors, small_language, small_network, stream
from verify.training.averaging import Averaging
from verify.training.config import Training
from verify.training.excess import Reference, excess_loss
from verify.training.matching import ExcessMonitor, FirstCrossing
from verify.training.tables import context_table
from verify.training.trainer import Every, Trainer

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
REFERENCE = Reference.enumerated(TABLE)
SEEDS = [0, 1]
TRAINING = Training(0.03, 16, prefetch=4)
TARGETS = (0.5, 0.25, 1e-9)


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def rows(step: int) -> Tensor:
    return torch.full((2, 3), float(step))


def observed() -> tuple[FirstCrossing, list[list[list[bool]]]]:
    """Member 0 crosses 0.5, rises, crosses both; member 1 is NaN for a while and never reaches 0.1."""
    crossing = FirstCrossing([0.5, 0.1], 2)
    measured = [values(0.9, math.nan), values(0.5, 0.7), values(0.8, math.inf), values(0.1, 0.4), values(0.05, 0.1001)]
    found = [crossing.observe(10 * k, excess, rows(10 * k)) for k, excess in enumerate(measured)]
    return crossing, [one.tolist() for one in found]


def test_enumeration_the_first_measured_crossing_is_kept() -> None:
    crossing, found = observed()
    none = [[False, False], [False, False]]
    assert found == [none, [[True, False], [False, False]], none, [[False, True], [True, False]], none]
    assert crossing.step.tolist() == [[10, 30], [30, -1]]
    assert crossing.excess[0].tolist() == [0.5, 0.4]
    assert crossing.excess[1, 0] == 0.1
    assert math.isnan(crossing.excess[1, 1])
    assert crossing.theta is not None
    assert crossing.theta[:, :, 0].nan_to_num(nan=-1).tolist() == [[10, 30], [30, -1]]
    assert not crossing.done
    crossing.observe(50, values(9.0, 0.0), rows(50))
    assert crossing.done


def test_property_state_and_back() -> None:
    crossing, _ = observed()
    other = FirstCrossing([0.5, 0.1], 2)
    empty = other.state()
    other.restore(crossing.state())
    assert_same_tensors(other.state(), crossing.state())
    with pytest.raises(ValueError, match="expected a step after 40, got 40; observe in order of training"):
        other.observe(40, values(0.0, 0.0), rows(40))
    crossing.observe(50, values(0.0, 0.0), rows(50))
    assert not other.done, "states are copies"
    other.restore(empty)
    assert other.theta is None
    other.observe(0, values(1.0, 1.0), rows(0))


def test_errors() -> None:
    for targets in ([], [0.0], [0.1, math.inf], [math.nan]):
        with pytest.raises(ValueError, match="expected positive, finite target excesses"):
            FirstCrossing(targets, 2)
    crossing, _ = observed()
    with pytest.raises(ValueError, match="expected a step after 40, got 35"):
        crossing.observe(35, values(0.0, 0.0), rows(35))
    with pytest.raises(ValueError, match="expected 2 members, got 1 excess losses and 1 rows"):
        crossing.observe(50, values(0.0), rows(50)[:1])
    for other in (FirstCrossing([0.5, 0.2], 2), FirstCrossing([0.5, 0.1], 3), FirstCrossing([0.5], 2)):
        with pytest.raises(ValueError, match="restore with the same targets and seeds"):
            other.restore(crossing.state())
    with pytest.raises(ValueError, match=r"at excess 0.1, got none for members \[1\]; train longer, raise the target"):
        crossing.network(small_network(LANGUAGE, SEEDS), 1)


@pytest.mark.parametrize("averaged", [False, True])
def test_enumeration_the_monitor_along_training(averaged: bool) -> None:
    network = small_network(LANGUAGE, SEEDS)
    config = replace(TRAINING, average=Averaging(decay=0.9) if averaged else None)
    monitor = ExcessMonitor(REFERENCE, TARGETS, 2)
    measured = []

    def look(trainer: Trainer) -> None:
        measured.append(excess_loss(trainer.snapshot(averaged=averaged), REFERENCE).estimate)

    trainer = Trainer(network, LANGUAGE, config, SEEDS, table=TABLE)
    trainer.run(60, [Every(5, monitor), Every(5, look)])
    assert monitor.steps == list(range(0, 61, 5))
    assert torch.equal(torch.stack(monitor.curve), torch.stack(measured))
    crossing = monitor.crossing
    assert crossing is not None
    assert crossing.crossed.all(1).tolist() == [True, True, False]
    for target in (0, 1):
        found = excess_loss(crossing.network(network, target), REFERENCE).estimate
        assert torch.equal(found, crossing.excess[target])
        for member in range(2):
            column = [float(one[member]) for one in measured]
            first = next(k for k, excess in enumerate(column) if excess <= TARGETS[target])
            assert int(crossing.step[target, member]) == monitor.steps[first]
            assert float(crossing.excess[target, member]) == column[first]


def test_property_a_monitor_resumes_with_its_trainer() -> None:
    def fresh() -> tuple[Trainer, ExcessMonitor]:
        network = small_network(LANGUAGE, SEEDS)
        return Trainer(network, LANGUAGE, TRAINING, SEEDS, table=TABLE), ExcessMonitor(REFERENCE, TARGETS, 2)

    whole, expected = fresh()
    whole.run(40, [Every(5, expected)])
    for saved in (0, 5, 12):
        first, early = fresh()
        # A checkpoint taken by a hook at step 0 comes after the measurement there.
        early(first)
        first.run(saved, [Every(5, early)])
        second, late = fresh()
        second.restore(*first.state())
        late.restore(*early.state())
        second.run(40, [Every(5, late)])
        assert late.steps == expected.steps
        assert_same_tensors(late.state()[0], expected.state()[0])


def test_a_monitor_without_targets_has_a_curve_alone() -> None:
    monitor = ExcessMonitor(Reference.sampled(LANGUAGE, 20, stream(0)))
    assert monitor.state() == ({}, {"steps": []})
    trainer = Trainer(small_network(LANGUAGE, 3), LANGUAGE, TRAINING, [3], table=TABLE)
    trainer.run(2, [Every(1, monitor)])
    assert monitor.crossing is None
    tensors, metadata = monitor.state()
    assert tensors["curve"].shape == (3, 1)
    other = ExcessMonitor(monitor.reference)
    other.restore(tensors, metadata)
    assert torch.equal(torch.stack(other.curve), tensors["curve"])
