"""Speed of the networks: seed-steps per second of SGD, and the share they reach of what the device allows.

Usage: python benchmarks/networks.py [--device cpu|cuda] [--threads N] [--quick]

A seed-step is the loss of one batch, its gradient and the update, for one network of a stack, in float32: width 32, 2
layers, 4 heads, batch 128, 8 positions, 12 tokens; or, as "large", width 128, 4 layers, 8 heads, batch 256 and 16
positions. "Fast" is `Network.fast`, the default is what can be differentiated three times. Threads share the products
of one stack; workers each train a stack of their own on one thread.

What the device allows is a roofline: 1 / max(operations / rate of a large product, bytes / rate of a large copy), both
measured here. Operations are those of the step's matrix products. Bytes are those of their operands and results, each
passed once for every product, and of the update: what a step moves where no cache holds it. Nothing is counted of the
normalisations, softmaxes and copies, or of starting a kernel, which is where the rest goes; where a cache holds the
operands, a step can be faster than memory alone would allow. Best of several runs; nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.networks import LstmConfig, Network, Transformer, TransformerConfig, build

TARGET, RATE, FLOAT = 250, 0.1, 4
SMALL, SMALL_BATCH = TransformerConfig(12, 8), 128
LARGE, LARGE_BATCH = TransformerConfig(12, 16, width=128, layers=4, heads=8), 256
LSTM = LstmConfig(12, 8)


@dataclass(frozen=True)
class Device:
    """A device and what it was seen to do: operations per second in a large product, bytes per second in a copy."""

    name: str
    products: float
    copies: float

    @classmethod
    def measured(cls, name: str) -> Device:
        """Measure a device: a product of two square matrices, and a copy, which reads and writes every byte."""
        n, size = (8192, 2**30) if name == "cuda" else (1536, 2**26)
        a, source = torch.randn(n, n, device=name), torch.zeros(size // FLOAT, device=name)
        product, target = torch.empty_like(a), torch.empty_like(source)
        products = 2 * n**3 / best(lambda: torch.mm(a, a, out=product), 5, name)
        return cls(name, products, 2 * size / best(lambda: target.copy_(source), 5, name))

    def allowed(self, config: TransformerConfig, batch: int) -> tuple[float, str]:
        """Return the most seed-steps per second, and which of the two sets the limit."""
        arithmetic, memory = operations(config, batch) / self.products, moved(config, batch) / self.copies
        return 1 / max(arithmetic, memory), "arithmetic" if arithmetic > memory else "memory"


def best(run: Callable[[], object], repeats: int, device: str) -> float:
    """Return the shortest wall time of several runs, after one that is not timed."""

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    times = []
    for _ in range(1 + repeats):
        wait()
        start = time.perf_counter()
        run()
        wait()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def products(config: TransformerConfig, batch: int) -> list[tuple[int, int, int, int]]:
    """Return the matrix products of one forward pass as (how many, rows, inner, columns).

    The last layer is computed at the masked position alone, but for its keys and values.
    """
    d, m, T, h = config.width, config.mlp_width, config.length, config.heads

    def layer(asked: int) -> list[tuple[int, int, int, int]]:
        rows = batch * asked
        attention = [(batch * h, asked, d // h, T), (batch * h, asked, T, d // h)]
        return [
            (1, batch * T, d, 2 * d),
            (1, rows, d, d),
            *attention,
            (1, rows, d, d),
            (1, rows, d, m),
            (1, rows, m, d),
        ]

    return [*layer(T) * (config.layers - 1), *layer(1), (1, batch, d, config.n_tokens)]


def operations(config: TransformerConfig, batch: int) -> int:
    """Return the floating-point operations of one seed-step's matrix products: forward, and twice that backward."""
    return 3 * sum(2 * n * rows * inner * columns for n, rows, inner, columns in products(config, batch))


