"""Languages of grammars: Fractions, closed forms, Bayes on log_prob, symmetry, long sentences, mutants, refusals."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthetic import MASK, PAD, ImpossibleContextError, Language
from synthetic.catalogue import load, save
from synthetic.pcfg import PCFG, Grammar, GrammarError, layered_grammar
from synthetic.pcfg.exact import inside_exact
from synthetic.pcfg.lengths import start_lengths_exact
from synthetic.pcfg.parser import Parser
from synthetic.pcfg.plan import Plan, make_plan
from synthetic.semiring import Log, Semiring
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.strategies import contexts, pcfg_languages

EPS = torch.finfo(torch.float64).eps
RULES = [
    ("S", ("S", "A"), 0.2),
    ("S", ("X",), 0.3),
    ("S", ("Y",), 0.2),
    ("S", ("a",), 0.3),
    ("X", ("A", "B"), 0.5),
    ("X", ("A", "A"), 0.4),
    ("X", ("c",), 0.1),
    ("Y", ("S", "B"), 1.0),
    ("A", ("a",), 0.4),
    ("A", ("b",), 0.1),
    ("A", ("A", "B"), 0.5),
    ("B", ("b",), 0.9),
    ("B", ("S", "S"), 0.1),
]
GRAMMAR = Grammar.from_rules(RULES)


def catalan(p: float = 0.5) -> Grammar:
    return Grammar.from_rules([("S", ("S", "S"), p), ("S", ("a",), (1 - p) / 2), ("S", ("b",), (1 - p) / 2)])


def test_closed_form_catalan_trees() -> None:
    language = PCFG(catalan(0.25), 8)
    # C_{w−1} trees with w − 1 branchings and w leaves, and all strings of one length alike.
    weight = [math.comb(2 * w - 2, w - 1) / w * 0.25 ** (w - 1) * 0.75**w for w in range(1, 9)]
    got = language.lengths.prob
    torch.testing.assert_close(got, torch.tensor(weight).double() / sum(weight), rtol=64 * EPS, atol=0.0)
    whole = torch.tensor([[0, 1, 1, 0, PAD, PAD, PAD, PAD]])
    expected = math.log(weight[3] / sum(weight)) - 4 * math.log(2)
    assert float(language.log_prob(whole)[0]) == pytest.approx(expected, rel=64 * EPS)
    assert language.masked_conditionals(whole)[0, :4].flatten().tolist() == pytest.approx([0.5] * 8, rel=8 * EPS)
    assert language.masked_conditionals(whole)[0, 4:].sum() == 0


@pytest.mark.parametrize(("T", "fixed"), [(4, False), (5, True), (1, False)])
def test_enumeration_conforms(T: int, fixed: bool) -> None:
    assert not conformance(PCFG(GRAMMAR, T, fixed), n=4000).skipped


def test_a_large_language_conforms() -> None:
    language = PCFG(layered_grammar(np.random.default_rng(0), terminals=20, leaf_words=9, levels=(4, 5, 6)), 8)
    skipped = set(conformance(language, n=100).skipped)
    too_large = {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies", "entropy floor"}
    assert skipped == too_large


@given(pcfg_languages(), st.data())
@settings(max_examples=15, deadline=None)
def test_property_conditionals_are_bayes_in_fractions(language: PCFG, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    prob = language.masked_conditional(batch).tolist()
    for context, row in zip(batch.tolist(), prob, strict=True):
        t = context.index(MASK)
        joint = [inside_exact(language.grammar, _filled(context, t, v)) for v in range(language.n_tokens)]
        for got, mass in zip(row, joint, strict=True):
            assert got == pytest.approx(float(mass / sum(joint)), rel=1e-13, abs=0.0)


@given(pcfg_languages())
@settings(max_examples=10, deadline=None)
def test_property_exact_probabilities_sum_to_one(language: PCFG) -> None:
    assert sum(language.enumerate_exact().values()) == 1
    lengths = start_lengths_exact(language.grammar, language.T)
    total = sum((lengths[w] for w in language.lengths.lengths), Fraction(0))
    assert language.lengths.total == pytest.approx(float(total), rel=64 * EPS)


@pytest.mark.parametrize("least", [1e-30, 1e-160, 1e-250])
def test_tiny_probabilities_keep_their_digits(least: float) -> None:
    rules = [(a, rhs, p * least if rhs == ("b",) and a == "A" else p) for a, rhs, p in RULES]
    language = PCFG(Grammar.from_rules(rules, renormalise=True), 4)
    for sentence in language.candidates()[1::3].tolist():
        exact = language.prob_exact(tuple(sentence))
        got = float(language.log_prob(torch.tensor([sentence]))[0])
        if exact == 0:
            assert got == -math.inf
        else:
            assert got == pytest.approx(_log(exact), rel=1e-13)


@pytest.mark.parametrize("T", [40, 64])
def test_long_sentences_stay_finite_and_exact(T: int) -> None:
    # Dyadic probabilities keep the Fractions short.
    rules = [("S", ("A", "S"), 3 / 8), ("S", ("S", "B"), 1 / 8), ("S", ("A",), 1 / 2)]
    rules += [("A", ("a",), 1 / 2), ("A", ("b",), 1 / 2), ("B", ("b",), 3 / 4), ("B", ("A", "S"), 1 / 4)]
    language = PCFG(Grammar.from_rules(rules), T, fixed_length=True)
    x = language.sample(3, torch.Generator().manual_seed(0))
    tokens = tuple(x[0].tolist())
    exact = inside_exact(language.grammar, tokens) / start_lengths_exact(language.grammar, T)[T]
    log_prob = language.log_prob(x)
    assert math.exp(float(log_prob[0]) - _log(exact)) == pytest.approx(1.0, rel=1e-12)
    every = language.log_masked_conditionals(x)
    at = torch.tensor([0, T // 2, T - 1])
    one = Language.log_masked_conditional(language, x.scatter(1, at[:, None], MASK))
    torch.testing.assert_close(every[torch.arange(3), at], one, rtol=1e-12, atol=1e-12)


def test_logarithms_agree_with_plain_numbers() -> None:
    language = PCFG(layered_grammar(np.random.default_rng(3), terminals=20, leaf_words=10, levels=(3, 3, 3)), 8)
    x = language.sample(20, torch.Generator().manual_seed(0))

    class Careful(Parser):
        def plan(self, ring: type[Semiring], device: torch.device) -> Plan:
            return make_plan(self.rules, self.widths, self.scale, Log(), device)

    careful = Careful(language.parser.rules, language.parser.widths, language.parser.scale)
    torch.testing.assert_close(careful.log_inside(x), language.parser.log_inside(x), rtol=1e-13, atol=0.0)
    got, expected = careful.log_conditionals(x), language.parser.log_conditionals(x)
    torch.testing.assert_close(got.exp(), expected.exp(), rtol=1e-12, atol=0.0)


def test_the_scale_of_tokens_changes_nothing() -> None:
    language = PCFG(GRAMMAR, 6)
    x = language.sample(50, torch.Generator().manual_seed(0))
    other = Parser(language.parser.rules, language.parser.widths, torch.tensor([1e-3, 5.0, 1.0]).double())
    torch.testing.assert_close(other.log_inside(x), language.parser.log_inside(x), rtol=64 * EPS, atol=64 * EPS)
    both = other.log_conditionals(x).exp(), language.parser.log_conditionals(x).exp()
    torch.testing.assert_close(*both, rtol=64 * EPS, atol=0.0)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    language = PCFG(GRAMMAR, 6)
    x = language.sample(300, torch.Generator().manual_seed(0))
    whole = language.masked_conditionals(x)
    monkeypatch.setattr("synthetic.pcfg.parser.CHUNK", {"cpu": 1})
    torch.testing.assert_close(language.masked_conditionals(x[:40]), whole[:40], rtol=64 * EPS, atol=0.0)


def test_symmetry_of_relabelled_tokens_and_nonterminals() -> None:
    renamed = {"a": "c", "b": "a", "c": "b", "A": "B", "B": "A", "X": "Y", "Y": "X", "S": "S"}
    other = PCFG(
        Grammar.from_rules(
            [(renamed[a], tuple(renamed[s] for s in rhs), p) for a, rhs, p in reversed(RULES)], start="S"
        ),
        5,
    )
    language = PCFG(GRAMMAR, 5)
    x = language.sample(100, torch.Generator().manual_seed(0))
    number = torch.tensor([other.vocabulary.index(renamed[name]) for name in language.vocabulary])
    y = torch.where(x == PAD, PAD, number[x.clamp(min=0)])
    torch.testing.assert_close(other.log_prob(y), language.log_prob(x), rtol=64 * EPS, atol=0.0)
    torch.testing.assert_close(
        other.masked_conditionals(y)[:, :, number], language.masked_conditionals(x), rtol=64 * EPS, atol=0.0
    )


def test_symmetry_of_reversed_rules() -> None:
    mirror = PCFG(Grammar.from_rules([(a, rhs[::-1], p) for a, rhs, p in RULES]), 5, fixed_length=True)
    language = PCFG(GRAMMAR, 5, fixed_length=True)
    number = torch.tensor([mirror.vocabulary.index(name) for name in language.vocabulary])
    x = language.sample(100, torch.Generator().manual_seed(0))
    torch.testing.assert_close(mirror.log_prob(number[x.flip(1)]), language.log_prob(x), rtol=64 * EPS, atol=0.0)


def test_an_impossible_sentence_may_have_possible_contexts() -> None:
    grammar = Grammar.from_rules([
        ("S", ("A", "A"), 0.5), ("S", ("B", "B"), 0.5), ("A", ("a",), 1.0), ("B", ("b",), 1.0)
    ])  # fmt: skip
    language = PCFG(grammar, 2, fixed_length=True)
    assert language.log_prob(torch.tensor([[0, 1]])).tolist() == [-math.inf]
    assert language.masked_conditionals(torch.tensor([[0, 1]])).tolist() == [[[0.0, 1.0], [1.0, 0.0]]]


def test_storage_round_trip(tmp_path: object) -> None:
    language = PCFG(GRAMMAR, 5)
    path = f"{tmp_path}/pcfg.json"
    save(language, path)
    back = load(path)
    assert isinstance(back, PCFG)
    assert list(back.grammar.rules()) == list(GRAMMAR.rules())
    assert (back.T, back.fixed_length) == (5, False)


def test_graph_shows_the_nonterminals() -> None:
    graph = PCFG(GRAMMAR, 5).graph()
    assert set(graph) == {"S", "X", "Y", "A", "B"}
    assert graph.nodes["S"]["group"] == 0
    assert {("S", "X"), ("X", "A"), ("A", "B"), ("B", "S")} <= set(graph.edges)
    assert all(0 <= w <= 1 for _, _, w in graph.edges(data="weight"))
    assert all(0 <= w <= 1 for _, w in graph.nodes(data="weight"))


class ForgetsTheMiddle(PCFG):
    """Takes the distribution of another position."""

    def log_masked_conditional(self, contexts: Tensor) -> Tensor:
        return super().log_masked_conditional(contexts).roll(1, 1)


class NotConditioned(PCFG):
    def log_prob(self, sentences: Tensor) -> Tensor:
        return super().log_prob(sentences) + math.log(self.lengths.total)


@pytest.mark.parametrize(
    ("mutant", "name"), [(ForgetsTheMiddle, "conditionals obey Bayes"), (NotConditioned, "probabilities sum to one")]
)
def test_mutants_are_caught(mutant: type[PCFG], name: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        conformance(mutant(GRAMMAR, 3), n=500)
    assert caught.value.property_name == name


def test_empty_batches() -> None:
    language = PCFG(GRAMMAR, 4)
    none = torch.zeros(0, 4, dtype=torch.int64)
    assert language.log_prob(none).shape == (0,)
    assert language.log_masked_conditionals(none).shape == (0, 4, 3)
    assert language.masked_conditional(none).shape == (0, 3)
    assert language.sample(0, torch.Generator()).shape == (0, 4)
    assert language.sample_length(0, 2, torch.Generator()).shape == (0, 4)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="expected an integer T >= 1, got 0"):
        PCFG(GRAMMAR, 0)
    pairs = Grammar.from_rules([("S", ("A", "A"), 1.0), ("A", ("a",), 1.0)])
    with pytest.raises(GrammarError, match=r"expected sentences of length 3\.\.3, got none at all"):
        PCFG(pairs, 3, fixed_length=True)
    rare = Grammar.from_rules([("S", ("A", "S"), 1e-200), ("S", ("a",), 1.0), ("A", ("a",), 1.0)])
    with pytest.raises(GrammarError, match="with a probability of only 0"):
        PCFG(rare, 4, fixed_length=True)
    language = PCFG(pairs, 3)
    with pytest.raises(ValueError, match=r"expected a length among \[2\], got 3"):
        language.sample_length(1, 3, torch.Generator())
    with pytest.raises(ValueError, match="n >= 0, got -1"):
        language.sample(-1, torch.Generator())
    with pytest.raises(ValueError, match="n >= 0, got -2"):
        language.sample_length(-2, 2, torch.Generator())
    with pytest.raises(ValueError, match="got 1 at row 0"):
        language.log_prob(torch.tensor([[0, 1, PAD]]))
    for call in (language.masked_conditional, language.log_masked_conditional):
        with pytest.raises(ImpossibleContextError, match="got 'a a _' ="):
            call(torch.tensor([[0, 0, MASK]]))
    with pytest.raises(ImpossibleContextError, match="got '_ a a' ="):
        language.log_masked_conditionals(torch.tensor([[0, 0, PAD], [0, 0, 0]]))


def _filled(context: list[int], t: int, v: int) -> tuple[int, ...]:
    return tuple(v if i == t else token for i, token in enumerate(context) if token != PAD)


def _log(value: Fraction) -> float:
    return math.log(value.numerator) - math.log(value.denominator)
