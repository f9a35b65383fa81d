"""Labels and sampling of grammars' languages: enumeration of derivations, and bands at stated levels."""

import numpy as np
import pytest
import torch

from synthetic import PAD
from synthetic.pcfg import PCFG, Grammar, layered_grammar
from synthetic.pcfg.exact import inside_exact
from synthetic.pcfg.sampling import Lottery
from synthetic.testing.oracle import dkwm_half_width

RULES = [
    ("S", ("X",), 0.4), ("S", ("Y",), 0.6),
    ("X", ("A", "B"), 0.5), ("X", ("A", "X"), 0.5), ("Y", ("A", "A"), 0.75), ("Y", ("B", "X"), 0.25),
    ("A", ("a",), 0.5), ("A", ("b",), 0.5), ("B", ("b",), 0.75), ("B", ("c",), 0.25),
]  # fmt: skip


def from_symbol(symbol: str) -> Grammar:
    """The same rules with another start symbol, whose derivations are then whole sentences."""
    rules = [rule for rule in RULES if rule[0] != "S"]
    return Grammar.from_rules(rules, start=symbol)


def inside_of(symbol: str, words: list[str]) -> float:
    grammar = from_symbol(symbol)
    return float(inside_exact(grammar, tuple(grammar.terminals.index(word) for word in words)))


LANGUAGE = PCFG(Grammar.from_rules(RULES), 4)
SENTENCES = LANGUAGE.enumerate().sentences


def words_of(row: list[int]) -> list[str]:
    return [LANGUAGE.vocabulary[v] for v in row if v != PAD]


@pytest.mark.parametrize("posterior", [False, True])
def test_the_root_is_the_symbol_with_the_greatest_score_in_fractions(posterior: bool) -> None:
    labels = LANGUAGE.root_task(posterior=posterior).label(SENTENCES)
    prior = {"X": 0.4, "Y": 0.6} if posterior else {"X": 1.0, "Y": 1.0}
    for row, label in zip(SENTENCES.tolist(), labels.tolist(), strict=True):
        scores = {symbol: prior[symbol] * inside_of(symbol, words_of(row)) for symbol in ("X", "Y")}
        best = max(scores, key=lambda symbol: scores[symbol])
        assert LANGUAGE.grammar.nonterminals[int(label)] == best


def test_a_span_has_the_symbol_with_the_greatest_inside_probability() -> None:
    labels = LANGUAGE.span_task(0, 2).label(SENTENCES)
    for row, label in zip(SENTENCES.tolist(), labels.tolist(), strict=True):
        words = words_of(row)[:2]
        scores = [inside_of(symbol, words) for symbol in LANGUAGE.grammar.nonterminals[1:]]
        assert label == (-1 if len(words_of(row)) < 2 or max(scores) == 0 else 1 + scores.index(max(scores)))


def test_a_posterior_label_is_the_most_frequent_symbol_over_the_span() -> None:
    # Whole sentences as spans: the posterior of the root, whose closed form the first test checks.
    whole = SENTENCES[(SENTENCES != PAD).sum(1) == 4]
    span = LANGUAGE.span_task(0, 4, posterior=True).label(whole)
    assert torch.equal(span, LANGUAGE.root_task(posterior=True).label(whole))
    # Tokens 2 and 3 of four can only be an X here, the last part of A X or of B X, though A A would fit them as well.
    last = LANGUAGE.span_task(2, 4, posterior=True).label(whole)
    assert {LANGUAGE.grammar.nonterminals[int(label)] for label in last} == {"X"}


def test_short_sentences_and_ties() -> None:
    rules = [("S", ("P",), 0.5), ("S", ("Q",), 0.5), ("Q", ("a",), 0.3), ("Q", ("b",), 0.7)]
    # 0.1 + 0.2 is one unit of rounding above 0.3, which decides nothing.
    grammar = Grammar.from_rules([*rules, ("P", ("a",), 0.1 + 0.2), ("P", ("b",), 0.7)])
    language = PCFG(grammar, 2)
    task = language.root_task()
    assert grammar.nonterminals == ("S", "Q", "P")
    assert task.label(torch.tensor([[0, PAD], [1, PAD]])).tolist() == [1.0, 1.0]
    assert language.span_task(0, 2).label(torch.tensor([[0, PAD]])).tolist() == [-1.0]
    assert task.label_values == (-1.0, 1.0, 2.0)
    assert task.features(torch.tensor([[1, PAD]])).tolist() == [[0.0, 1.0, 0.0, 0.0]]
    assert task.label(torch.zeros(0, 2, dtype=torch.int64)).shape == (0,)
    with pytest.raises(ValueError, match=r"expected a span 0 <= start < stop <= 2, got 1\.\.3"):
        language.span_task(1, 3)


def test_sampling_at_a_given_length_follows_the_conditional_law() -> None:
    n, level = 20_000, 1e-9
    whole = LANGUAGE.enumerate()
    for length in (2, 4):
        x = LANGUAGE.sample_length(n, length, torch.Generator().manual_seed(length))
        rows = (whole.sentences != PAD).sum(1) == length
        law = whole.prob[rows] / whole.prob[rows].sum()
        count = (x[:, None, :] == whole.sentences[rows]).all(2).sum(0)
        assert int(count.sum()) == n
        assert float((count / n - law).cumsum(0).abs().max()) <= dkwm_half_width(n, level)


def test_lengths_follow_their_law() -> None:
    language = PCFG(layered_grammar(np.random.default_rng(0), terminals=20, leaf_words=5), 16)
    n = 20_000
    x = language.sample(n, torch.Generator().manual_seed(0))
    share = torch.bincount((x != PAD).sum(1), minlength=17)[1:] / n
    assert float((share - language.lengths.prob).cumsum(0).abs().max()) <= dkwm_half_width(n, 1e-9)


def test_a_lottery_never_draws_what_has_no_weight() -> None:
    weight = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 1e-300, 0.0], dtype=torch.float64)
    lottery = Lottery.of(torch.tensor([0, 0, 0, 0, 0, 2, 2, 2]), weight, 3)
    generator = torch.Generator().manual_seed(0)
    first = lottery.draw(torch.zeros(5000, dtype=torch.int64), generator)
    assert set(first.tolist()) == {1, 3}
    assert abs(float((first == 1).double().mean()) - 1 / 4) <= dkwm_half_width(5000, 1e-9)
    assert set(lottery.draw(torch.full((100,), 2), generator).tolist()) == {6}
