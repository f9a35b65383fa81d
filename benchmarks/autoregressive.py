"""Speed of the autoregressive languages: masked conditionals and sampled tokens per second, beside what bounds them.

Usage: python benchmarks/autoregressive.py [--threads N] [--quick]

n-gram languages of the text that ships with Python, and small causal transformers with random weights, with the prefix
read once for all candidates and read anew for each. A conditional is the whole law of one masked token. Best of several
runs in one process; times are of the processor, not of the clock, so that other processes count less; nothing is
asserted. The limit of an n-gram conditional is the time of one exponential for each candidate, measured here; that of a
transformer the multiplications of its matrices, at the rate of a large product.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from synthetic.autoregressive.corpus import python_corpus
from synthetic.autoregressive.language import Autoregressive
from synthetic.autoregressive.modules import from_huggingface
from synthetic.autoregressive.transformer import CausalTransformer
from synthetic.language import Language

TOKENS_PER_SECOND = 1e6
"""Target of n-gram sampling on two cores."""


def best(run: Callable[[], object], threads: int, repeats: int = 5) -> float:
    """Return the shortest time of several runs: processor seconds divided by the threads that share them."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append((time.process_time() - start) / threads)
    return min(times)


def conditionals(language: Language, sentences: int, threads: int) -> tuple[float, float]:
    """Return conditionals per second, all positions at once and one position per context."""
    generator = torch.Generator().manual_seed(0)
    x = language.sample(sentences, generator)
    contexts = language.sample_masked(sentences * 4, generator).contexts
    at_once = x.numel() / best(lambda: language.log_masked_conditionals(x), threads)
    return at_once, len(contexts) / best(lambda: language.log_masked_conditional(contexts), threads)


def sampled(language: Language, sentences: int, threads: int) -> float:
    """Return sampled tokens per second."""
    generator = torch.Generator().manual_seed(0)
    return sentences * language.length / best(lambda: language.sample(sentences, generator), threads)


def exponentials(threads: int) -> float:
    """Return exponentials per second of a float64 array that fits in the cache."""
    x, y = torch.rand(2, 2**17, dtype=torch.float64)
    return len(x) / best(lambda: torch.exp(x, out=y), threads, 20)


def multiplications(threads: int) -> float:
    """Return float64 multiply-adds per second of a matrix product."""
    x: Tensor = torch.rand(512, 512, dtype=torch.float64)
    return float(512**3 / best(lambda: x @ x, threads))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="leave out the languages of 2,000 words")
    arguments = parser.parse_args()
    threads = arguments.threads
    torch.set_num_threads(threads)
    exp_rate, product_rate = exponentials(threads), multiplications(threads)
    print(
        f"{threads} thread(s); {exp_rate / 1e6:.0f} million exp/s, {product_rate / 1e9:.1f} billion multiply-adds/s\n"
    )
    print(f"{'n-gram language':<24}{'all at once/s':>15}{'one each/s':>13}{'of exp limit':>14}", end="")
    print(f"{'sampled tokens/s':>18}{'× target':>10}")
    small = python_corpus()
    sizes = [(small, 200, 16, 2), (small, 200, 16, 3)]
    if not arguments.quick:
        large = python_corpus(("zen", "topics", "docstrings"))
        sizes += [(large, 2000, 24, 2), (large, 2000, 24, 3)]
    for corpus, c, T, order in sizes:
        language: Language = corpus.language(c, order, T)
        at_once, each = conditionals(language, 400 if c == 200 else 60, threads)
        tokens = sampled(language, 100_000, threads)
        print(f"{f'c={c} T={T} n={order}':<24}{at_once:>15,.0f}{each:>13,.0f}{at_once * c / exp_rate:>14.0%}", end="")
        print(f"{tokens:>18,.0f}{tokens / TOKENS_PER_SECOND:>10.1f}")
    c, T, width, layers = 50, 16, 64, 2
    print(f"\ntransformer, {layers} layers, d={width}, c={c}, T={T}, float64: conditionals/s, tokens sampled/s")
    network = CausalTransformer(c, T, torch.Generator().manual_seed(0), width=width, layers=layers)
    rates = {}
    for reuse in (False, True):
        model = from_huggingface(network, bos=0, n_tokens=c, reuse_prefix=reuse)
        language = Autoregressive(model, tuple(f"w{v}" for v in range(c)), T)
        rates[reuse], _ = conditionals(language, 2, threads)
        # Per candidate: the tokens read, each through 12 d^2 multiply-adds per layer and the read-out of c.
        read = (T - 1) / 2 if reuse else T - (T - 1) / T
        limit = product_rate / (c * read * (12 * width**2 * layers + c * width))
        tokens = sampled(language, 200, threads)
        name = "prefix read once" if reuse else "prefix read for each"
        print(f"{name:<24}{rates[reuse]:>12,.1f} ({rates[reuse] / limit:.0%} of the products' limit){tokens:>12,.0f}")
    print(
        f"ratio of the two: {rates[True] / rates[False]:.2f}; tokens read, ratio {(T - 1 + 1 / T) / ((T - 1) / 2):.2f}"
    )


if __name__ == "__main__":
    main()
