"""Chunks and threads of the hidden Markov passes change neither an answer nor an error."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from synthetic.enumeration import ImpossibleContextError
from synthetic.hmm.language import HMM
from synthetic.hmm.random import dirichlet_hmm
from synthetic.language import PAD
from synthetic.testing.oracle import SMALLEST_NORMAL
from synthetic.tokens import mask
from tests.synthetic.hmm.test_language import CYCLE, EPS, EXTREME, VARYING, random_hmm


def test_results_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = VARYING.sample(200, torch.Generator().manual_seed(0))
    whole = VARYING.log_masked_conditionals(sentences)
    at = (sentences != PAD).sum(1) - 1
    one, log_prob = VARYING.log_masked_conditional(mask(sentences, at)), VARYING.log_prob(sentences)
    monkeypatch.setattr("synthetic.hmm.passes.CHUNK", 1)
    monkeypatch.setattr("synthetic.hmm.passes.FEWEST", 1)
    torch.testing.assert_close(VARYING.log_masked_conditionals(sentences), whole, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(VARYING.log_masked_conditional(mask(sentences, at)), one, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(VARYING.log_prob(sentences), log_prob, rtol=1e-14, atol=0.0)


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chunks of at most 5 rows of VARYING, of fewer of larger models, on two threads."""
    monkeypatch.setattr("synthetic.hmm.passes.FEWEST", 15)
    monkeypatch.setattr("synthetic.hmm.passes.CHUNK", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def answers(language: HMM, sentences: Tensor) -> list[Tensor]:
    at = (sentences != PAD).sum(1) - 1
    contexts = mask(sentences, at)
    return [
        language.masked_conditionals(sentences),
        language.log_masked_conditionals(sentences),
        language.masked_conditional(contexts),
        language.log_masked_conditional(contexts),
        language.state_posterior(sentences),
        language.state_posterior_at(sentences, at),
        language.log_prob(sentences),
    ]


@pytest.mark.parametrize("language", [VARYING, EXTREME[0], random_hmm(9, 7, 9, 12)], ids=repr)
@pytest.mark.usefixtures("two_threads")
def test_threads_give_what_single_rows_give(language: HMM) -> None:
    # Half of the rows of EXTREME underflow, and are computed again on the threads.
    drawn = language.sample(17, torch.Generator().manual_seed(3))
    rows = [answers(language, row[None]) for row in drawn]
    for n in (0, 1, 2, 5, 6, 17):
        for k, batch in enumerate(answers(language, drawn[:n])):
            alone = torch.cat([row[k] for row in rows[:n]]) if n else batch[:0]
            # The order of summation is all that differs: at most one rounding per term, state and step.
            bound = language.length * language.n_states * EPS
            torch.testing.assert_close(batch, alone, rtol=bound, atol=bound if k in {1, 3} else SMALLEST_NORMAL)


@pytest.mark.usefixtures("two_threads")
def test_threads_at_the_papers_size_agree_with_wide_numbers() -> None:
    language = dirichlet_hmm(torch.Generator().manual_seed(0))
    sentences = language.sample(7, torch.Generator().manual_seed(1))
    wide = torch.empty(7, 16, 200, dtype=torch.float64)
    passes = language._on(sentences.device)
    passes._sweep(passes.wide(logarithmic=False), sentences, "tokens", wide)
    torch.testing.assert_close(language.masked_conditionals(sentences), wide, rtol=1e-12, atol=0.0)


@pytest.mark.usefixtures("two_threads")
def test_what_is_impossible_is_named_whatever_thread_finds_it() -> None:
    sentences = CYCLE.sample(40, torch.Generator().manual_seed(0))
    sentences[17], sentences[38] = torch.tensor([1, 0, 0, 0]), torch.tensor([1, 1, 1, 1])
    with pytest.raises(ImpossibleContextError, match=r"got 'w1 w0 w0 w0' = \[1, 0, 0, 0\]"):
        CYCLE.state_posterior(sentences)
    with pytest.raises(ImpossibleContextError, match=r"'_ w0 w0 w0' = \[-1, 0, 0, 0\]"):
        CYCLE.log_masked_conditionals(sentences)
    with pytest.raises(ImpossibleContextError, match=r"'w1 w0 w0 _' = \[1, 0, 0, -1\]"):
        CYCLE.masked_conditional(mask(sentences, torch.full((40,), 3)))
    assert torch.get_num_threads() == 2