def moved(config: TransformerConfig, batch: int) -> int:
    """Return the bytes of one seed-step: of its products, forward and twice backward, and of θ ← θ − ηg."""
    sizes = (
        n * (rows * inner + inner * columns + rows * columns) for n, rows, inner, columns in products(config, batch)
    )
    return 3 * FLOAT * (sum(sizes) + Transformer(config).n_parameters())


def sgd(network: Network, batch: int, steps: int) -> Callable[[], None]:
    """Return a run of some steps of SGD on random contexts, each network of the stack with its own."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(0)
    (seeds,) = network.stack
    sentences = torch.randint(network.n_tokens, (seeds, batch, network.length), generator=generator)
    position = torch.randint(network.length, (seeds, batch, 1), generator=generator)
    contexts, targets = sentences.scatter(-1, position, -1).to(device), sentences.gather(-1, position).to(device)
    parameters: list[Tensor] = list(network.parameters())

    def run() -> None:
        for _ in range(steps):
            loss = -network(contexts).gather(-1, targets).mean((-2, -1)).sum()
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, list(gradients), alpha=-RATE)

    return run


def stack(config: TransformerConfig | LstmConfig, seeds: int, fast: bool, device: str) -> Network:
    """Return a stack of networks."""
    network = build(config.to_json(), (seeds,), [torch.Generator().manual_seed(i) for i in range(seeds)])
    network.fast = fast
    return network.to(device)


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
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    name, on_gpu = arguments.device, arguments.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        parser.error("expected a CUDA device, found none; take --device cpu")
    steps, repeats = (3, 3) if arguments.quick else (10, 8)
    torch.set_num_threads(arguments.threads)
    device = Device.measured(name)
    print(torch.cuda.get_device_name() if on_gpu else f"{arguments.threads} threads", end=": ")
    print(f"{device.products / 1e9:.0f} GFLOP/s in a large product, {device.copies / 1e9:.1f} GB/s in a large copy;")
    for size, config, batch in (("small", SMALL, SMALL_BATCH), ("large", LARGE, LARGE_BATCH)):
        most, limit = device.allowed(config, batch)
        print(f"  {size}: {limit} allows {most:.4g} seed-steps/s")
    print(f"target, small networks: {TARGET} seed-steps/s")
    print(f"{'':<40}{'seeds':>7}{'seed-steps/s':>14}{'× target':>10}{'of allowed':>12}")

    def report(name: str, seeds: int, run: Callable[[], None], allowed: float | None, target: bool = True) -> None:
        found = seeds * steps / best(run, repeats, device.name)
        beside = f"{found / TARGET:>10.2f}" if target else f"{'':>10}"
        share = "" if allowed is None else f"{found / allowed:>12.0%}"
        print(f"{name:<40}{seeds:>7}{found:>14.4g}{beside}{share}")

    most, _ = device.allowed(SMALL, SMALL_BATCH)
    for fast in (False, True):
        for seeds in (8, 64, 512) if on_gpu else (1, 2, 4, 8):
            kind = f"transformer, {'fast' if fast else 'three derivatives'}"
            report(kind, seeds, sgd(stack(SMALL, seeds, fast, name), SMALL_BATCH, steps), most)
    most, _ = device.allowed(LARGE, LARGE_BATCH)
    for seeds in (1, 8, 32) if on_gpu else (1,):
        run = sgd(stack(LARGE, seeds, True, name), LARGE_BATCH, steps)
        report("large transformer, fast", seeds, run, most, target=False)
    report("lstm", 8, sgd(stack(LSTM, 8, False, name), SMALL_BATCH, steps), None)
    if on_gpu:
        print(f"most memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")
        return
    torch.set_num_threads(1)
    most, _ = device.allowed(SMALL, SMALL_BATCH)
    for seeds in (1, 2, 4, 8):
        runs = [sgd(stack(SMALL, seeds, True, name), SMALL_BATCH, steps) for _ in range(arguments.threads)]
        report(f"transformer, fast, {len(runs)} workers", seeds * len(runs), together(runs), most)
    print(f"largest resident set {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
