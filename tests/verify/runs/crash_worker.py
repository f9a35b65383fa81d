"""Run as a script: does one run to its end over as many killed processes as it takes; prints how many were killed.

Each attempt is a fork that SIGKILLs itself: at its k-th file operation (`operation`), halfway through the k-th write
(`torn`), or whenever a random clock says so (`clock`). No attempt after the first kill point gets any other help.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from verify.runs import sealed
from verify.runs.checkpointer import complete
from verify.runs.keys import RunKey
from verify.runs.store import RunStore

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


KEY = RunKey({"what": "descent"}, 3, {}, {})


def killed(prepare: Callable[[], None], root: Path) -> bool:
    """Try to complete the run in a fork; whether it was killed before it did."""
    child = os.fork()
    if child == 0:
        prepare()
        complete(RunStore(root), KEY, Descent, every_seconds=0)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert os.WIFEXITED(status)
    assert os.WEXITSTATUS(status) == 0
    return False


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_operation(k: int) -> Callable[[], None]:
    def prepare() -> None:
        count = 0

        def counted(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == k:
                    die()
                return original(*arguments, **options)

            return call

        for name in ("fsync", "open", "replace", "rename", "unlink", "close", "pwrite", "ftruncate", "mkdir"):
            setattr(os, name, counted(getattr(os, name)))
        Path.replace = counted(Path.replace)  # type: ignore[method-assign]
        Path.unlink = counted(Path.unlink)  # type: ignore[method-assign]

    return prepare


def at_half_a_write(k: int) -> Callable[[], None]:
    def prepare() -> None:
        original, count = sealed.write_atomically, 0

        def torn(path: Path, content: bytes) -> None:
            nonlocal count
            count += 1
            if count == k:
                path.with_name(path.name + sealed.TEMPORARY).write_bytes(content[: len(content) // 2])
                die()
            original(path, content)

        for module in list(sys.modules.values()):
            if getattr(module, "write_atomically", None) is original:
                module.write_atomically = torn  # type: ignore[attr-defined]

    return prepare


def at_a_random_time(random_number: random.Random, longest: float) -> Callable[[], None]:
    def prepare() -> None:
        signal.signal(signal.SIGALRM, lambda *_: die())
        signal.setitimer(signal.ITIMER_REAL, random_number.uniform(1e-4, longest))

    return prepare


def main(mode: str, root: Path) -> int:
    torch.set_num_threads(1)
    kills = 0
    clock = random.Random(11)
    if mode == "clock":
        longest = 2e-3
        while killed(at_a_random_time(clock, longest), root / "clock"):
            kills, longest = kills + 1, longest * 1.02
        return kills
    prepare = {"operation": at_operation, "torn": at_half_a_write}[mode]
    for k in range(1, 10_000):
        # Fresh folder for each k: killed once at the k-th moment, then completed; the last k is never reached.
        folder = root / f"{mode}-{k}"
        if not killed(prepare(k), folder):
            return kills
        kills += 1
        assert not killed(lambda: None, folder)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    print(main(sys.argv[1], Path(sys.argv[2])))
