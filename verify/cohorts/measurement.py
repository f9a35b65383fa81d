"""A measurement as work of one piece, so that a store keeps what was found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from verify.runs.checkpointer import State

Found = Mapping[str, Tensor]


class Measurement:
    """Tensors that are computed at once; `verify.runs.checkpointer.Work`.

    Args:
        measure: computes them, by name.
        stopped: if set, nothing is begun.
    """

    def __init__(self, measure: Callable[[], Found], stopped: threading.Event) -> None:
        self._measure, self._stopped = measure, stopped
        self._found: dict[str, Tensor] | None = None

    def done(self) -> bool:
        """Whether they were computed."""
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
        """Return what was found, and whether anything was."""
        return dict(self._found or {}), {"done": self.done()}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Take over what was found."""
        self._found = dict(tensors) if meta["done"] else None

    def result(self) -> State:
        """Return what was found."""
        return dict(self._found or {}), {}
