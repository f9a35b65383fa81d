"""Speed of the grammars' languages: conditionals of all positions, and sampling, beside targets and limits.

Usage: python benchmarks/pcfg.py [--threads N] [--device cpu] [--sentences 8192] [--grammar FILE]

A layered grammar of the authors' size (50 nonterminals, 200 terminals, sentences of 2 to 16 tokens), or one read from
a plain file. The baseline is what one writes first: one chart (CYK, plain numpy) for each position and token. All is
timed in one run, best of several, because other processes can only slow it down; nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from synthetic import PAD
from synthetic.pcfg import PCFG, layered_grammar, read_plain
from synthetic.semiring import Linear

SEED, TARGET, RATIO_TARGET, SAMPLING_TARGET = 1, 2000, 1000, 1e6


def best(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Return the shortest wall time of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)


def direct_log_prob(language: PCFG, tokens: list[int]) -> float:
    """Fill one chart span by span and split by split, each with an array over the rules."""
    rules, length = language.rules, len(tokens)
    parent, left, right = (part.numpy() for part in rules.binary.T)
    prob, emission = rules.binary_prob.numpy(), rules.emission().numpy()
    chart = np.zeros((length, length + 1, rules.n_symbols))
    for i, token in enumerate(tokens):
        chart[i, i + 1] = emission[:, token]
    for width in range(2, length + 1):
        for i in range(length - width + 1):
            for k in range(1, width):
                np.add.at(chart[i, i + width], parent, prob * chart[i, i + k, left] * chart[i + k, i + width, right])
    return float(chart[0, length, 0])


def time_direct(language: PCFG, sentence: list[int], completions: int) -> float:
    """Return the seconds that all positions and tokens of a sentence take the direct way, from some of them."""
    start = time.perf_counter()
    for v in range(completions):
        direct_log_prob(language, [v % language.n_tokens, *sentence[1:]])
    return (time.perf_counter() - start) / completions * len(sentence) * language.n_tokens


def work(language: PCFG, sentences: Tensor) -> float:
    """Return the floating-point operations per sentence of the passes: products of rows, then matrices."""
    total = 0.0
    lengths = torch.bincount((sentences != PAD).sum(1)).double() / len(sentences)
    blocks = language.parser.plan(Linear, torch.device("cpu")).blocks
    for length, share in enumerate(lengths.tolist()):
        for block in blocks if share else ():
            for w in range(2, length + 1):
                places, splits = block.places(w, length), len(block.splits[w])
                products = sum(2 * rule.matrix.shape[1] for rule in (block.inside, block.left, block.right))
                total += share * places * splits * products
                total += share * places * (splits > 0) * 2 * block.inside.matrix.numel()
            for k in range(1, length):
                for rule, widths in ((block.left, block.splits), (block.right, block.splits)):
                    used = any((k if rule is block.left else w - k) in widths[w] for w in range(k + 1, length + 1))
                    total += share * used * (length - k + 1) * 2 * rule.matrix.numel()
        total += share * length * 2 * language.n_tokens * len(language.parser.widths)
    return total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sentences", type=int, default=8192)
    parser.add_argument("--grammar", help="a plain file; renormalised")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    if arguments.grammar:
        grammar = read_plain(arguments.grammar, renormalise=True)
    else:
        grammar = layered_grammar(np.random.default_rng(SEED))
    language = PCFG(grammar, 16)
    generator = torch.Generator(device).manual_seed(SEED)
    x = language.sample(arguments.sentences, generator)
    language.log_masked_conditionals(x[:256])
    conditionals = len(x) / best(lambda: language.log_masked_conditionals(x), 3, device)
    log_probs = len(x) / best(lambda: language.log_prob(x), 3, device)
    n = 16 * len(x)
    mean_length = float((x != PAD).sum(1).double().mean())
    drawn = n / best(lambda: language.sample(n, generator), 3, device) * mean_length
    middle = x[(x != PAD).sum(1) == int((x != PAD).sum(1).median())][0]
    sentence = [v for v in middle.tolist() if v != PAD]
    direct = 1 / time_direct(language, sentence, 4)
    print(f"{language!r} on {device}, {arguments.threads} threads, mean length {mean_length:.1f}\n")
    print(f"{'':<44}{'rate':>14}{'target':>12}{'ratio':>9}")
    for name, rate, target in (
        ("all masked conditionals, sentences/s", conditionals, TARGET),
        (f"  × direct way ({direct:.2g} sentences/s)", conditionals / direct, RATIO_TARGET),
        ("sampling, tokens/s", drawn, SAMPLING_TARGET),
    ):
        print(f"{name:<44}{rate:>14,.0f}{target:>12,.0f}{rate / target:>9.2f}")
    print(f"{'log_prob, sentences/s':<44}{log_probs:>14,.0f}")
    size = torch.rand(1000, 1000, dtype=torch.float64, device=device)
    peak = 2e9 / best(lambda: size @ size, 5, device)
    done = conditionals * work(language, x)
    print(f"\narithmetic of the conditionals: {done / 1e9:.2g} Gflop/s, {done / peak:.0%} of a matrix product's")
    print("(products of rows move 24 bytes for two operations, so memory, not arithmetic, bounds them)")


if __name__ == "__main__":
    main()
