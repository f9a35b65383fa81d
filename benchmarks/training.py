"""Seed-steps per second of the trainer, and which share of them goes to examples and to everything but the network.

Usage: python benchmarks/training.py [--threads N] [--seeds 8] [--steps 64] [--cpu]

A two-layer transformer of width 32, batches of 128, float32. The network alone (forward and backward on one batch) and
the stream alone are timed beside the whole step, best of several rounds through all of them, because other processes
can only slow them down; nothing is asserted. `rest` is what the optimiser, averages, noise and bookkeeping take, and
the further passes of isotropic noise (one more backward) and of the trace penalty (of second order). Examples of soft
and isotropic labels include the exact conditionals, where these are not looked up in a table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from synthetic.catalogue import find
from synthetic.hmm_random import sticky_hmm
from synthetic.language import Language
from verify.networks.transformer import Transformer, TransformerConfig
from verify.training.averaging import Averaging
from verify.training.config import Training
from verify.training.data import ExampleStream
from verify.training.labels import cross_entropy
from verify.training.parameters import FlatParameters
from verify.training.tables import table_if_small
from verify.training.trace_penalty import TracePenalty
from verify.training.trainer import Trainer

TARGET, SAMPLING_TARGET = 250, 0.1
BATCH, ROUNDS = 128, 5


def languages() -> dict[str, Language]:
    """Return one language that is written out, and one of the paper's size that is not."""
    return {
        "small HMM, T = 8, table": sticky_hmm(torch.Generator().manual_seed(0), 4, 4, 8),
        "paper's HMM, T = 16": find("hmm")(0),
    }


def best_times(tasks: dict[str, Callable[[], None]], clock: Callable[[], float]) -> dict[str, float]:
    """Return the seconds of each task, the best of several rounds through all of them."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(ROUNDS):
        for name, run in tasks.items():
            start = clock()
            run()
            best[name] = min(best[name], clock() - start)
    return best


def network_alone(network: Transformer, stream: ExampleStream, steps: int) -> Callable[[], None]:
    """Return forward and backward passes on one batch."""
    flat = FlatParameters(network, torch.float32, "cpu")
    flat.network.fast = True
    batch = stream.next()

    def run() -> None:
        for _ in range(steps):
            flat.gradient(cross_entropy(flat.network(batch.contexts), batch.targets).sum())

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=64, help="a multiple of 64 counts examples fairly")
    parser.add_argument("--cpu", action="store_true", help="count processor seconds, on a machine that is not idle")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.cpu else time.perf_counter
    seeds = list(range(arguments.seeds))
    print(f"{arguments.seeds} seeds, batch {BATCH}, {arguments.threads} threads, targets: {TARGET} seed-steps/s,")
    print(f"examples below {SAMPLING_TARGET:.0%} of the time")
    base = Training(rate=1e-3, batch=BATCH, average=Averaging(decay=0.99))
    kinds = {
        "sampled": base,
        "soft": replace(base, labels="soft"),
        "isotropic": replace(base, labels="isotropic"),
        "trace penalty": replace(base, trace_penalty=TracePenalty(0.01)),
    }
    for name, language in languages().items():
        table = table_if_small(language)
        config = TransformerConfig(language.n_tokens, language.length, width=32, layers=2, heads=4)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        network = Transformer(config, (arguments.seeds,), generators)
        for kind, training in kinds.items():
            trainer = Trainer(network, language, training, seeds, table=table)
            stream = ExampleStream(
                language,
                table,
                seeds,
                stack=network.stack,
                batch=BATCH,
                conditional=training.labels != "sampled",
            )

            def steps(trainer: Trainer = trainer) -> None:
                trainer.run(trainer.step + arguments.steps)

            def examples(stream: ExampleStream = stream) -> None:
                for _ in range(arguments.steps):
                    stream.next()

            tasks: dict[str, Callable[[], None]] = {
                "whole": steps,
                "examples": examples,
                "network": network_alone(network, stream, arguments.steps),
            }
            found = best_times(tasks, clock)
            whole = found["whole"]
            rest = 1 - (found["examples"] + found["network"]) / whole
            print(
                f"{name:<24} {kind:<14} {arguments.seeds * arguments.steps / whole:7.0f} seed-steps/s   "
                f"network {found['network'] / whole:4.0%}   examples {found['examples'] / whole:5.1%}   "
                f"rest {rest:5.1%}"
            )


if __name__ == "__main__":
    main()
