"""Excess losses of SGD at some of its steps, summed, as work that can be interrupted, stored and resumed to the bit."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from verify.cohorts.phase import PIECE
from verify.runs.checkpointer import State
from verify.runs.failures import DivergedRunError
from verify.training.diverged import AllDivergedError
from verify.training.trainer import Trainer


class Rise:
    """A trainer's steps, with what is measured at some of them summed; `verify.runs.checkpointer.Work`.

    Args:
        trainer: at its beginning.
        steps: when to measure, rising from 1 or more; the last of them is the end.
        measure: excess losses of the trainer's networks.
        stopped: once set, the next piece is not begun.
    """

    def __init__(
        self, trainer: Trainer, steps: Sequence[int], measure: Callable[[Trainer], Tensor], stopped: threading.Event
    ) -> None:
        self.trainer = trainer
        self.steps = list(steps)
        self._measure = measure
        self._stopped = stopped
        self._total = torch.zeros((), dtype=torch.float64)

    def done(self) -> bool:
        """Whether all steps are made."""
        return self.trainer.step >= self.steps[-1]

    def advance(self) -> dict[str, Any]:
        """Make the next few steps, up to the next measurement at most.

        Raises:
            KeyboardInterrupt: the work was stopped.
            DivergedRunError: a member diverged.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        following = min(step for step in self.steps if step > self.trainer.step)
        with contextlib.suppress(AllDivergedError):  # the members tell how below
            self.trainer.run(min(self.trainer.step + PIECE, following))
        if self.trainer.divergences:
            raise DivergedRunError("; ".join(map(str, self.trainer.divergences[:3])))
        if self.trainer.step == following:
            self._total = self._total + self._measure(self.trainer)
        return {"progress": self.trainer.step / self.steps[-1]}

    def state(self) -> State:
        """Return the trainer's state and the sum so far."""
        tensors, meta = self.trainer.state()
        return tensors | {"total": self._total}, meta

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Go on where `state` was taken; errors as in `Trainer.restore`."""
        self.trainer.restore({name: value for name, value in tensors.items() if name != "total"}, meta)
        self._total = tensors["total"]

    def result(self) -> State:
        """Return the sum."""
        return {"excess": self._total}, {}
