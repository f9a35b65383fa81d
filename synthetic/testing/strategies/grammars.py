"""Probabilistic context-free grammars and their languages."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from synthetic.pcfg import PCFG, Grammar, layered_grammar, random_grammar
from synthetic.testing.strategies.steady import steady


def grammars(max_nonterminals: int = 5, max_terminals: int = 3) -> st.SearchStrategy[Grammar]:
    """Draw a proper grammar: recursive of any shape, or layered with two levels."""

    def recursive(seed: int, nonterminals: int, terminals: int, rules: int, branching: float, unary: int) -> Grammar:
        sizes = {"nonterminals": nonterminals, "terminals": terminals, "unary": min(unary, nonterminals - 1)}
        return random_grammar(np.random.default_rng(seed), rules=rules, branching=branching, **sizes)

    def layered(seed: int, roots: int, size: int, terminals: int, ambiguity: float) -> Grammar:
        sizes = {"roots": roots, "terminals": terminals, "rules": 2, "leaf_words": 2}
        return layered_grammar(np.random.default_rng(seed), levels=(size, 2), ambiguity=ambiguity, **sizes)

    seed, few, tokens = st.integers(0, 2**32), st.integers(1, 3), st.integers(1, max_terminals)
    branching = st.floats(0.05, 0.49)
    shapes = st.builds(
        steady(recursive), seed, st.integers(1, max_nonterminals), tokens, few, branching, st.integers(0, 2)
    )
    return st.one_of(shapes, st.builds(steady(layered), seed, few, few, tokens, st.floats(0, 1)))


def pcfg_languages(max_length: int = 4) -> st.SearchStrategy[PCFG]:
    """Draw the language of a random grammar, of lengths up to max_length or of one length that it has."""

    def build(grammar: Grammar, length: int, fixed: bool) -> PCFG:
        # Layered grammars have sentences of one length or few; T = 4 has some in every case.
        possible = PCFG(grammar, max_length).lengths.prob > 0
        if fixed and possible[length - 1]:
            return PCFG(grammar, length, fixed_length=True)
        return PCFG(grammar, length if possible[:length].any() else max_length)

    return st.builds(steady(build), grammars(), st.integers(1, max_length), st.booleans())
