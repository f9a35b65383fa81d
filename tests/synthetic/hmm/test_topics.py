"""Topic languages and renamed ones: closed forms, conformance, refusals."""

import pytest
import torch

from synthetic import mask
from synthetic.hmm import HMM, block_hmm, dirichlet_hmm, renamed, topic_language, zipf_topics
from synthetic.hmm.checks import ProbabilityError
from synthetic.hmm.topics import random_renamings
from synthetic.testing import conformance


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_closed_form_of_a_topic_languages_law_and_conditionals() -> None:
    language = zipf_topics(generator(), 3, 4, 3)
    laws, whole = language.emission, language.enumerate()
    words = laws[:, whole.sentences]  # topic, sentence, position
    torch.testing.assert_close(whole.prob, words.prod(2).mean(0))
    sentences = whole.sentences[:10]
    others = laws[:, sentences[:, 1:]].prod(2)
    expected = torch.einsum("kn,kv->nv", others, laws) / others.sum(0)[:, None]
    found = language.masked_conditional(mask(sentences, torch.zeros(10, dtype=torch.int64)))
    torch.testing.assert_close(found, expected)


def test_topics_rank_the_tokens_by_zipfs_law_each_by_itself() -> None:
    laws = zipf_topics(generator(), 3, 6, 5, exponent=2.0).emission
    expected = torch.arange(1, 7, dtype=torch.float64) ** -2
    torch.testing.assert_close(laws.sort(1, descending=True).values, (expected / expected.sum()).expand(3, 6))
    assert len(set(laws.argsort(1).unbind())) == 3


def test_property_topic_languages_keep_what_languages_promise() -> None:
    assert conformance(zipf_topics(generator(), 2, 3, 3)).skipped == {}
    assert conformance(renamed(zipf_topics(generator(), 2, 3, 3), random_renamings(generator(), 3, 3))).skipped == {}


@pytest.mark.parametrize("leave", [0.0, 0.1])
def test_enumeration_of_a_renamed_language(leave: float) -> None:
    language = block_hmm(generator(), 4, 3, 4, blocks=2, leave=leave)
    names = random_renamings(generator(1), 4, 3)
    other, whole = renamed(language, names), language.enumerate()
    sentences = names[torch.arange(4), whole.sentences]
    torch.testing.assert_close(other.log_prob(sentences), language.log_prob(whole.sentences))
    at = names[None].expand(len(sentences), 4, 3)
    found = other.masked_conditionals(sentences).gather(2, at)
    torch.testing.assert_close(found, language.masked_conditionals(whole.sentences))
    assert (other.groups is None) == (leave > 0)
    for name in {"mixture-component"} & set(language.downstream):
        label = other.downstream[name].label(sentences)
        assert label.equal(language.downstream[name].label(whole.sentences))


def test_bad_arguments_are_refused() -> None:
    language = zipf_topics(generator(), 2, 3, 4)
    for names in ([[0, 1, 2]] * 3, [[0, 1, 1]] * 4):
        with pytest.raises(ValueError, match=r"expected a fixed length and a permutation of 0..2 for each of 4"):
            renamed(language, names)
    lengths = torch.tensor([0.5, 0.5], dtype=torch.float64)
    varying: HMM = dirichlet_hmm(generator(), 2, 3, lengths)
    with pytest.raises(ValueError, match="draw them with random_renamings"):
        renamed(varying, [[0, 1, 2]] * 2)
    with pytest.raises(ProbabilityError, match="expected every row of emission to sum to one"):
        topic_language(torch.ones(2, 3, dtype=torch.float64), 2)
