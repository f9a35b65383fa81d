"""Schedules against their closed forms, and against torch's cosine."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tests.verify.training.examples import reconsidered
from verify.training.schedules import Schedule

EPS = 2.0**-52


def test_closed_form_constant_with_warmup() -> None:
    assert [Schedule().factor(k) for k in (0, 1, 10**9)] == [1.0, 1.0, 1.0]
    assert [Schedule(warmup=4).factor(k) for k in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_closed_form_linear() -> None:
    schedule = Schedule("linear", warmup=2, hold=4, steps=8, final=0.5)
    assert [schedule.factor(k) for k in range(10)] == [0.5, 1, 1, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5]


def test_closed_form_cosine() -> None:
    hold, steps, final = 5, 25, 0.1
    schedule = Schedule("cosine", warmup=5, hold=hold, steps=steps, final=final)
    assert schedule.factor(hold) == 1
    assert schedule.factor(steps) == schedule.factor(10 * steps) == final
    for k in range(hold, steps + 1):
        # 1 + cos φ = 2 cos²(φ/2)
        form = final + (1 - final) * math.cos(math.pi * (k - hold) / (steps - hold) / 2) ** 2
        assert abs(schedule.factor(k) - form) <= 8 * EPS


def test_cross_library_cosine() -> None:
    steps, final, rate = 30, 0.2, 0.7
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=rate)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, rate * final)
    schedule = Schedule("cosine", steps=steps, final=final)
    for k in range(steps + 1):
        # torch's recursion multiplies by a ratio each step: a few roundings per step.
        assert abs(schedule.factor(k) * rate - float(reference.get_last_lr()[0])) <= 8 * (k + 1) * EPS
        optimiser.step()
        reference.step()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "steps"},
        {"warmup": -1},
        {"hold": 1},
        {"steps": 5},
        {"final": 0.5},
        {"kind": "linear"},
        {"kind": "linear", "warmup": 2, "hold": 1, "steps": 5},
        {"kind": "cosine", "hold": 5, "steps": 5},
        {"kind": "cosine", "steps": 5, "final": 1.5},
        {"kind": "cosine", "steps": 5, "final": math.nan},
    ],
)
def test_schedules_that_cannot_be_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        reconsidered(Schedule(), **values)
