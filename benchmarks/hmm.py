"""Speed of hidden Markov languages at the paper's size, beside the targets and what the machine could do.

Usage: python benchmarks/hmm.py [--threads N] [--sentences 1024] [--cpu]

All masked conditionals, 100 states, 200 tokens, length 16, float64. Everything is timed in the same process, best of
several rounds of a few calls each, because other processes can only slow it down; nothing is asserted. The first call
of a round meets threads of the task before that still wait for work and memory that went back to the system; the rest
are what a loop over batches sees. The limit is measured as well: the matrix products that the passes cannot do
without, and nothing else. The batch is of a size whose result the C library takes from memory it already has; a larger
one pays for fresh pages as well.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import torch

from synthetic.hmm import HMM, dirichlet_hmm

SENTENCES_TARGET, TOKENS_TARGET = 50_000, 1_000_000
ROUNDS, CALLS, SEED = 8, 4, 0


def rates(tasks: dict[str, tuple[Callable[[], object], int]], clock: Callable[[], float]) -> dict[str, float]:
    """Return units per second of each task, the best of several rounds through all of them."""
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(ROUNDS):
        for name, (run, _) in tasks.items():
            for _ in range(CALLS):
                start = clock()
                run()
                best[name] = min(best[name], clock() - start)
    return {name: units / best[name] for name, (_, units) in tasks.items()}


def operations(language: HMM) -> int:
    """Return the floating-point operations of one sentence's matrix products: both passes and the reading."""
    S, c, T = language.n_states, language.n_tokens, language.length
    return 2 * (T - 1) * 2 * S * S + T * 2 * S * c


def products(language: HMM, n: int) -> Callable[[], None]:
    """Return a run of these products on n rows, in the fastest layout, the results where an answer has them."""
    S, c, T = language.n_states, language.n_tokens, language.length
    rows = torch.ones(n, S, dtype=torch.float64)
    moved = torch.empty_like(rows)
    out = torch.empty(n, T, c, dtype=torch.float64)
    forward, backward, emission = (
        matrix.T.contiguous().T for matrix in (language.transition, language.transition.T, language.emission)
    )

    def run() -> None:
        for t in range(T):
            if t > 0:
                torch.mm(rows, forward, out=moved)
                torch.mm(rows, backward, out=moved)
            torch.mm(rows, emission, out=out[:, t])

    return run


def hmmlearn(language: HMM, sentences: torch.Tensor) -> Callable[[], object] | None:
    """Return a run of hmmlearn's posteriors of the hidden states, part of this work; None without it."""
    if importlib.util.find_spec("hmmlearn") is None:
        return None
    module = importlib.import_module("hmmlearn.hmm")
    model = module.CategoricalHMM(n_components=language.n_states, n_features=language.n_tokens)
    model.startprob_, model.transmat_ = language.start.numpy(), language.transition.numpy()
    model.emissionprob_ = language.emission.numpy()
    column, lengths = sentences.reshape(-1, 1).numpy(), [language.length] * len(sentences)
    return lambda: model.predict_proba(column, lengths)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sentences", type=int, default=1024)
    parser.add_argument("--cpu", action="store_true", help="rates per processor second, on a machine that is not idle")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n, draws = arguments.sentences, 2**16
    generator = torch.Generator().manual_seed(SEED)
    language = dirichlet_hmm(generator)
    sentences = language.sample(n, generator)
    limit, posterior = "matrix products alone", "hmmlearn, state posteriors"
    tasks: dict[str, tuple[Callable[[], object], int]] = {
        limit: (products(language, n), n),
        "masked_conditionals": (lambda: language.masked_conditionals(sentences), n),
        "log_masked_conditionals": (lambda: language.log_masked_conditionals(sentences), n),
        "masked_conditional, one": (lambda: language.masked_conditional(contexts), n),
        "state_posterior": (lambda: language.state_posterior(sentences), n),
        "log_prob": (lambda: language.log_prob(sentences), n),
        "sample, tokens": (lambda: language.sample(draws, generator), draws * language.length),
    }
    contexts = language.sample_masked(n, generator).contexts
    other = hmmlearn(language, sentences[:64])
    if other is not None:
        tasks[posterior] = (other, 64)
    found = rates(tasks, time.process_time if arguments.cpu else time.perf_counter)
    print(
        f"{language!r}, {n} sentences, {arguments.threads} threads, {'processor' if arguments.cpu else 'wall'} time\n"
    )
    print(f"{'work':<28}{'per second':>14}{'of target':>11}{'of products':>13}")
    for name, rate in found.items():
        target = TOKENS_TARGET if name.startswith("sample") else SENTENCES_TARGET
        shown = f"{rate / target:>10.2f}×" if name.startswith(("masked_conditionals", "sample")) else f"{'':>11}"
        share = f"{rate / found[limit]:>13.0%}" if name.endswith("masked_conditionals") else ""
        print(f"{name:<28}{rate:>14,.0f}{shown}{share}")
    per = operations(language)
    print(f"\none sentence: {per / 1e6:.2f} Mflop, {language.length * language.n_tokens * 8 / 1e3:.1f} kB of result")
    print(f"the products alone run at {per * found[limit] / 1e9:.1f} Gflop/s")
    if other is not None:
        print(f"state posteriors: {found['state_posterior'] / found[posterior]:,.0f} times hmmlearn's rate")
    else:
        print("hmmlearn is not installed: no comparison")


if __name__ == "__main__":
    main()
