"""Run as a script: completes one run in a fork that SIGKILLs itself at its k-th file operation, for every k.

A file that is being forced to disk is cut in half first, as one that was half-written. Each killed run is completed
by another fork, without any other help; the last k is never reached. Prints how many were killed.
"""

import io
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verify.runs import RunKey, RunStore, complete

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


def killed(k: int, root: Path) -> bool:
    """Try to complete the run in a fork that dies at its k-th operation; whether it did."""
    child = os.fork()
    if child == 0:
        die_at(k)
        complete(RunStore(root), RunKey({"what": "descent"}, 3, {}, {}), Descent, every_seconds=0)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def main(root: Path) -> int:
    torch.set_num_threads(1)
    k = 1
    while killed(k, root / str(k)):
        assert not killed(0, root / str(k))
        k += 1
    return k - 1


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
