"""How many threads torch computes with on the CPU, for a while."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch

_LOCK = threading.Lock()
_inside = 0
_outside = 0


@contextlib.contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Let torch compute with so many threads inside, and with as many as before after it.

    Torch has one number for the whole process: where several threads of Python are inside at once, that of the last to
    come holds, and what was before the first of them came is put back when the last one leaves.

    Args:
        count: how many, at least one; None leaves torch as it is.
    """
    global _inside, _outside  # as torch's own number of threads is
    if count is None:
        yield
        return
    with _LOCK:
        if not _inside:
            _outside = torch.get_num_threads()
        _inside += 1
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if not _inside:
                torch.set_num_threads(_outside)
