"""Analysis of grammars: closed forms of a branching process, enumeration, and errors that name the symbol."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from synthetic.pcfg import PCFG, Grammar, GrammarError, layered_grammar, random_grammar
from synthetic.pcfg.analysis import (
    ImproperGrammarError,
    UnproductiveSymbolError,
    UnreachableSymbolError,
    check_grammar,
    derivation_entropy,
    entropy_rate,
    expected_length,
    expected_uses,
    length_law,
    mean_matrix,
    productive,
    reachable,
    spectral_radius,
    termination_probability,
)
from synthetic.testing.strategies import grammars

EPS = torch.finfo(torch.float64).eps


def branching(p: float) -> Grammar:
    return Grammar.from_rules([("S", ("S", "S"), p), ("S", ("a",), 1 - p)])


@pytest.mark.parametrize("p", [0.1, 0.3, 0.45])
def test_closed_form_of_a_branching_process(p: float) -> None:
    grammar = branching(p)
    assert mean_matrix(grammar).tolist() == [[2 * p]]
    assert spectral_radius(grammar) == pytest.approx(2 * p)
    assert expected_uses(grammar).tolist() == pytest.approx([1 / (1 - 2 * p)])
    assert expected_length(grammar) == pytest.approx((1 - p) / (1 - 2 * p))
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert derivation_entropy(grammar) == pytest.approx(entropy / (1 - 2 * p))
    assert entropy_rate(grammar) == pytest.approx(entropy / (1 - p))


@pytest.mark.parametrize("p", [0.2, 0.5, 0.6, 0.9])
def test_closed_form_of_termination(p: float) -> None:
    # q = 1 − p + p q²; Newton's steps halve the error at the critical point, down to √ε.
    expected = min(1.0, (1 - p) / p)
    assert float(termination_probability(branching(p))[0]) == pytest.approx(expected, abs=1e-6 if p == 0.5 else 1e-14)


@given(grammars())
@settings(max_examples=15, deadline=None)
def test_property_random_grammars_end_and_their_lengths_add_up(grammar: Grammar) -> None:
    assert spectral_radius(grammar) < 1
    assert float(termination_probability(grammar).min()) == pytest.approx(1.0, abs=1e-9)
    law = length_law(grammar, 60)
    assert float(law.sum()) <= 1 + 1e-12
    tail = 1 - float(law.sum())
    assert expected_length(grammar) >= float(law @ torch.arange(1, 61).double()) + 61 * tail - 1e-9


def test_expected_spans_are_the_means_of_enumerated_counts() -> None:
    language = PCFG(random_grammar(np.random.default_rng(5), nonterminals=3, terminals=2, unary=1), 5)
    whole = language.enumerate()
    count = torch.stack([(whole.sentences == v).sum(1) for v in range(language.n_tokens)], 1).double()
    mean = whole.prob @ count
    torch.testing.assert_close(language.lengths.unigram, mean / mean.sum(), rtol=256 * EPS, atol=0.0)
    assert float(language.lengths.spans[:, 1].sum()) == pytest.approx(float(mean.sum()), rel=256 * EPS)
    assert float(language.lengths.uses.sum()) == pytest.approx(float(mean.sum()) - 1, rel=256 * EPS)


def test_layered_grammars_have_the_shape_asked_for() -> None:
    grammar = layered_grammar(np.random.default_rng(0))
    assert (len(grammar.nonterminals), len(grammar.unary)) == (50, 9)
    assert 190 <= len(grammar.terminals) <= 200
    check_grammar(grammar)
    assert float(length_law(grammar, 16).sum()) == pytest.approx(1.0, abs=1e-12)
    unambiguous = layered_grammar(np.random.default_rng(0), ambiguity=0.0, stop=0.0, terminals=40, leaf_words=4)
    emitted = unambiguous.lexical[:, 1].tolist()
    assert len(set(emitted)) == len(emitted)


def test_useless_and_improper_symbols_are_named() -> None:
    lost = Grammar.from_rules([("S", ("a",), 1.0), ("Lost", ("S", "S"), 1.0)])
    assert reachable(lost) == {"S"}
    with pytest.raises(UnreachableSymbolError, match="reachable from 'S', got 'Lost'"):
        check_grammar(lost)
    endless = Grammar.from_rules([("S", ("a",), 0.5), ("S", ("S", "Loop"), 0.5), ("Loop", ("Loop", "S"), 1.0)])
    assert productive(endless) == {"S"}
    with pytest.raises(UnproductiveSymbolError, match="productive, got 'Loop'"):
        check_grammar(endless)
    assert termination_probability(endless).tolist() == pytest.approx([0.5, 0.0])
    with pytest.raises(ImproperGrammarError, match=r"to end with probability 1, got 0.666667 from 'S'"):
        check_grammar(branching(0.6))
    with pytest.raises(ImproperGrammarError, match=r"spectral radius of the mean matrix below 1, got 1.2 .*'S'"):
        expected_length(branching(0.6))
    check_grammar(branching(0.5))


def test_sizes_out_of_range_are_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(GrammarError, match="expected roots >= 1, got 0"):
        layered_grammar(generator, roots=0)
    with pytest.raises(GrammarError, match="expected 0 <= stop < 1"):
        layered_grammar(generator, stop=1.0)
    with pytest.raises(GrammarError, match="0 < branching < 1/2"):
        random_grammar(generator, branching=0.5)
