"""Speed of the networks: seed-steps per second of SGD, and the share of the machine's matrix-product rate they reach.

Usage: python benchmarks/networks.py [--threads N] [--quick]

A seed-step is the loss of one batch, its gradient and the update, for one network of a stack: width 32, 2 layers, 4
heads, batch 128, 8 positions, 12 tokens, float32. "Fast" is `Network.fast`, the default is what can be differentiated
three times. Threads share the products of one stack; workers each train a stack of their own on one thread. The rate
of matrix products is measured on a large one; the share counts the products of the step alone, and nothing of the
normalisations, softmaxes and copies, which is where the rest goes. Best of several runs; nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from verify.networks import LstmConfig, Network, TransformerConfig, build

BATCH, TARGET, RATE = 128, 250, 0.1
TRANSFORMER = TransformerConfig(12, 8)
LSTM = LstmConfig(12, 8)


def best(run: Callable[[], object], repeats: int) -> float:
    """Return the shortest wall time of several runs, after one that is not timed."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def operations(config: TransformerConfig) -> float:
    """Return the floating-point operations of one seed-step's matrix products: forward, and twice that backward."""
    d, m, T, c = config.width, config.mlp_width, config.length, config.n_tokens
    attention = 2 * T * T * d
    whole = T * (4 * d * d + 2 * d * m) + attention
    last = T * 2 * d * d + 2 * d * d + 2 * d * m + 2 * T * d
    return 3 * 2 * BATCH * ((config.layers - 1) * whole + last + d * c)


def product_rate() -> float:
    """Return operations per second of a product of two 1536 × 1536 matrices."""
    n = 1536
    a = torch.randn(n, n)
    return 2 * n**3 / best(lambda: a @ a, 5)


def sgd(network: Network, steps: int) -> Callable[[], None]:
    """Return a run of some steps of SGD on random contexts, each network of the stack with its own."""
    generator = torch.Generator().manual_seed(0)
    (seeds,) = network.stack
    sentences = torch.randint(network.n_tokens, (seeds, BATCH, network.length), generator=generator)
    position = torch.randint(network.length, (seeds, BATCH, 1), generator=generator)
    contexts, targets = sentences.scatter(-1, position, -1), sentences.gather(-1, position)
    parameters: list[Tensor] = list(network.parameters())

    def run() -> None:
        for _ in range(steps):
            loss = -network(contexts).gather(-1, targets).mean((-2, -1)).sum()
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, list(gradients), alpha=-RATE)

    return run


def stack(config: TransformerConfig | LstmConfig, seeds: int, fast: bool) -> Network:
    """Return a stack of networks."""
    network = build(config.to_json(), (seeds,), [torch.Generator().manual_seed(i) for i in range(seeds)])
    network.fast = fast
    return network


def together(runs: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """Return a run of all of them at once, each in its own Python thread."""

    def run() -> None:
        with ThreadPoolExecutor(len(runs)) as pool:
            for future in [pool.submit(one) for one in runs]:
                future.result()

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    steps, repeats = (3, 3) if arguments.quick else (10, 8)
    torch.set_num_threads(arguments.threads)
    rate, per_step = product_rate(), operations(TRANSFORMER)
    print(f"{arguments.threads} threads, {rate / 1e9:.0f} GFLOP/s in a large product; target {TARGET} seed-steps/s")
    print(f"{'':<36}{'seeds':>7}{'seed-steps/s':>14}{'× target':>10}{'of products':>13}")

    def report(name: str, seeds: int, run: Callable[[], None], counted: bool = True) -> None:
        found = seeds * steps / best(run, repeats)
        share = f"{found * per_step / rate:>13.0%}" if counted else ""
        print(f"{name:<36}{seeds:>7}{found:>14.0f}{found / TARGET:>10.2f}{share}")

    for fast in (False, True):
        for seeds in (1, 2, 4, 8):
            name = f"transformer, {'fast' if fast else 'three derivatives'}"
            report(name, seeds, sgd(stack(TRANSFORMER, seeds, fast), steps))
    report("lstm", 8, sgd(stack(LSTM, 8, False), steps), counted=False)
    torch.set_num_threads(1)
    for seeds in (1, 2, 4, 8):
        runs = [sgd(stack(TRANSFORMER, seeds, True), steps) for _ in range(arguments.threads)]
        report(f"transformer, fast, {len(runs)} workers", seeds * len(runs), together(runs))
    print(f"largest resident set {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
