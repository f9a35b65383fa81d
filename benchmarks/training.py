"""Seed-steps per second of the trainer, and which share of them goes to examples and to everything but the network.

Usage: python benchmarks/training.py [--threads N] [--cpu] [--only NAME]

Two-layer transformers of width 32, batches of 128, float32, on a small language and on one of the paper's size; then
what the trials train at the medium and the paper scale, on a hidden Markov language. The network alone (forward and
backward on one batch) and the stream alone are timed beside the whole step, best of several rounds through all of them,
because other processes can only slow them down; nothing is asserted. `rest` is what the optimiser, noise and
bookkeeping take, and the further passes of isotropic noise (one more backward) and of the trace penalty (of second
order). Examples of soft and isotropic labels include the exact conditionals, where these are not looked up in a table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from synthetic import Language
from synthetic.catalogue import ready_made
from synthetic.hmm import sticky_hmm
from verify.cohorts import FAMILIES, SCALES
from verify.networks import Transformer, TransformerConfig
from verify.training import FlatParameters, TracePenalty, Trainer, Training, table_if_small
from verify.training.data import ExampleStream
from verify.training.labels import cross_entropy

TARGET, SAMPLING_TARGET = 250, 0.1
ROUNDS = 5


@dataclass(frozen=True)
class Setting:
    """A language, the networks that are trained on it, and for how many steps they are timed.

    Steps are whole blocks of the stream, which draws several steps' examples at once.
    """

    language: Language
    width: int
    layers: int
    heads: int
    batch: int
    seeds: int
    steps: int

    @classmethod
    def of_scale(cls, scale: str, family: str, seeds: int, steps: int) -> Setting:
        """Return the pre-training of a family at a scale, with fewer seeds."""
        sizes, (language, _) = SCALES[scale], FAMILIES[family].draw(0)
        return cls(language, sizes.width, sizes.layers, sizes.heads, sizes.batch, seeds, steps)


def settings() -> dict[str, Callable[[], Setting]]:
    """Return what is timed; small languages are written out in a table."""
    generator = torch.Generator().manual_seed(0)
    return {
        "small HMM, T = 8, table": lambda: Setting(
            sticky_hmm(generator, 4, 4, 8), 32, 2, 4, batch=128, seeds=8, steps=64
        ),
        "paper's HMM, T = 16": lambda: Setting(ready_made("hmm")(0), 32, 2, 4, batch=128, seeds=8, steps=64),
        "medium, hmm-medium": lambda: Setting.of_scale("medium", "hmm-medium", seeds=54, steps=64),
        "paper, hmm-paper": lambda: Setting.of_scale("paper", "hmm-paper", seeds=1, steps=37),
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
    parser.add_argument("--cpu", action="store_true", help="count processor seconds, on a machine that is not idle")
    parser.add_argument("--only", choices=settings(), metavar="NAME", help="one of the settings")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.cpu else time.perf_counter
    print(f"{arguments.threads} threads; targets: {TARGET} seed-steps/s at width 32, batch 128 and T = 8,")
    print(f"examples below {SAMPLING_TARGET:.0%} of the time")
    for name, setting in settings().items():
        if arguments.only in {None, name}:
            report(name, setting(), clock)


def report(name: str, setting: Setting, clock: Callable[[], float]) -> None:
    """Print the lines of a setting."""
    language, seeds = setting.language, list(range(setting.seeds))
    base = Training(rate=1e-3, batch=setting.batch)
    kinds = {
        "sampled": base,
        "soft": replace(base, labels="soft"),
        "isotropic": replace(base, labels="isotropic"),
        "trace penalty": replace(base, trace_penalty=TracePenalty(0.01, examples=min(32, setting.batch))),
    }
    table = table_if_small(language)
    config = TransformerConfig(
        language.n_tokens, language.length, width=setting.width, layers=setting.layers, heads=setting.heads
    )
    network = Transformer(config, (setting.seeds,), [torch.Generator().manual_seed(seed) for seed in seeds])
    for kind, training in kinds.items():
        trainer = Trainer(network, language, training, seeds, table=table, threads=None)
        stream = ExampleStream(
            language,
            table,
            seeds,
            stack=network.stack,
            batch=setting.batch,
            conditional=training.labels != "sampled",
        )

        def steps(trainer: Trainer = trainer) -> None:
            trainer.run(trainer.step + setting.steps)

        def examples(stream: ExampleStream = stream) -> None:
            for _ in range(setting.steps):
                stream.next()

        tasks: dict[str, Callable[[], None]] = {
            "whole": steps,
            "examples": examples,
            "network": network_alone(network, stream, setting.steps),
        }
        found = best_times(tasks, clock)
        whole = found["whole"]
        rest = 1 - (found["examples"] + found["network"]) / whole
        print(
            f"{name:<24} {kind:<14} {setting.seeds * setting.steps / whole:7.1f} seed-steps/s   "
            f"network {found['network'] / whole:4.0%}   examples {found['examples'] / whole:5.1%}   rest {rest:5.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
