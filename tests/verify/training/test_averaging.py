"""Averages against the naive weighted sum of what they should remember."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.verify.training.examples import EPS, small_language, small_network, stream
from verify.training.averaging import Averaging
from verify.training.config import Precision, Training
from verify.training.trainer import Every, Trainer

STEPS = 40
EVERYONE = torch.ones(2, dtype=torch.bool)


def naive(averaging: Averaging, history: Tensor) -> Tensor:
    """Uniform over the first N = ⌈1/(1 − decay)⌉ that count; then older weights shrink by `decay` at each new one."""
    counted = history[averaging.start :: averaging.every].double()
    horizon = len(counted) if averaging.decay == 1 else min(math.ceil(1 / (1 - averaging.decay)), len(counted))
    weight = torch.full((horizon,), 1 / horizon, dtype=torch.float64)
    for _ in range(len(counted) - horizon):
        weight = torch.cat([weight * averaging.decay, torch.tensor([1 - averaging.decay], dtype=torch.float64)])
    assert abs(float(weight.sum()) - 1) <= STEPS * EPS
    return (weight[:, None, None] * counted).sum(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "averaging",
    [
        Averaging(),
        Averaging(start=13),
        Averaging(start=3, every=5),
        Averaging(decay=0.75),
        Averaging(start=2, every=3, decay=0.5),
        Averaging(decay=0.0),
    ],
)
def test_enumeration_every_kind(averaging: Averaging, dtype: torch.dtype) -> None:
    history = torch.randn(STEPS, 2, 7, generator=stream(0), dtype=dtype)
    average = history[0].to(torch.float64, copy=True)
    for step, theta in enumerate(history):
        averaging.update(average, theta, step, EVERYONE)
    bound = 4 * STEPS * EPS * float(history.abs().max())
    torch.testing.assert_close(average, naive(averaging, history), rtol=0, atol=bound)


def test_property_the_dead_are_not_averaged() -> None:
    history = torch.randn(STEPS, 2, 7, generator=stream(0))
    average, other = history[0].double(), history[0].double()
    for step, theta in enumerate(history):
        Averaging().update(average, theta, step, EVERYONE)
        Averaging().update(other, theta, step, torch.tensor([True, step < 10]))
    assert torch.equal(other[0], average[0])
    torch.testing.assert_close(other[1], history[:10, 1].double().mean(0), rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("start", [0, 4])
def test_closed_form_the_trainer_averages_what_it_has_measured(start: int, precision: Precision) -> None:
    language, seeds = small_language(), [0, 1]
    config = Training(0.1, 8, average=Averaging(start), precision=precision)
    trainer = Trainer(small_network(language, seeds), language, config, seeds)
    history: list[Tensor] = []

    def look(current: Trainer) -> None:
        expected = torch.stack(history[start:]).mean(0) if len(history) > start else current.theta.double()
        bound = 40 * EPS * float(expected.abs().max())
        torch.testing.assert_close(current.average, expected, rtol=0, atol=bound)
        own = torch.cat([p.detach().reshape(2, -1) for p in current.snapshot(averaged=True).parameters()], 1)
        assert torch.equal(own, current.average)
        history.append(current.theta.to(torch.float64, copy=True))

    trainer.run(9, [Every(1, look)])
    assert len(history) == 10


@pytest.mark.parametrize("values", [{"start": -1}, {"every": 0}, {"decay": 1.5}, {"decay": math.nan}])
def test_averages_that_cannot_be_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected start >= 0, every >= 1"):
        Averaging(**values)  # type: ignore[arg-type]  # int and float together
