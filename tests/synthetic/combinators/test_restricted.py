"""Restriction to lengths or by a predicate: enumeration, several routes to the share, rejection, refusals."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from synthetic import MASK, PAD, EnumerationTooLargeError, ImpossibleContextError, Language
from synthetic.catalogue import save
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.combinators import Mixture, Restricted, Satisfying, TargetNoise, symmetric_channel
from synthetic.combinators.restriction import LowAcceptanceError
from synthetic.enumeration import EmptyLanguageError
from synthetic.hmm import dirichlet_hmm
from synthetic.pcfg import PCFG, layered_grammar
from synthetic.testing import ConformanceError, conformance

VARYING = TableLanguage(("a", "b"), {(0,): 3, (0, 1): 2, (1, 1): 1, (1, 1, 0): 4, (1, 0, 0, 1): 2})


@pytest.mark.parametrize(
    "language",
    [
        Restricted(VARYING, (2,)),
        Restricted(VARYING, (3, 1)),
        Restricted(VARYING, (4, 1, 2, 3, 4)),
        Restricted(PairLanguage(2, 1.0), (3,)),
        Restricted(TargetNoise(VARYING, symmetric_channel(2, 0.75)), (2, 4)),
        Restricted(Mixture((BracketLanguage(4, 1.0), BracketLanguage(6, 1.0)), (0.5, 0.5)), (6,)),
    ],
)
def test_conforms(language: Restricted) -> None:
    conformance(language, n=3000)


def test_law_is_the_conditional_one() -> None:
    two = Restricted(VARYING, (2,))
    assert two.enumerate_exact() == {(0, 1): Fraction(2, 3), (1, 1): Fraction(1, 3)}
    assert not two.padded
    some = Restricted(VARYING, (1, 3))
    assert some.enumerate_exact() == {(0, PAD, PAD): Fraction(3, 7), (1, 1, 0): Fraction(4, 7)}
    assert some.padded
    assert some.log_share == pytest.approx(math.log(7 / 12), rel=1e-14)


class Coins(Language):
    """Fair coins, as many as a die-like law says; too large to enumerate, with a law of lengths."""

    vocabulary = ("heads", "tails")
    length = 30
    padded = True

    def log_prob(self, sentences: Tensor) -> Tensor:
        return -math.log(30) - math.log(2) * (sentences != PAD).sum(1).double()

    def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> Tensor:
        sizes = torch.randint(1, 31, (n, 1), generator=generator)
        coins = torch.randint(0, 2, (n, 30), generator=generator)
        return coins.where(torch.arange(30) < sizes, PAD).to(device or generator.device)


class CoinsWithLaw(Coins):
    def length_law(self) -> Mapping[int, float]:
        return dict.fromkeys(range(1, 31), 1 / 30)


def test_the_share_comes_from_the_law_of_lengths_or_from_the_strings_of_these_lengths() -> None:
    # 30 coins: no enumeration, but the law is known.
    assert Restricted(CoinsWithLaw(), (30,)).log_share == pytest.approx(-math.log(30), rel=1e-15)
    # 3 coins: eight strings are enough, however large the inner language.
    assert Restricted(Coins(), (3, 2)).log_share == pytest.approx(math.log(2 / 30), rel=1e-14)
    assert Restricted(Coins(), (3, 2)).n_candidates == 12
    with pytest.raises(EnumerationTooLargeError, match="candidate sentences for the share of a restriction"):
        Restricted(Coins(), (30,)).log_prob(torch.zeros(1, 30, dtype=torch.int64))
    with pytest.raises(EnumerationTooLargeError, match="exact probabilities"):
        Restricted(Coins(), (30,)).prob_exact((0,) * 30)
    conformance(Restricted(CoinsWithLaw(), (29, 30)), n=500)


class CoinsOfAnyLength(Coins):
    def sample_length(self, n: int, length: int, generator: torch.Generator) -> Tensor:
        coins = torch.randint(0, 2, (n, 30), generator=generator)
        return coins.where(torch.arange(30) < length, PAD)

    def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> Tensor:
        assert n == 0, "not asked for rejection"
        return super().sample(n, generator, device)


class CoinsKnownByLength(CoinsOfAnyLength, CoinsWithLaw):
    pass


def test_a_language_that_draws_by_length_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for language in (
        Restricted(CoinsOfAnyLength(), (3,)),
        Restricted(CoinsKnownByLength(), (1, 3)),
        Restricted(CoinsKnownByLength(), (2, 3, 4)),
    ):
        assert "sampling frequencies" in conformance(language, n=3000).passed
        assert language.sample(0, torch.Generator()).shape == (0, language.length)
        with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
            language.sample(-1, torch.Generator())
    assert bool((Restricted(CoinsOfAnyLength(), (30,)).sample(5, torch.Generator()) >= 0).all())
    # Several lengths of unknown weight: back to the list, or to rejection.
    monkeypatch.setattr("synthetic.combinators.restriction.LISTED", 0)
    with pytest.raises(AssertionError, match="not asked for rejection"):
        Restricted(CoinsOfAnyLength(), (1, 3)).sample(5, torch.Generator())


def test_conditionals_and_samples_need_no_share() -> None:
    language = Restricted(Coins(), (30,))
    heads = torch.zeros(1, 30, dtype=torch.int64)
    half = torch.full((1, 30, 2), 0.5, dtype=torch.float64)
    torch.testing.assert_close(language.masked_conditionals(heads), half, rtol=1e-12, atol=0.0)
    assert bool((language.sample(50, torch.Generator().manual_seed(0)) >= 0).all())


def test_rejection_draws_from_the_same_law_as_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthetic.combinators.restriction.LISTED", 0)
    assert "sampling frequencies" in conformance(Restricted(VARYING, (2, 4)), n=3000).passed


def test_rejection_gives_up_on_rare_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = Restricted(TableLanguage(("a",), {(0,): 10**7, (0, 0): 1}), (2,))
    assert rare.sample(2, torch.Generator()).tolist() == [[0, 0], [0, 0]]
    monkeypatch.setattr("synthetic.combinators.restriction.LISTED", 0)
    message = (
        r"expected one sentence in 1000 to be kept, got 0 of 11000 for Restricted.*; choose a likelier restriction"
    )
    with pytest.raises(LowAcceptanceError, match=message):
        rare.sample(1, torch.Generator().manual_seed(0))
    assert rare.sample(0, torch.Generator()).shape == (0, 2)


def first_is_last(sentences: Tensor) -> Tensor:
    sizes = (sentences != PAD).sum(1, keepdim=True)
    return sentences.gather(1, sizes - 1)[:, 0] == sentences[:, 0]


@pytest.mark.parametrize(
    "language",
    [
        Satisfying(VARYING, first_is_last),
        Satisfying(TableLanguage(("a", "b"), {(0, 0): 1, (0, 1): 2, (1, 1): 3}), first_is_last),
        Satisfying(BracketLanguage(6, 1.5), lambda words: words[:, 2] == 1),
        Satisfying(PairLanguage(3, 1.5), lambda words: words.sum(1) > 1),
        Satisfying(Restricted(VARYING, (1, 4)), first_is_last),
    ],
)
def test_predicates_conform(language: Satisfying) -> None:
    conformance(language, n=3000)


def test_a_big_batch_goes_through_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    language = Satisfying(PairLanguage(3, 1.5), lambda words: words.sum(1) > 1)
    contexts = language.sample_masked(50, torch.Generator().manual_seed(0)).contexts
    whole = language.log_masked_conditional(contexts)
    assert bool(((whole < 0) & whole.isfinite()).any()), "not all are certain"
    monkeypatch.setattr("synthetic.combinators.restricted.CHUNK", 30)
    assert torch.equal(language.log_masked_conditional(contexts), whole)


def test_a_predicate_needs_no_share_for_conditionals_and_samples() -> None:
    words = NestedBrackets(40, 2)
    language = Satisfying(words, lambda rows: rows[:, 0] == 2)
    sample = language.sample(100, torch.Generator().manual_seed(0))
    assert bool((sample[:, 0] == 2).all())
    assert torch.equal(language.masked_conditionals(sample), words.masked_conditionals(sample))
    with pytest.raises(EnumerationTooLargeError, match="share of a restriction"):
        language.log_prob(sample)


def test_a_predicate_rules_contexts_out_and_may_decide_a_token() -> None:
    coins = TableLanguage(("a", "b"), {(0, 0): 1, (0, 1): 2, (1, 0): 3, (1, 1): 4})
    language = Satisfying(coins, lambda rows: rows[:, 0] <= rows[:, 1])
    assert language.masked_conditional(torch.tensor([[MASK, 0]])).tolist() == [[1.0, 0.0]]
    with pytest.raises(ImpossibleContextError, match="got 'a _'"):
        Satisfying(coins, lambda rows: rows[:, 0] == 1).log_masked_conditional(torch.tensor([[0, MASK]]))


def test_a_predicate_is_checked_and_not_saved(tmp_path: Path) -> None:
    for predicate in (lambda rows: rows[:, 0], lambda rows: rows == 1):
        with pytest.raises(ValueError, match=r"expected the predicate to return 5 truth values of shape \(5,\)"):
            Satisfying(VARYING, predicate).candidates()
    with pytest.raises(TypeError, match="expected a language of a family"):
        save(Satisfying(VARYING, first_is_last), tmp_path / "x.json")


def test_contexts_of_other_lengths_are_impossible() -> None:
    language = Restricted(VARYING, (1, 3))
    with pytest.raises(ImpossibleContextError, match="got '_ b' = "):
        language.log_masked_conditional(torch.tensor([[1, MASK, 0], [MASK, 1, PAD]]))
    with pytest.raises(ImpossibleContextError, match="got '_ b' = "):
        language.log_masked_conditionals(torch.tensor([[1, 1, 0], [0, 1, PAD]]))
    assert language.log_prob(torch.tensor([[0, 1, PAD]])).tolist() == [-math.inf]
    assert language.prob_exact((0, 1, PAD)) == 0


def test_mutant_that_does_not_renormalise_is_caught() -> None:
    class Unnormalised(Restricted):
        def log_prob(self, sentences: Tensor) -> Tensor:
            return super().log_prob(sentences) + self.log_share

    with pytest.raises(ConformanceError, match="exp log_prob"):
        conformance(Unnormalised(VARYING, (2,)), n=500)


@pytest.mark.parametrize(
    ("language", "lengths", "message"),
    [
        (VARYING, (), r"expected lengths among 1\.\.4, got \(\)"),
        (VARYING, (5,), r"expected lengths among 1\.\.4, got \(5,\)"),
        (VARYING, (0, 1), r"got \(0, 1\)"),
        (NestedBrackets(4, 2), (2,), r"expected lengths among 4\.\.4, got \(2,\)"),
    ],
)
def test_lengths_out_of_reach_are_refused(language: Language, lengths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Restricted(language, lengths)


def test_a_length_that_never_occurs_or_holds_no_masked_position_is_refused() -> None:
    gap = TableLanguage(("a",), {(0,): 1, (0, 0, 0): 1})
    with pytest.raises(EmptyLanguageError, match=r"expected a sentence of positive probability in Restricted"):
        _ = Restricted(gap, (2,)).log_share

    class Late(TableLanguage):
        masked_positions = (1,)

    with pytest.raises(ValueError, match=r"expected lengths that reach a masked position, got 1 where \(1,\)"):
        Restricted(Late(("a",), {(0,): 1, (0, 0): 1}), (1, 2))


def test_closed_form_a_grammar_and_a_markov_chain_restricted_at_any_size() -> None:
    grammar = layered_grammar(np.random.default_rng(0))
    one_length = PCFG(grammar, 10, fixed_length=True)
    restricted = Restricted(PCFG(grammar, 16), (10,))
    sentences = restricted.sample(20, torch.Generator().manual_seed(1))
    assert sentences.shape == (20, 10)
    torch.testing.assert_close(restricted.log_prob(sentences), one_length.log_prob(sentences), rtol=1e-12, atol=0)
    lengths = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    varying = dirichlet_hmm(torch.Generator().manual_seed(2), 4, 5, lengths)
    assert varying.length_law() == {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}
    fixed = replace(varying, lengths=3)
    assert fixed.length_law() == {3: 1.0}
    sentences = fixed.sample(20, torch.Generator().manual_seed(1))
    torch.testing.assert_close(Restricted(varying, (3,)).log_prob(sentences), fixed.log_prob(sentences))
