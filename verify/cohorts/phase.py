"""A phase of training and a measurement, as work that can be interrupted, stored and resumed to the bit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from verify.runs import RunResult, State
from verify.training import Trainer

PIECE = 16
"""Steps between two looks at whether to stop or to save."""

Found = Mapping[str, Tensor]


class Phase:
    """A trainer's steps, with what is measured at some of them; `verify.runs.Work`.

    Args:
        trainer: at its beginning.
        steps: how many to make.
        stopped: once set, the next piece is not begun.
        keep: steps at which something is measured and kept, rising, none above `steps`.
        measure: what is kept then, tensors by name.
        goes_on: whether the result holds the trainer's state too, for a longer phase to go on from (`leg`).
    """

    def __init__(
        self,
        trainer: Trainer,
        steps: int,
        stopped: threading.Event,
        keep: Sequence[int] = (),
        measure: Callable[[Trainer], Found] | None = None,
        *,
        goes_on: bool = False,
    ) -> None:
        self.trainer, self.steps, self.keep, self._goes_on = trainer, steps, list(keep), goes_on
        self._measure, self._stopped = measure, stopped
        self._kept: list[Found] = []

    def done(self) -> bool:
        return self.trainer.step >= self.steps

    def advance(self) -> dict[str, Any]:
        """Make the next few steps.

        Raises:
            KeyboardInterrupt: the phase was stopped.
            AllDivergedError: no member is left.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        until = min(self.trainer.step + PIECE, self.steps)
        while self._measure is not None and (left := self.keep[len(self._kept) :]) and left[0] <= until:
            self.trainer.run(left[0])
            self._kept.append({name: value.cpu() for name, value in self._measure(self.trainer).items()})
        self.trainer.run(until)
        return {"progress": self.trainer.step / self.steps}

    def state(self) -> State:
        tensors, meta = self.trainer.state()
        return tensors | self._found(), {"trainer": meta, "kept": len(self._kept)}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Go on where `state` was taken; errors as in `Trainer.restore`."""
        kept = {name.removeprefix("kept."): value for name, value in tensors.items() if name.startswith("kept.")}
        own = {name: value for name, value in tensors.items() if not name.startswith("kept.")}
        self.trainer.restore(own, meta["trainer"])
        self._kept = [{name: value[k] for name, value in kept.items()} for k in range(meta["kept"])]

    def result(self) -> State:
        """Return the last parameters and what was kept; the members that diverged, and how."""
        theta = {"theta": self.trainer.theta.detach().clone().cpu()}
        dead = (~self.trainer.alive).nonzero()[:, 0].tolist()
        divergences = [str(own) for own in self.trainer.divergences]
        content = {"kept": self.keep, "dead": dead, "divergences": divergences}
        if not self._goes_on:
            return theta | self._found(), content
        tensors, meta = self.trainer.state()
        own = {f"leg.{name}": value.cpu() for name, value in tensors.items()}
        return theta | self._found() | own, content | {"leg": meta}

    @staticmethod
    def leg(found: RunResult) -> State | None:
        """Return the state of the trainer at the end of a phase, if its result holds it."""
        if "leg" not in found.content:
            return None
        own = {name.removeprefix("leg."): value for name, value in found.tensors.items() if name.startswith("leg.")}
        return own, found.content["leg"]

    def _found(self) -> dict[str, Tensor]:
        names = self._kept[0] if self._kept else ()
        return {f"kept.{name}": torch.stack([own[name] for own in self._kept]) for name in names}


class MeasuringWork:
    """Tensors that are computed at once, so that a store keeps them; `verify.runs.Work`.

    Args:
        measure: computes them, by name.
        stopped: if set, nothing is begun.
    """

    def __init__(self, measure: Callable[[], Found], stopped: threading.Event) -> None:
        self._measure, self._stopped = measure, stopped
        self._found: dict[str, Tensor] | None = None

    def done(self) -> bool:
        return self._found is not None

    def advance(self) -> dict[str, Any]:
        """Compute them.

        Raises:
            KeyboardInterrupt: it was stopped.
        """
        if self._stopped.is_set():
            raise KeyboardInterrupt
        self._found = {name: value.detach().cpu().contiguous() for name, value in self._measure().items()}
        return {"progress": 1}

    def state(self) -> State:
        return dict(self._found or {}), {"done": self.done()}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self._found = dict(tensors) if meta["done"] else None

    def result(self) -> State:
        return dict(self._found or {}), {}
