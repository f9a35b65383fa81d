"""Speed of the combinators: what each adds to the languages inside it.

Usage: python benchmarks/combinators.py [--threads N] [--sentences 5000]

Best of several runs in one process; nothing is asserted. Columns: sentences per second of sampling, of `log_prob` and
of all positions at once, and the time of the last against the same calls of the inner languages (1 is free).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import torch

from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.combinators.channels import symmetric_channel
from synthetic.combinators.concatenation import Concatenation
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.restricted import Restricted
from synthetic.combinators.target_noise import TargetNoise
from synthetic.combinators.token_noise import TokenNoise
from synthetic.language import Language


def best(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest wall time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def row(name: str, language: Language, inner: Sequence[Language], n: int) -> str:
    """Return one line of the table."""
    generator = torch.Generator().manual_seed(0)
    sentences = language.sample(n, generator)
    inside = [(part, part.sample(n, generator)) for part in inner]
    draw = best(lambda: language.sample(n, generator))
    log_prob = best(lambda: language.log_prob(sentences))
    every = best(lambda: language.log_masked_conditionals(sentences))
    alone = best(lambda: [part.log_masked_conditionals(own) for part, own in inside])
    return f"{name:<44}{n / draw:>12.3g}{n / log_prob:>12.3g}{n / every:>14.3g}{every / alone:>10.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sentences", type=int, default=5_000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    flat, deep, short = NestedBrackets(16, 2, 2), NestedBrackets(16, 2), NestedBrackets(12, 2)
    words = NestedBrackets(8, 2)
    noise = symmetric_channel(4, 0.9)
    lengths = Mixture((deep, short), (0.5, 0.5))
    languages: list[tuple[str, Language, Sequence[Language]]] = [
        ("Mixture, same support", Mixture((deep, NestedBrackets(16, 2, 8)), (0.5, 0.5)), (deep, deep)),
        ("Mixture, one support within the other", Mixture((deep, flat), (0.5, 0.5)), (deep, flat)),
        ("Mixture, two lengths", lengths, (deep, short)),
        ("Concatenation", Concatenation((deep, deep)), (deep, deep)),
        ("TargetNoise", TargetNoise(deep, noise), (deep,)),
        (f"TokenNoise, {words.n_words} hidden words", TokenNoise(words, noise), (words,)),
        ("Restricted to one of two lengths", Restricted(lengths, (16,)), (lengths,)),
    ]
    print(f"{'sentences/s':<44}{'sample':>12}{'log_prob':>12}{'all positions':>14}{'× inner':>10}")
    for name, language, inner in languages:
        print(row(name, language, inner, arguments.sentences))


if __name__ == "__main__":
    main()
