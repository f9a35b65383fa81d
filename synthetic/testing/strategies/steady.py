"""Building inside a strategy without moving the global random state."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


def steady(build: Callable[..., R]) -> Callable[..., R]:
    """Return `build` with the global random state put back after each call.

    Runtime type checkers spot-check containers with `random`; hypothesis objects to a strategy that moves it.
    """

    def steadily(*arguments: Any) -> R:
        state = random.getstate()
        try:
            return build(*arguments)
        finally:
            random.setstate(state)

    return steadily
