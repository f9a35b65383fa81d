"""The authors' released grammar, where its file is at hand: counts, lengths, the floor within its interval."""

import os
from pathlib import Path

import pytest
import torch

from synthetic import PAD, Language
from synthetic.pcfg import PCFG, Grammar, read_plain, write_plain
from synthetic.pcfg.analysis import expected_length
from synthetic.pcfg.files import GrammarFileError

PATH = os.environ.get("FLATPROOF_AUTHORS_GRAMMAR")
pytestmark = pytest.mark.skipif(
    PATH is None, reason="needs FLATPROOF_AUTHORS_GRAMMAR, the path of the authors' grammar"
)


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return read_plain(str(PATH), renormalise=True)


def test_counts(grammar: Grammar, tmp_path: Path) -> None:
    assert (len(grammar.nonterminals), len(grammar.terminals), grammar.n_rules) == (50, 200, 1407)
    assert [grammar.nonterminals[a] for a in grammar.unary.tolist()] == [f"S{r}" for r in range(1, 10)]
    assert len([line for line in Path(str(PATH)).read_text().splitlines() if line.strip()]) == 1649
    write_plain(grammar, tmp_path / "g")
    assert list(read_plain(tmp_path / "g").rules()) == list(grammar.rules())


def test_its_probabilities_are_refused_as_they_are() -> None:
    with pytest.raises(GrammarFileError, match=r"to sum to 1, got 1 [+-]0\.000\d+; .*renormalise=True"):
        read_plain(str(PATH))


def test_lengths(grammar: Grammar) -> None:
    language = PCFG(grammar, 16)
    assert language.lengths.total == pytest.approx(1.0, abs=1e-12)
    assert [w for w, p in zip(language.lengths.lengths, language.lengths.prob.tolist(), strict=True) if p] == [
        *range(2, 17)
    ]
    assert expected_length(grammar) == pytest.approx(10.7, abs=0.05)


def test_floor_by_tokens_and_by_sentences(grammar: Grammar) -> None:
    # Five standard errors: a deterministic seed, and a false alarm of 6e-7 over its choice.
    language = PCFG(grammar, 16)
    x = language.sample(600, torch.Generator().manual_seed(0))
    inside = x != PAD
    entropy = torch.special.entr(language.masked_conditionals(x)).sum(2)
    total, count = entropy.sum(1), inside.sum(1).double()
    by_token = total.sum() / count.sum()
    spread = float((total - by_token * count).std() / count.mean() / len(x) ** 0.5)
    assert float(by_token) == pytest.approx(4.45, abs=5 * spread + 0.005)
    # The task of this package draws a sentence first, then a position in it.
    by_sentence = total / count
    estimate = language.estimate_entropy_floor(600, torch.Generator().manual_seed(1))
    band = 5 * (estimate.standard_error**2 + float(by_sentence.var()) / len(x)) ** 0.5
    assert estimate.estimate == pytest.approx(float(by_sentence.mean()), abs=band)
    rows = torch.arange(4)
    one = Language.log_masked_conditional(language, x[:4].index_fill(1, torch.tensor([1]), -1))
    every = language.log_masked_conditionals(x[:4])[rows, 1]
    torch.testing.assert_close(one.exp(), every.exp(), rtol=1e-12, atol=1e-300)


def test_tasks_have_several_labels(grammar: Grammar) -> None:
    language = PCFG(grammar, 16)
    assert list(language.downstream) == ["root", "first-4", "first-2"]
    for task in language.downstream.values():
        labels = task.sample(200, torch.Generator().manual_seed(0)).labels
        assert len(set(labels.tolist())) > 4
