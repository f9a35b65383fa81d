"""Run as a script: trains a condition of a tiny cohort in processes that are killed meanwhile, and once in peace.

A process to be killed reports the end of a piece and goes on; SIGKILL comes from outside, after a random time. Lest a
slow killer let it finish, it waits for its end where the piece after that is done and not yet saved.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from verify.cohorts.cohort import Cohort
from verify.cohorts.phase import PIECE
from verify.cohorts.scale import SCALES
from verify.runs.checkpointer import Checkpointer
from verify.runs.store import RunStore

SCALE = replace(
    SCALES["small"],
    members=2,
    width=4,
    layers=1,
    heads=1,
    pretraining=5 * PIECE,
    continuation=4 * PIECE,
    anneal=4 * PIECE,
    reference=32,
    draws=2,
    tested=16,
)
PIECES, KILLS, MOST = 13, 4, 3


def train(root: Path, report: int, pieces: int) -> None:
    """Train to the end, saving after every piece; report one of the pieces, and then get no further than the next."""
    tick, made = Checkpointer.tick, 0

    def saved(self: Checkpointer, progress: float | int, metrics: Mapping[str, Any] | None = None) -> bool:
        nonlocal made
        made += 1
        if made == pieces:
            os.write(report, b".")
        if made > pieces:
            time.sleep(600)
        self.every_seconds = 0
        return tick(self, progress, metrics)

    Checkpointer.tick = saved  # type: ignore[method-assign]
    Cohort("hmm", SCALE, 3, store=RunStore(root)).path("sampled")
    os.write(report, str(made).encode())


def begun(root: Path, pieces: int) -> tuple[int, int]:
    """Begin to train in a fork; return its process and where it reports."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            train(root, writing, pieces)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    return child, reading


def completed(root: Path) -> int:
    """Train to the end; return how many pieces were made."""
    child, report = begun(root, sys.maxsize)
    made = os.read(report, 9)
    os.waitpid(child, 0)
    return int(made)


def main(root: Path) -> None:
    torch.set_num_threads(1)
    assert completed(root / "whole") == PIECES
    moments = random.Random(11)
    for _ in range(KILLS):
        child, report = begun(root / "killed", moments.randint(2, MOST))
        assert os.read(report, 1) == b"."
        time.sleep(moments.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    # Every process saved all but the last of the pieces that it made, and perhaps that one.
    assert PIECES - MOST * KILLS <= completed(root / "killed") <= PIECES - KILLS


if __name__ == "__main__":
    main(Path(sys.argv[1]))
