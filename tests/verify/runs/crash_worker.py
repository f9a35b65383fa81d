"""Run as a script: does work in forks that SIGKILL themselves, and completes it without any other help.

`run`: one run, killed at its k-th file operation, for every k; the last is never reached. A file that is being forced
to disk is cut in half first, as one that was half-written. `cohort`: the networks of a tiny cohort, killed after one
piece or two of each attempt, and once not at all. Prints how often it was killed.
"""

import io
import os
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verify.cohorts import SCALES, Cohort
from verify.cohorts.phase import PIECE
from verify.runs import Checkpointer, RunKey, RunStore, complete

STEPS = 5


class Descent:
    """Noisy gradient descent with momentum on a quadratic; its noise comes from a generator inside the state."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.theta = torch.randn(5, generator=self.generator)
        self.velocity = torch.zeros(5)
        self.step = 0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {"theta": self.theta, "velocity": self.velocity, "generator": self.generator.get_state()}
        return tensors, {"step": self.step}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.theta, self.velocity, self.step = tensors["theta"], tensors["velocity"], meta["step"]
        self.generator.set_state(tensors["generator"])

    def done(self) -> bool:
        return self.step == STEPS

    def advance(self) -> dict[str, Any]:
        noise = torch.randn(5, generator=self.generator)
        self.velocity = 0.9 * self.velocity - 0.1 * (self.theta + noise)
        self.theta = self.theta + self.velocity
        self.step += 1
        return {"progress": self.step, "loss": float(self.theta.square().sum())}

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"theta": self.theta}, {"norm": float(self.theta.norm()), "steps": self.step}


def die_at(k: int) -> None:
    """Replace what works on files by what counts, and kills this process at the k-th call."""
    count = 0

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == k:
                if name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                    os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    for name in ("fsync", "open", "replace", "rename", "unlink", "close", "mkdir"):
        setattr(os, name, counted(name, getattr(os, name)))
    io.open = counted("open", io.open)
    for name in ("replace", "rename", "unlink", "mkdir"):
        setattr(Path, name, counted(name, getattr(Path, name)))


def killed(work: Callable[[], object]) -> bool:
    """Do some work in a fork; whether it was killed before it was done."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def run(root: Path) -> int:
    def attempt(k: int, root: Path) -> None:
        die_at(k)
        complete(RunStore(root), RunKey({"what": "descent"}, 3, {}, {}), Descent, every_seconds=0)

    k = 1
    while killed(partial(attempt, k, root / str(k))):
        assert not killed(partial(attempt, 0, root / str(k)))
        k += 1
    return k - 1


def cohort(root: Path) -> int:
    scale = replace(SCALES["small"], members=2, width=4, layers=1, heads=1, reference=32, draws=2, tested=16)
    scale = replace(scale, pretraining=2 * PIECE, continuation=2 * PIECE, anneal=2 * PIECE)
    tick, made = Checkpointer.tick, 0

    def train(root: Path, pieces: int) -> None:
        def saved(self: Checkpointer, progress: float | int, metrics: Mapping[str, Any] | None = None) -> bool:
            nonlocal made
            made += 1
            self.every_seconds = 0
            if made == pieces:
                os.kill(os.getpid(), signal.SIGKILL)  # this piece is lost
            return tick(self, progress, metrics)

        Checkpointer.tick = saved  # type: ignore[method-assign]
        Cohort("hmm", scale, 3, store=RunStore(root)).path("sampled")

    assert not killed(partial(train, root / "whole", 0))
    kills = 0
    while killed(partial(train, root / "killed", 2 + kills % 2)):
        kills += 1
    return kills


if __name__ == "__main__":
    torch.set_num_threads(1)
    print({"run": run, "cohort": cohort}[sys.argv[1]](Path(sys.argv[2])))
