"""The bracket language: closed forms, exact counts, enumeration, what noise means, refusals."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import MASK, EnumerationTooLargeError, ImpossibleContextError, Language
from synthetic.closed_form import BracketLanguage
from synthetic.testing import conformance, exact_masked_law
from synthetic.testing.strategies import bracket_languages, contexts

EPS = torch.finfo(torch.float64).eps


SMALL = [(2, None, False), (2, 1.0, True), (6, 1.5, False), (8, None, True), (6, -2, True), (6, 800.0, False)]


@pytest.mark.parametrize(("T", "alpha", "nested"), [*SMALL, (60, 1.0, True)])
def test_conforms(T: int, alpha: float | None, nested: bool) -> None:
    skipped = set(conformance(BracketLanguage(T, alpha, nested), n=4000).skipped)
    too_large = {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies"}
    assert skipped == (too_large if T == 60 else set())


@given(bracket_languages(max_T=8), st.data())
@settings(max_examples=40, deadline=None)
def test_closed_form_agrees_with_bayes(language: BracketLanguage, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    # log N cancels between numerator and denominator; the channel's logarithm is at most 30.
    bayes = Language.masked_conditional(language, batch)
    torch.testing.assert_close(language.masked_conditional(batch), bayes, rtol=4 * 35 * EPS, atol=0.0)
    log_bayes = Language.log_masked_conditional(language, batch)
    torch.testing.assert_close(language.log_masked_conditional(batch), log_bayes, rtol=4 * EPS, atol=4 * 35 * EPS)


@pytest.mark.parametrize("nested", [False, True])
def test_word_counts_are_exact_at_any_length(nested: bool) -> None:
    assert [BracketLanguage(T, nested=nested).n_words for T in (2, 4, 6, 8, 10)] == (
        [1, 2, 5, 14, 42] if nested else [2, 6, 20, 70, 252]
    )
    language = BracketLanguage(5000, nested=nested)
    with mpmath.workdps(40):
        log_count = mpmath.log(mpmath.binomial(5000, 2500)) - (mpmath.log(2501) if nested else 0)
    assert language.log_n_words == pytest.approx(float(log_count), rel=2 * EPS)
    word = torch.tensor([[1, 0] * 2500])
    assert float(language.log_prob(word)[0]) == -language.log_n_words


def test_noise_touches_the_target_and_nothing_else() -> None:
    clean, noisy = BracketLanguage(6), BracketLanguage(6, 1.5)
    assert clean.enumerate_exact() == noisy.enumerate_exact()
    generator = torch.Generator().manual_seed(3)
    sample = noisy.sample_masked(2000, generator)
    z_sum = torch.where(sample.contexts == MASK, 0, 2 * sample.contexts - 1).sum(1)
    assert bool((z_sum.abs() == 1).all())
    kept = int((2 * sample.targets - 1 == -z_sum).sum())
    # Binomial(2000, σ(1.5) = .8176): sd 17.3; the seed is fixed, the margin 7 sd wide and 10 away from n.
    assert abs(kept - 2000 / (1 + math.exp(-1.5))) < 120
    law = exact_masked_law(noisy)
    assert len(law) == 20 * 6
    assert {sum(row) for row in law.values()} == {Fraction(1, 120)}


@pytest.mark.parametrize("nested", [False, True])
def test_contexts_are_uniform_and_sum_to_plus_or_minus_one(nested: bool) -> None:
    language = BracketLanguage(6, 1.0, nested)
    z = language.contexts()
    assert z.shape == (6 * language.n_words, 6)
    assert bool((z.sum(1).abs() == 1).all())
    assert bool(((z == 0).sum(1) == 1).all())
    listed = language.enumerate_contexts()
    assert listed.prob.tolist() == pytest.approx([1 / len(z)] * len(z), rel=8 * EPS)
    assert torch.equal(language.masked_conditional(listed.contexts)[:, 1], torch.sigmoid(-z.sum(1)))


def test_balanced_words_that_are_not_nested_have_no_nested_context() -> None:
    context = torch.tensor([[0, MASK, 1, 0]])
    assert BracketLanguage(4).masked_conditional(context).tolist() == [[0.0, 1.0]]
    nested = BracketLanguage(4, 1.0, nested=True)
    for method in (nested.masked_conditional, nested.log_masked_conditional):
        with pytest.raises(ImpossibleContextError, match=r"got '\) _ \( \)' = \[0, -1, 1, 0\], which no sentence"):
            method(context)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("alpha", [None, 1.0])
def test_unbalanced_context_is_refused_by_name(nested: bool, alpha: float | None) -> None:
    language = BracketLanguage(4, alpha, nested)
    batch = torch.tensor([[1, 0, MASK, 0], [1, 1, 1, MASK]])
    with pytest.raises(ImpossibleContextError, match=r"got '\( \( \( _'.*mask a token of a sampled sentence"):
        language.masked_conditional(batch)
    with pytest.raises(ImpossibleContextError, match=r"got '\( \( \( _'"):
        Language.masked_conditional(language, batch)


def test_floor() -> None:
    assert BracketLanguage(6).entropy_floor() == 0.0 == Language.entropy_floor(BracketLanguage(6))
    noisy = BracketLanguage(6, 1.5, nested=True)
    # 30 contexts summed: at most 30 + a few units of rounding.
    assert noisy.entropy_floor() == pytest.approx(Language.entropy_floor(noisy), rel=64 * EPS)


@pytest.mark.parametrize("T", [3, 1, 0, -2, 7])
def test_odd_or_empty_length_is_refused(T: int) -> None:
    with pytest.raises(ValueError, match=f"expected an even integer T >= 2, got {T}; a word of odd length"):
        BracketLanguage(T)


@pytest.mark.parametrize("alpha", [math.inf, math.nan])
def test_non_finite_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected a finite noise parameter alpha"):
        BracketLanguage(4, alpha)


def test_large_languages_are_sampled_not_enumerated() -> None:
    language = BracketLanguage(40, 1.0)
    routes = (language.enumerate, language.enumerate_exact, language.enumerate_contexts, language.contexts)
    for enumerate_it in routes:
        with pytest.raises(EnumerationTooLargeError, match=r"at most \d+ candidate.*use sample\(n, generator\)"):
            enumerate_it()
    with pytest.raises(EnumerationTooLargeError, match=r"got about 10\^\d+"):
        BracketLanguage(2000).enumerate()
    assert language.sample(3, torch.Generator()).shape == (3, 40)


def test_negative_sample_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -2"):
        BracketLanguage(4).sample(-2, torch.Generator())
    assert BracketLanguage(4).sample(0, torch.Generator()).shape == (0, 4)
    assert BracketLanguage(4, 1.0).sample_masked(0, torch.Generator()).targets.shape == (0,)


@pytest.mark.parametrize(("T", "nested"), [(2, False), (6, False), (6, True)])
def test_enumeration_gives_the_weights_of_the_graph(T: int, nested: bool) -> None:
    steps: Counter[tuple[int, int]] = Counter()
    words = BracketLanguage(T, nested=nested).enumerate().sentences.tolist()
    for word in words:
        heights = list(itertools.accumulate((2 * token - 1 for token in word), initial=0))
        steps.update(itertools.pairwise(heights))
    graph = BracketLanguage(T, nested=nested).graph()
    assert {(u, v) for u, v in graph.edges} == set(steps)
    for h in graph:
        visits = sum(count for (start, _), count in steps.items() if start == h)
        assert graph.nodes[h]["weight"] == pytest.approx(visits / (T * len(words)), rel=1e-14)
        for above in graph[h]:
            assert graph[h][above]["weight"] == pytest.approx(steps[h, above] / visits, rel=1e-14)
