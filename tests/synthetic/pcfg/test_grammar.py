"""Grammars as values and as text: round trips, NLTK's answers, and refusals that name rule, symbol and line."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from synthetic.pcfg import PCFG, Grammar, GrammarError, read_plain, write_plain
from synthetic.pcfg.files import GrammarFileError, read_nltk, write_nltk
from synthetic.testing.strategies import grammars

AMBIGUOUS = [
    ("S", ("S", "S"), 0.25),
    ("S", ("A",), 0.125),
    ("S", ("b",), 0.625),
    ("A", ("S", "A"), 0.5),
    ("A", ("a",), 0.5),
]


def test_symbols_are_numbered_in_order_of_their_rules() -> None:
    grammar = Grammar.from_rules([*AMBIGUOUS, ("S", ("c",), 0.0)])
    assert grammar.nonterminals == ("S", "A")
    assert grammar.terminals == ("b", "c", "a")
    assert grammar.start == "S"
    assert grammar.unary.tolist() == [1]
    assert grammar.n_rules == len(list(grammar.rules())) == 6


def test_property_numbering_terminals_by_name_changes_nothing_else() -> None:
    grammar = Grammar.from_rules([*AMBIGUOUS, ("A", ("c",), 0.0)])
    renamed = grammar.alphabetical()
    assert grammar.terminals == ("b", "a", "c")
    assert renamed.terminals == ("a", "b", "c")
    assert list(renamed.rules()) == list(grammar.rules())
    words = [[0, 1, 0], [1, 0, 0]]
    same = [[renamed.terminals.index(grammar.terminals[v]) for v in row] for row in words]
    assert PCFG(renamed, 3).log_prob(torch.tensor(same)).equal(PCFG(grammar, 3).log_prob(torch.tensor(words)))
    assert renamed.alphabetical().lexical.equal(renamed.lexical)


def test_duplicates_are_summed_and_rows_renormalised() -> None:
    rules = [("S", ("a",), 0.25), ("S", ("b",), 0.5), ("S", ("a",), 0.25)]
    assert [tuple(r) for r in Grammar.from_rules(rules).rules()] == [("S", ("a",), 0.5), ("S", ("b",), 0.5)]
    doubled = [(a, rhs, 2 * p) for a, rhs, p in rules]
    assert Grammar.from_rules(doubled, renormalise=True).lexical_prob.tolist() == [0.5, 0.5]


@given(grammars())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_property_text_round_trips_exactly(tmp_path: Path, grammar: Grammar) -> None:
    for write, read in ((write_plain, read_plain), (write_nltk, read_nltk)):
        write(grammar, tmp_path / "g")
        back = read(tmp_path / "g")
        assert list(back.rules()) == list(grammar.rules())
        assert (back.nonterminals, back.terminals) == (grammar.nonterminals, grammar.terminals)


def test_nltk_alternatives_quotes_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "g.pcfg"
    path.write_text("# a comment\n\nS -> A A [0.5] | 'it''s' [0.25] | \"it's\" [0.25]\nA -> 'x|[y]' [1.0]\n")
    with pytest.raises(GrammarFileError, match="line 3"):
        read_nltk(path)
    path.write_text("# a comment\n\nS -> A A [0.5] | \"it's\" [.5]\nA -> 'x|[y]' [1.0]\n")
    assert read_nltk(path).terminals == ("it's", "x|[y]")


def test_cross_library_nltk_sums_over_the_same_parses(tmp_path: Path) -> None:
    nltk = pytest.importorskip("nltk", reason="needs nltk, the extra `oracles`")
    grammar = Grammar.from_rules(AMBIGUOUS)
    write_nltk(grammar, tmp_path / "g")
    parser = nltk.InsideChartParser(nltk.PCFG.fromstring((tmp_path / "g").read_text()))
    language = PCFG(grammar, 4)
    for row in language.candidates().tolist():
        words = [language.vocabulary[v] for v in row if v >= 0]
        total = math.fsum(tree.prob() for tree in parser.parse(words))
        log_prob = float(language.log_prob(torch.tensor([row]))[0]) + math.log(language.lengths.total)
        assert math.exp(log_prob) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("S a 0.5\nS b\n", "line 2: expected `LHS RHS… probability`, got 'S b'"),
        ("S a -0.5\n", "line 1: expected a probability >= 0, got '-0.5'"),
        ("S a nan\n", "line 1: expected a probability >= 0, got 'nan'"),
        ("S a one\n", "line 1: expected a probability >= 0, got 'one'"),
        ("S a b 1.0\n", "line 1: expected A -> B C, .* got S -> a b"),
        ("S A 1.0\n\nA B 1\nB b 1\n", "line 3: expected A -> B C, .* S -> A of the start symbol, got A -> B"),
        ("S S 0.5\nS a 0.5\n", "line 1: expected A -> B C"),
        ("S a 0.5\nS b 0.4\n", "expected the probabilities of 'S' to sum to 1, got 1 -0.1; .*renormalise=True"),
        ("# nothing\n", "expected rules, got none"),
    ],
)
def test_plain_text_that_is_no_grammar_is_refused(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "g").write_text(text)
    with pytest.raises(GrammarFileError, match=f"g: {finding}"):
        read_plain(tmp_path / "g")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("S 'a' [1.0]\n", "line 1: expected `LHS -> RHS… \\[probability\\]`"),
        ("S -> 'a'\n", "line 1: expected a probability in brackets at the end"),
        ("S -> 'a' [0.5] 'b' [0.5]\n", "line 1: expected `RHS"),
        ("S -> [0.5]\n", "line 1: expected `RHS"),
        ("S -> 'a [0.5]\n", "line 1: expected `RHS"),
        ("S -> 'a' [x]\n", "line 1: expected a probability >= 0, got 'x'"),
        ("S -> A [1.0]\n", "line 1: expected rules for 'A' of 'S', got none"),
        ("S -> A A [1.0]\nA -> 'S' [1.0]\n", "line 2: expected terminals with other names than nonterminals"),
    ],
)
def test_nltk_text_that_is_no_grammar_is_refused(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "g").write_text(text)
    with pytest.raises(GrammarFileError, match=f"g: {finding}"):
        read_nltk(tmp_path / "g")


@pytest.mark.parametrize(
    ("write", "names", "finding"),
    [
        (write_plain, ("S", "a b"), "without white space"),
        (write_plain, ("#S", "a"), "do not start a comment"),
        (write_nltk, ("S!", "a"), "nonterminal of letters"),
        (write_nltk, ("S", "\"'"), "without both kinds of quotes"),
    ],
)
def test_names_that_a_format_cannot_hold_are_refused(
    tmp_path: Path, write: Callable[[Grammar, Path], None], names: tuple[str, str], finding: str
) -> None:
    with pytest.raises(GrammarError, match=finding):
        write(Grammar.from_rules([(names[0], (names[1],), 1.0)]), tmp_path / "g")


def test_rules_that_are_no_grammar_are_refused() -> None:
    one = torch.ones(1, dtype=torch.float64)
    none = {
        "unary": torch.zeros(0).long(),
        "unary_prob": one[:0],
        "binary": torch.zeros(0, 3).long(),
        "binary_prob": one[:0],
    }
    lexical = torch.tensor([[0, 0]])
    Grammar(("S",), ("a",), lexical=lexical, lexical_prob=one, **none)
    refused: dict[str, Callable[[], Grammar]] = {
        "at least one nonterminal and one terminal": lambda: Grammar(
            ("S",), (), lexical=lexical, lexical_prob=one, **none
        ),
        "distinct names of symbols, got 'S' twice": lambda: Grammar(
            ("S",), ("S",), lexical=lexical, lexical_prob=one, **none
        ),
        "indices below": lambda: Grammar(("S",), ("a",), lexical=lexical + 1, lexical_prob=one, **none),
        "probabilities >= 0": lambda: Grammar(("S",), ("a",), lexical=lexical, lexical_prob=-one, **none),
        "each lexical rule once": lambda: Grammar(
            ("S",), ("a",), lexical=lexical.repeat(2, 1), lexical_prob=one.repeat(2) / 2, **none
        ),
        "no rule S -> S": lambda: Grammar(
            ("S",),
            ("a",),
            lexical=lexical,
            lexical_prob=one / 2,
            **{**none, "unary": torch.tensor([0]), "unary_prob": one / 2},
        ),
        "rules for the start symbol 'Q'": lambda: Grammar.from_rules([("S", ("a",), 1.0)], start="Q"),
        "a rule of positive probability for 'S'": lambda: Grammar.from_rules([("S", ("a",), 0.0)], renormalise=True),
        "a probability >= 0 of S -> a, got -1": lambda: Grammar.from_rules([("S", ("a",), -1.0)]),
    }
    for finding, build in refused.items():
        with pytest.raises(GrammarError, match=finding):
            build()
