"""Speed of graph languages: conditionals and samples per second, beside targets and what one pass of arithmetic costs.

Usage: python benchmarks/token_graph.py [--threads N]

Every rate is the best of several runs in one process, because other processes can only slow it down; nothing is
asserted. Two yardsticks are measured in the same run: drawing one uniform number per token, which no sampler here can
do without, and one exponential with one logarithm per position, which no conditional can do without.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import networkx as nx
import torch

from synthetic.graphs.coupling import CouplingError
from synthetic.graphs.elimination import TreewidthError
from synthetic.graphs.from_networkx import from_networkx, potts_from_networkx
from synthetic.graphs.markov_field import GIBBS_SWEEPS, MarkovField

SEED, TARGET = 1, 1e6
YARDSTICK = 2**20


@dataclass(frozen=True)
class Instance:
    """A language with the number of sentences that each sampler is timed on."""

    name: str
    language: MarkovField
    many: int
    few: int


def best(run: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest wall time of several runs, after one that is not timed."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def instances() -> list[Instance]:
    """Return the languages that are timed."""
    return [
        Instance("chain, T = 64", from_networkx(nx.path_graph(64), 0.5), 50_000, 1000),
        Instance("grid 6 × 6", from_networkx(nx.grid_2d_graph(6, 6), 0.3), 50_000, 1000),
        Instance("grid 32 × 32", from_networkx(nx.grid_2d_graph(32, 32), 0.3), 2000, 50),
        Instance("Potts chain, T = 24, c = 20", potts_from_networkx(nx.path_graph(24), 20, 1.0), 10_000, 200),
    ]


def time_samplers(instance: Instance) -> dict[str, float]:
    """Return tokens per second of each sampler that applies."""
    language, rates = instance.language, {}
    for sampler, n in (("elimination", instance.many), ("coupling", instance.few)):
        try:
            seconds = best(lambda n=n, s=sampler: language.sample(n, torch.Generator().manual_seed(SEED), sampler=s))  # type: ignore[misc]
        except (TreewidthError, CouplingError):
            continue
        rates[sampler] = n * language.length / seconds
    seconds = best(lambda: language.gibbs(instance.few, torch.Generator().manual_seed(SEED)), 1)
    rates[f"gibbs, {GIBBS_SWEEPS} sweeps"] = instance.few * language.length / seconds
    return rates


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(SEED)
    x = torch.rand(YARDSTICK, generator=generator, dtype=torch.float64)
    uniform = YARDSTICK / best(lambda: torch.rand(YARDSTICK, generator=generator, dtype=torch.float64))
    transcendental = YARDSTICK / best(lambda: x.neg().exp_().log1p_())
    print(f"{threads} thread(s); {uniform / 1e6:.0f} M uniform numbers/s, {transcendental / 1e6:.0f} M log1p(exp)/s\n")
    print(f"{'conditionals':<30}{'M positions/s':>14}{'of log1p(exp)':>15}{'one by one, M/s':>17}")
    for instance in instances():
        language = instance.language
        sentences = torch.randint(0, language.n_tokens, (instance.many, language.length), generator=generator)
        rate = sentences.numel() / best(lambda s=sentences, f=language: f.log_masked_conditionals(s))  # type: ignore[misc]
        t = torch.arange(len(sentences)) % language.length
        contexts = sentences.scatter(1, t[:, None], -1)
        single = len(contexts) / best(lambda c=contexts, f=language: f.log_masked_conditional(c))  # type: ignore[misc]
        share = rate * (1 if language.n_tokens == 2 else language.n_tokens) / transcendental
        print(f"{instance.name:<30}{rate / 1e6:>14.3g}{share:>15.0%}{single / 1e6:>17.3g}")
    print(f"\n{'samples':<30}{'sampler':<20}{'M tokens/s':>11}{'× target':>10}{'of uniforms':>13}")
    for instance in instances():
        for sampler, rate in time_samplers(instance).items():
            target = f"{rate / TARGET:.1f}" if sampler == "elimination" else ""
            print(f"{instance.name:<30}{sampler:<20}{rate / 1e6:>11.3g}{target:>10}{rate / uniform:>13.1%}")


if __name__ == "__main__":
    main()
