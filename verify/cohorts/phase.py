"""One phase of a condition, training or the anneal, as work that can be interrupted, stored and resumed to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from verify.runs.checkpointer import State
from verify.training.trainer import Every, Trainer

PIECE = 16
"""Steps between two looks at whether to stop or to save."""


class Phase:
    """A trainer's steps, with the parameters and excess losses at some of them; `verify.runs.checkpointer.Work`.

    Args:
        trainer: at its beginning.
        steps: how many to make.
        every: steps between two checkpoints that are kept, step 0 included; None keeps none.
        measure: excess losses of the trainer's networks, one per member.
        stopped: once set, the next piece is not begun.
    """

    def __init__(
        self,
        trainer: Trainer,
        steps: int,
        every: int | None,
        measure: Callable[[Trainer], Tensor],
        stopped: threading.Event,
    ) -> None:
        self.trainer = trainer
        self.steps = steps
        self._measure = measure
        self._stopped = stopped
        self._hooks = [] if every is None else [Every(every, self._keep)]
        self._kept: list[int] = []
        self._theta: list[Tensor] = []
        self._excess: list[Tensor] = []

    def _keep(self, trainer: Trainer) -> None:
        self._kept.append(trainer.step)
        self._theta.append(trainer.theta.detach().clone().cpu())
        self._excess.append(self._measure(trainer).cpu())

    def done(self) -> bool:
        """Whether all steps are made."""
        return self.trainer.step >= self.steps

    def advance(self) -> dict[str, Any]:
        """Make the next few steps.

        Raises:
            KeyboardInterrupt: the phase was stopped.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self.trainer.run(min(self.trainer.step + PIECE, self.steps), self._hooks)
        return {"progress": self.trainer.step / self.steps}

    def state(self) -> State:
        """Return the trainer's state and what was kept."""
        tensors, meta = self.trainer.state()
        return tensors | self._found(), {"trainer": meta, "kept": self._kept}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Go on where `state` was taken; errors as in `Trainer.restore`."""
        own = {name: value for name, value in tensors.items() if not name.startswith("kept.")}
        self.trainer.restore(own, meta["trainer"])
        self._kept = list(meta["kept"])
        self._theta = list(tensors["kept.theta"]) if self._kept else []
        self._excess = list(tensors["kept.excess"]) if self._kept else []

    def result(self) -> State:
        """Return the last parameters and what was kept; the members that diverged, and how."""
        dead = (~self.trainer.alive).nonzero()[:, 0].tolist()
        theta = {"theta": self.trainer.theta.detach().clone().cpu()}
        return theta | self._found(), {
            "kept": self._kept,
            "dead": dead,
            "divergences": [str(own) for own in self.trainer.divergences],
        }

    def _found(self) -> dict[str, Tensor]:
        if not self._kept:
            return {}
        return {"kept.theta": torch.stack(self._theta), "kept.excess": torch.stack(self._excess)}
