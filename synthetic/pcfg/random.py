"""Random grammars: layered ones as the authors use, and proper ones of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from synthetic.pcfg.grammar import Grammar, GrammarError, Rule


def layered_grammar(
    generator: np.random.Generator,
    *,
    roots: int = 9,
    levels: Sequence[int] = (10, 10, 10, 10),
    terminals: int = 200,
    rules: int = 20,
    words: int = 1,
    leaf_words: int = 100,
    stop: float = 0.17,
    concentration: float = 1.0,
    ambiguity: float = 1.0,
) -> Grammar:
    """Draw a grammar of the authors' shape: S → S1…Sr → A1 A1, A1 → A2 A2, …, the last level emitting terminals.

    The defaults are the size of the authors' released grammar (second-hand): 50 nonterminals and 200 terminals;
    sentences have 2 to 2^levels tokens. Source: ours.

    Args:
        generator: source of all randomness.
        roots: number of root symbols S1, S2, …, each with one rule to a pair of the first level.
        levels: number of nonterminals A{level}_{i} on each level; their number is the depth.
        terminals: number of terminals t0, t1, ….
        rules: binary rules of each nonterminal that is not on the last level (as many as there are pairs, at most).
        words: terminals of each nonterminal that is not on the last level.
        leaf_words: terminals of each nonterminal on the last level.
        stop: probability that a nonterminal above the last level emits a terminal (0 with `words` = 0).
        concentration: of the symmetric Dirichlet law of probabilities; small values give few likely rules.
        ambiguity: share of the terminals that all last-level nonterminals may emit; at 0 each has its own.

    Raises:
        GrammarError: if a size or probability is out of range.
    """
    sizes = {"roots": roots, "levels": min(levels, default=0), "terminals": terminals, "leaf_words": leaf_words}
    for name, size in {**sizes, "rules": rules}.items():
        if size < 1:
            raise GrammarError(f"expected {name} >= 1, got {size}; every symbol needs a rule")
    if not 0 <= stop < 1 or not 0 <= ambiguity <= 1 or not concentration > 0 or words < 0:
        raise GrammarError(
            f"expected 0 <= stop < 1, 0 <= ambiguity <= 1, concentration > 0 and words >= 0, got {stop}, {ambiguity}, "
            f"{concentration} and {words}; choose them in range"
        )
    tokens = [f"t{v}" for v in range(terminals)]
    names = [[f"A{depth}_{i}" for i in range(size)] for depth, size in enumerate(levels, start=1)]
    tops = [f"S{r}" for r in range(1, roots + 1)]
    found = [Rule("S", (top,), p) for top, p in zip(tops, _dirichlet(generator, roots, concentration), strict=True)]
    # One shuffled round of the first level after another: every symbol of it is reached if 2·roots suffice.
    rounds = -(-2 * roots // len(names[0]))
    below = [names[0][int(i)] for _ in range(rounds) for i in generator.permutation(len(names[0]))]
    found += [Rule(top, (below[2 * r], below[2 * r + 1]), 1.0) for r, top in enumerate(tops)]
    emitting = stop if words else 0.0
    for level, below in pairwise(names):
        for symbol in level:
            pairs = _pairs(generator, below, rules)
            prob = _dirichlet(generator, len(pairs), concentration, 1 - emitting)
            found += [Rule(symbol, pair, p) for pair, p in zip(pairs, prob, strict=True)]
            found += _emissions(generator, symbol, tokens, words, emitting, concentration)
    for index, symbol in enumerate(names[-1]):
        shared = round(ambiguity * terminals)
        own = tokens[shared:][index :: len(names[-1])]
        known = tokens[:shared] + own or [tokens[index % terminals]]
        found += _emissions(generator, symbol, known, leaf_words, 1.0, concentration)
    return Grammar.from_rules([rule for rule in found if rule.prob > 0], renormalise=True)


def random_grammar(
    generator: np.random.Generator,
    *,
    nonterminals: int = 4,
    terminals: int = 3,
    rules: int = 3,
    words: int = 2,
    branching: float = 0.45,
    unary: int = 0,
) -> Grammar:
    """Draw a grammar in Chomsky normal form with any recursion, proper for certain.

    Each nonterminal branches with total probability `branching` < ½, so that the mean matrix has row sums 2·branching
    < 1 (of S with unary rules: at most 1, and the symbols below it less), and derivations end. Source: ours.

    Args:
        generator: source of all randomness.
        nonterminals: number of nonterminals, S among them.
        terminals: number of terminals; all of them may be emitted by S or others, some by none.
        rules: binary rules of each nonterminal.
        words: terminals of each nonterminal.
        branching: total probability of the binary rules of each nonterminal, below ½.
        unary: number of rules S → A.

    Raises:
        GrammarError: if a size or probability is out of range.
    """
    if min(nonterminals, terminals, rules, words) < 1 or not 0 < branching < 1 / 2 or not 0 <= unary < nonterminals:
        raise GrammarError(
            f"expected sizes >= 1, 0 < branching < 1/2 and unary < nonterminals, got {nonterminals} nonterminals, "
            f"{terminals} terminals, {rules} rules, {words} words, branching {branching}, unary {unary}"
        )
    names = ["S", *(f"N{i}" for i in range(1, nonterminals))]
    tokens = [f"t{v}" for v in range(terminals)]
    found: list[Rule] = []
    for name in names:
        roots = unary if name == "S" else 0
        share = 0.4 if roots else 1.0
        pairs = _pairs(generator, names, rules)
        prob = _dirichlet(generator, len(pairs), 1.0, share * branching)
        found += [Rule(name, pair, p) for pair, p in zip(pairs, prob, strict=True)]
        found += _emissions(generator, name, tokens, words, share * (1 - branching), 1.0)
        below = generator.permutation(nonterminals - 1)[:roots] + 1
        prior = _dirichlet(generator, roots, 1.0, 1 - share)
        found += [Rule("S", (names[int(i)],), p) for i, p in zip(below, prior, strict=True)]
    return Grammar.from_rules(found, renormalise=True)


def _dirichlet(generator: np.random.Generator, size: int, concentration: float, total: float = 1.0) -> list[float]:
    return [total * float(p) for p in generator.dirichlet([concentration] * size)] if size else []


def _pairs(generator: np.random.Generator, symbols: Sequence[str], n: int) -> list[tuple[str, str]]:
    picks = generator.permutation(len(symbols) ** 2)[:n]
    return [(symbols[int(pick) // len(symbols)], symbols[int(pick) % len(symbols)]) for pick in picks]


def _emissions(
    generator: np.random.Generator, symbol: str, tokens: Sequence[str], n: int, total: float, concentration: float
) -> list[Rule]:
    picks = generator.permutation(len(tokens))[:n]
    prob = _dirichlet(generator, len(picks), concentration, total)
    return [Rule(symbol, (tokens[int(pick)],), p) for pick, p in zip(picks, prob, strict=True)]
