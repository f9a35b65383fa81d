"""Speed of the nested brackets: words drawn and conditionals computed per second, beside the general rule and a copy.

Usage: python benchmarks/nested_brackets.py [--threads N] [--words 50000]

Best of several runs in one process; nothing is asserted. The general rule is `Language.log_masked_conditionals`, which
fills in every token at every position. The last column is the share of the speed of copying the words once, the least
that any of these operations must do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.language import Language
from synthetic.tokens import mask

TARGETS = {
    "sample": (1e6, "tokens"),
    "log_masked_conditional": (1e5, "words"),
    "log_masked_conditionals": (1e5, "words"),
}
"""Rates asked for at T = 16, k = 2."""


def best(run: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest wall time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def report(language: NestedBrackets, n: int) -> None:
    """Print the rates of one language."""
    generator = torch.Generator().manual_seed(0)
    words = language.sample(n, generator)
    few = words[: max(1, n // 50)]
    positions = torch.arange(n) % language.T
    contexts = mask(words, positions)
    runs: list[tuple[str, int, Callable[[], object]]] = [
        ("sample", n, lambda: language.sample(n, generator)),
        ("log_prob", n, lambda: language.log_prob(words)),
        ("log_masked_conditional", n, lambda: language.log_masked_conditional(contexts)),
        ("log_masked_conditionals", n, lambda: language.log_masked_conditionals(words)),
        ("  by the general rule", len(few), lambda: Language.log_masked_conditionals(language, few)),
    ]
    copy = n / best(words.clone)
    print(f"\nT = {language.T}, k = {language.k}, D = {language.D}, {n} words")
    print(f"{'':<26}{'words/s':>12}{'tokens/s':>12}{'× target':>10}{'of a copy':>11}")
    for name, rows, run in runs:
        rate = rows / best(run)
        target, unit = TARGETS.get(name, (0.0, "")) if language.T == 16 else (0.0, "")
        reached = rate * (language.T if unit == "tokens" else 1) / target if target else None
        shown = f"{reached:>10.1f}" if reached else " " * 10
        print(f"{name:<26}{rate:>12.3g}{rate * language.T:>12.3g}{shown}{rate / copy:>11.2%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--words", type=int, default=50_000)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"targets at T = 16, k = 2: {', '.join(f'{name} {rate:.0e} {of}/s' for name, (rate, of) in TARGETS.items())}")
    report(NestedBrackets(16, 2), arguments.words)
    report(NestedBrackets(16, 2, 3), arguments.words)
    report(NestedBrackets(128, 8, 12), max(1, arguments.words // 20))


if __name__ == "__main__":
    main()
