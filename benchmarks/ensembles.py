"""Speed of the SGD ensembles: replica-steps per second of each engine, beside what the machine could do.

Usage: python benchmarks/ensembles.py [--threads N] [--d 4] [--m 12]

Pair model, batch 1, sampled labels, random draws included. Every engine is timed in the same process, best of several
runs, because other processes can only slow it down; nothing is asserted. The limits are measured as well: arithmetic
by a loop of independent fused multiply-adds, memory by copying an array of the size of one group's parameters, both on
the registers that the kernels use.
"""

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
# numba publishes no types, and what is decorated here is compiled by numba instead of being called.

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, no_type_check

import numpy as np
import torch
from numba import njit

from verify.ensembles import Sgd, run_ensemble
from verify.ensembles.arithmetic import copy, sigmoid_constants
from verify.ensembles.compiled import aligned
from verify.ensembles.lanes import BYTES, fma, load, store
from verify.models import PairModel

RATE, SEED = 0.02, 1


@dataclass(frozen=True)
class Speed:
    """Replica-steps per second of one way to run, and the seconds its first run took longer."""

    name: str
    per_second: float
    set_up: float


def best(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest wall time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def time_engine(
    model: PairModel, engine: Literal["compiled", "torch"], dtype: torch.dtype, replicas: int, steps: int, threads: int
) -> Speed:
    """Time one engine."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(replicas, model.n_parameters, generator=generator, dtype=torch.float64)
    theta0 = model.flattest() + 0.1 * noise

    def run(count: int) -> None:
        run_ensemble(model, theta0, Sgd(RATE), count, seed=SEED, dtype=dtype, engine=engine, threads=threads)

    start = time.perf_counter()
    run(1)
    set_up = time.perf_counter() - start
    seconds = best(lambda: run(steps), 5) - best(lambda: run(1), 3)
    return Speed(f"{engine} {str(dtype).removeprefix('torch.')}", replicas * steps / seconds, set_up)


def time_autograd_loop(model: PairModel, steps: int) -> Speed:
    """Time what a user writes first: one run, torch autograd, one sample per step."""
    generator = torch.Generator().manual_seed(SEED)
    a, w, _ = model.split(model.flattest().to(torch.float32))
    parameters = [a.clone().requires_grad_(), w.clone().requires_grad_()]
    optimiser = torch.optim.SGD(parameters, lr=RATE)

    def run() -> None:
        for _ in range(steps):
            z = 2.0 * torch.randint(0, 2, (model.d,), generator=generator) - 1
            prob = torch.sigmoid(model.alpha * z[0] * z[1])
            y = (torch.rand((), generator=generator) < prob).to(torch.float32)
            optimiser.zero_grad()
            f = (parameters[0] * (parameters[1] @ z).square()).sum()
            torch.nn.functional.binary_cross_entropy_with_logits(f, y).backward()
            optimiser.step()

    run()
    return Speed("autograd loop, one run", steps / best(run, 3), 0.0)


@no_type_check
@njit(nogil=True)
def multiply_add(values, rounds):
    """Do 12 independent fused multiply-adds per round, enough to hide their latency."""
    x, y = load(values, 12), load(values, 13)
    s0, s1, s2, s3 = load(values, 0), load(values, 1), load(values, 2), load(values, 3)
    s4, s5, s6, s7 = load(values, 4), load(values, 5), load(values, 6), load(values, 7)
    s8, s9, s10, s11 = load(values, 8), load(values, 9), load(values, 10), load(values, 11)
    for _ in range(rounds):
        s0, s1, s2, s3 = fma(s0, x, y), fma(s1, x, y), fma(s2, x, y), fma(s3, x, y)
        s4, s5, s6, s7 = fma(s4, x, y), fma(s5, x, y), fma(s6, x, y), fma(s7, x, y)
        s8, s9, s10, s11 = fma(s8, x, y), fma(s9, x, y), fma(s10, x, y), fma(s11, x, y)
    for row, s in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11)):
        store(values, row, s)


@no_type_check
@njit(nogil=True)
def copy_back_and_forth(source, destination, rounds):
    """Copy an array that fits in the first cache, forth and back."""
    for _ in range(rounds):
        copy(source, destination)
        copy(destination, source)


def on_threads(threads: int, task: Callable[[int], object]) -> float:
    """Return the shortest wall time of `threads` copies of a task."""
    with ThreadPoolExecutor(threads) as pool:
        return best(lambda: list(pool.map(task, range(threads))), 5)


def limits(dtype: type[np.floating[Any]], parameters: int, threads: int) -> tuple[float, float]:
    """Return measured operations per second and bytes moved per second."""
    lanes, rounds = BYTES // np.dtype(dtype).itemsize, 400_000
    values = [aligned(14, lanes, dtype) for _ in range(threads)]
    arrays = [(aligned(parameters, lanes, dtype), aligned(parameters, lanes, dtype)) for _ in range(threads)]
    multiply_add(values[0], 1)
    copy_back_and_forth(*arrays[0], 1)
    arithmetic = 2 * 12 * lanes * rounds * threads / on_threads(threads, lambda i: multiply_add(values[i], rounds))
    rounds = 100_000
    seconds = on_threads(threads, lambda i: copy_back_and_forth(*arrays[i], rounds))
    return arithmetic, 4 * parameters * BYTES * rounds * threads / seconds


def work(model: PairModel, dtype: type[np.floating[Any]]) -> tuple[int, int]:
    """Return floating-point operations and bytes read or written of one replica-step, as the kernel does them.

    Per neuron: w·z 2d, its square and a·h² 3, then h², 2h, aφ', step·aφ' 4, a 2 and w 2d. The sigmoid: its
    polynomial and 11 more. Bytes: θ is read twice and written once, z read twice per neuron, h written and read.
    """
    d, m = model.d, model.m
    operations = m * (4 * d + 9) + 2 * (len(sigmoid_constants(dtype)) - 7) + 11
    moved = 3 * model.n_parameters + 2 * m * d + 2 * m
    return operations, moved * np.dtype(dtype).itemsize


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of every engine")
    parser.add_argument("--d", type=int, default=4)
    parser.add_argument("--m", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = PairModel(arguments.d, arguments.m, 1.5)
    loop = time_autograd_loop(model, 500)
    speeds = [
        *(time_engine(model, "compiled", t, 2048, 4000, arguments.threads) for t in (torch.float32, torch.float64)),
        *(time_engine(model, "torch", t, 4096, 128, arguments.threads) for t in (torch.float32, torch.float64)),
        loop,
    ]
    print(f"pair model, d = {model.d}, m = {model.m}, batch 1, draws included, {arguments.threads} threads\n")
    print(f"{'engine':<24}{'million replica-steps/s':>24}{'× autograd loop':>17}{'set-up, s':>11}")
    for speed in speeds:
        ratio = speed.per_second / loop.per_second
        print(f"{speed.name:<24}{speed.per_second / 1e6:>24.4g}{ratio:>17,.0f}{speed.set_up:>11.2f}")
    print(f"\n{'limits':<24}{'Gflop/s':>12}{'of peak':>9}{'GB/s':>12}{'of L1 copy':>12}")
    dtypes: tuple[type[np.floating[Any]], ...] = (np.float32, np.float64)
    for speed, dtype in zip(speeds[:2], dtypes, strict=True):
        peak, bandwidth = limits(dtype, model.n_parameters, arguments.threads)
        operations, moved = work(model, dtype)
        done, traffic = operations * speed.per_second, moved * speed.per_second
        shares = f"{done / 1e9:>12.1f}{done / peak:>9.0%}{traffic / 1e9:>12.1f}{traffic / bandwidth:>12.0%}"
        print(f"{speed.name:<24}{shares}")
        print(f"{'  the machine':<24}{peak / 1e9:>12.1f}{'':>9}{bandwidth / 1e9:>12.1f}")
        print(
            f"  one replica-step: {operations} flop and {moved} bytes; at the machine's limits "
            f"{peak / operations / 1e6:.0f} and {bandwidth / moved / 1e6:.0f} million per second"
        )


if __name__ == "__main__":
    main()
