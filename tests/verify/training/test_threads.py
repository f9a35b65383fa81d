"""Training computes with one thread unless told, and leaves torch's own number as it was, however it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.verify.training.trainers import PLAIN, trainer
from verify.training import AllDivergedError
from verify.training.objective import Objective
from verify.training.threads import torch_threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """As outside pytest, where torch has as many as the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("told", "expected"), [({}, 1), ({"threads": 3}, 3), ({"threads": None}, 2)])
def test_a_step_computes_with_the_threads_it_was_told(
    told: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, step = [], Objective.__call__

    def counted(self: Objective) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(torch.get_num_threads())
        return step(self)

    monkeypatch.setattr(Objective, "__call__", counted)
    own = trainer(**told)
    own.run(3)
    assert seen == [expected] * 3
    assert torch.get_num_threads() == 2
    own.run(4)
    assert torch.get_num_threads() == 2


def test_a_training_that_ends_badly_leaves_torch_as_it_was() -> None:
    with pytest.raises(AllDivergedError):
        trainer(replace(PLAIN, rate=1e30)).run(64)
    assert torch.get_num_threads() == 2


def test_trainings_side_by_side_leave_torch_as_it_was() -> None:
    """The first to come is the first to go, while the others go on."""
    steps = threading.Barrier(2)
    inside: list[int] = []

    def first() -> None:
        with torch_threads(1):
            steps.wait()  # the first is inside
            steps.wait()  # so is the second
        steps.wait()  # the first is outside

    def second() -> None:
        steps.wait()
        with torch_threads(1):
            steps.wait()
            steps.wait()
            inside.append(torch.get_num_threads())

    workers = [threading.Thread(target=work) for work in (first, second)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert inside == [1]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [0, -1])
def test_error_no_thread(threads: int) -> None:
    with pytest.raises(ValueError, match=f"expected at least one thread, got {threads}; None leaves"):
        trainer(threads=threads)
