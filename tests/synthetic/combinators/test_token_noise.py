"""Noise on all tokens: a hidden-state sum by hand, limits of the channel, refusals."""

import itertools
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from synthetic import MASK, PAD, EnumerationTooLargeError, ImpossibleContextError
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.combinators import TokenNoise, symmetric_channel
from synthetic.combinators.token_noise import HIDDEN_LIMIT
from synthetic.testing import ConformanceError, conformance

VARYING = TableLanguage(("a", "b", "c"), {(0,): 3, (0, 1): 2, (1, 1, 2): 4, (2, 0, 0): 1})
LEAKY = ((0.75, 0.25, 0.0), (0.0, 1.0, 0.0), (0.125, 0.375, 0.5))


@pytest.mark.parametrize(
    "language",
    [
        TokenNoise(VARYING, LEAKY),
        TokenNoise(NestedBrackets(6, 1), symmetric_channel(2, 0.9)),
        TokenNoise(PairLanguage(3, 40.0), symmetric_channel(2, 1e-9)),
        TokenNoise(TableLanguage(("a",), {(0,): 1, (0, 0): 1}), symmetric_channel(1, 1)),
        TokenNoise(TokenNoise(VARYING, LEAKY), symmetric_channel(3, 0.5)),
    ],
)
def test_conforms(language: TokenNoise) -> None:
    conformance(language, n=3000)


def test_probability_is_the_sum_over_hidden_sentences() -> None:
    language = TokenNoise(VARYING, LEAKY)
    hidden = VARYING.enumerate_exact()
    channel = [[Fraction(p) for p in row] for row in LEAKY]
    for observed in itertools.product(range(3), repeat=2):
        by_hand = sum(
            prob * channel[x[0]][observed[0]] * channel[x[1]][observed[1]]
            for x, prob in hidden.items()
            if x[1] != PAD and x[2] == PAD
        )
        assert language.prob_exact((*observed, PAD)) == by_hand


def test_no_noise_changes_nothing_and_full_noise_forgets_everything() -> None:
    words = NestedBrackets(6, 2)
    clean = TokenNoise(words, symmetric_channel(4, 1))
    assert torch.equal(clean.masked_conditionals(words.candidates()), words.masked_conditionals(words.candidates()))
    blind = TokenNoise(words, symmetric_channel(4, Fraction(1, 4)))
    strings = blind.sample(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(blind.masked_conditionals(strings), torch.full((50, 6, 4), 0.25, dtype=torch.float64))


def test_a_big_batch_goes_through_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    language = TokenNoise(NestedBrackets(6, 1), symmetric_channel(2, 0.9))
    strings = language.sample(64, torch.Generator().manual_seed(0))
    contexts = strings.clone()
    contexts[torch.arange(64), torch.arange(64) % 6] = MASK
    whole = language.log_prob(strings), language.log_masked_conditional(contexts), language.masked_conditionals(strings)
    monkeypatch.setattr("synthetic.combinators.token_noise.CHUNK", 100)
    parts = language.log_prob(strings), language.log_masked_conditional(contexts), language.masked_conditionals(strings)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-15, atol=0.0)


def test_what_no_hidden_sentence_explains_is_refused() -> None:
    # Hidden sentences of two tokens are "a b"; a stays a or becomes b, and b stays b.
    with pytest.raises(ImpossibleContextError, match="got '_ a'"):
        TokenNoise(VARYING, LEAKY).log_masked_conditional(torch.tensor([[MASK, 1, PAD], [MASK, 0, PAD]]))
    with pytest.raises(ImpossibleContextError, match="got 'c _'"):
        TokenNoise(VARYING, LEAKY).log_masked_conditionals(torch.tensor([[0, 1, PAD], [2, 1, PAD]]))


def test_mutant_with_a_clean_context_is_caught() -> None:
    class CleanContext(TokenNoise):
        def log_masked_conditional(self, contexts: Tensor) -> Tensor:
            self.check_contexts(contexts)
            row = self.language.masked_conditional(self.language.enumerate_contexts().contexts[:1])
            return row.log().expand(len(contexts), -1)

    with pytest.raises(ConformanceError, match="obey Bayes"):
        conformance(CleanContext(PairLanguage(2, 1.0), symmetric_channel(2, 0.9)), n=500)


def test_what_is_out_of_reach_is_refused_with_the_remedy() -> None:
    large = NestedBrackets(40, 2)
    assert large.n_candidates > HIDDEN_LIMIT
    with pytest.raises(EnumerationTooLargeError, match=r"at most 65536 hidden .*noise of an HMM .*TargetNoise"):
        TokenNoise(large, symmetric_channel(4, 0.9))
    with pytest.raises(ValueError, match=r"expected an inner language without target channel.*TargetNoise"):
        TokenNoise(BracketLanguage(4, 1.0), symmetric_channel(2, 0.9))
    with pytest.raises(ValueError, match=r"expected a channel of 4 rows"):
        TokenNoise(NestedBrackets(4, 2), symmetric_channel(2, 0.9))
