"""Pieces of a computation on several threads, each of which does its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def balanced(n: int, most: int) -> Iterator[slice]:
    """Yield the fewest slices of 0 … n−1 that hold at most `most` ≥ 1 each, their sizes equal to within one."""
    count = -(-n // most)
    for k in range(count):
        yield slice(n * k // count, n * (k + 1) // count)


def on_threads(work: Callable[[Piece], Result], pieces: Sequence[Piece], device: torch.device) -> list[Result]:
    """Return work(piece) of every piece, in order; on the CPU by as many Python threads as torch may use.

    A thread that works through pieces of its own never waits for the others, as the threads inside an operation do
    at the end of each: much faster where the operations are short or the machine is busy. The pieces, not the threads,
    decide what is computed, so that results are those of a loop to rounding. While the threads run, torch is held to
    one thread per operation, in the whole process; then the number is what it was.

    What the first piece to fail, in their order, raised is raised here; pieces not yet begun are dropped.
    """
    threads = min(torch.get_num_threads(), len(pieces)) if device.type == "cpu" else 1
    if threads <= 1:
        return [work(piece) for piece in pieces]
    # Inference mode belongs to a thread, and its tensors are written to in that mode alone.
    inference, allowed = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def run(piece: Piece) -> Result:
        with torch.inference_mode(inference):
            return work(piece)

    try:
        with ThreadPoolExecutor(threads, "flatproof", torch.set_num_threads, (1,)) as pool:
            return list(pool.map(run, pieces))
    finally:
        torch.set_num_threads(allowed)
