"""Probabilities of strings under a grammar in Fractions: slow, and independent of the charts it is a check of."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from synthetic.pcfg.grammar import Grammar


def inside_exact(grammar: Grammar, tokens: tuple[int, ...]) -> Fraction:
    """Return Pr(S derives the tokens), the exact value for the rules' float64 probabilities.

    By the definition, top down with memory: the first rule of each span, then its split.

    >>> grammar = Grammar.from_rules([("S", ("S", "S"), 0.5), ("S", ("a",), 0.5)])
    >>> inside_exact(grammar, (0, 0, 0))  # two trees, each of five rules
    Fraction(1, 16)
    """
    binary: dict[int, list[tuple[int, int, Fraction]]] = {}
    for (a, b, c), prob in zip(grammar.binary.tolist(), grammar.binary_prob.tolist(), strict=True):
        binary.setdefault(a, []).append((b, c, Fraction(prob)))
    lexical = {
        (a, v): Fraction(prob)
        for (a, v), prob in zip(grammar.lexical.tolist(), grammar.lexical_prob.tolist(), strict=True)
    }
    unary = [(a, Fraction(p)) for a, p in zip(grammar.unary.tolist(), grammar.unary_prob.tolist(), strict=True)]

    @cache
    def span(a: int, start: int, stop: int) -> Fraction:
        total = lexical.get((a, tokens[start]), Fraction(0)) if stop == start + 1 else Fraction(0)
        for b, c, prob in binary.get(a, ()):
            for middle in range(start + 1, stop):
                if left := span(b, start, middle):
                    total += prob * left * span(c, middle, stop)
        if a == 0:
            total += sum((prob * span(child, start, stop) for child, prob in unary), Fraction(0))
        return total

    return span(0, 0, len(tokens))
