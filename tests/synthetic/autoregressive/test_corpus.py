"""The corpus that ships with Python: what is in it, how it is cut, and the languages fitted to it."""

import hashlib
import importlib
import sysconfig
from pathlib import Path

import pytest

from synthetic.autoregressive import Corpus, default_language, python_corpus
from synthetic.autoregressive.corpus import UNKNOWN
from synthetic.testing import conformance

TEXT = "The cat sat. The dog sat!\n\nA cat, 42 dogs.\n \n   \nThe end"


def test_closed_form_paragraphs_and_vocabulary() -> None:
    text = Corpus.from_text(TEXT, "rhyme")
    assert text.paragraphs == (
        ("the", "cat", "sat", ".", "the", "dog", "sat", "!"),
        ("a", "cat", ",", "42", "dogs", "."),
        ("the", "end"),
    )
    assert text.vocabulary(4) == ("the", ".", "cat", "sat")
    assert text.provenance == f"rhyme; SHA-256 of the text {hashlib.sha256(TEXT.encode()).hexdigest()}"


def test_unknown_words_are_cut_out_marked_or_dropped() -> None:
    text = Corpus.from_text(TEXT, "rhyme")
    words = ("the", "cat", "sat", ".", "end")
    assert text.encode(words) == [[0, 1, 2, 3, 0], [2], [1], [3], [0, 4]]
    assert text.encode(words, "drop") == [[0, 4]]
    marked = text.encode((*words, UNKNOWN), "mark")
    assert marked == [[0, 1, 2, 3, 0, 5, 2, 5], [5, 1, 5, 5, 5, 3], [0, 4]]
    language = text.language(6, 2, 3, unknown="mark")
    assert language.vocabulary == ("the", ".", "cat", "sat", "!", UNKNOWN)
    assert language.provenance == text.provenance


def test_the_default_language_conforms_and_is_reproducible() -> None:
    language = default_language(vocabulary_size=12, length=3)
    report = conformance(language, n=1000)
    assert not report.skipped
    again = default_language(vocabulary_size=12, length=3)
    assert again.vocabulary == language.vocabulary
    assert again.provenance == language.provenance
    assert again.model.counts.equal(language.model.counts)
    assert "zen, topics; SHA-256" in language.provenance


def test_the_default_size_is_english() -> None:
    language = default_language()
    assert (language.n_tokens, language.length, language.model.order) == (200, 16, 2)
    assert {"the", "of", "is", "a", ".", ","} <= set(language.vocabulary)
    assert 1.0 < language.entropy_floor() < 4.0


def test_the_zen_is_read_without_printing(capsys: pytest.CaptureFixture[str]) -> None:
    paragraphs = python_corpus(("zen",)).paragraphs
    assert ("the", "zen", "of", "python", ",", "by", "tim", "peters") in paragraphs
    assert capsys.readouterr().out == ""


def test_docstrings_are_read_from_syntax_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "this.py").write_text('s = "Ornhgvshy vf orggre guna htyl."\n')
    (tmp_path / "b.py").write_text('class C:\n    """Spam and eggs."""\n\nraise SystemExit\n')
    (tmp_path / "a.py").write_text('"""Ham."""\nx = "\\d"\n')
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert python_corpus(("zen", "docstrings")).paragraphs == (
        ("beautiful", "is", "better", "than", "ugly", "."),
        ("ham", "."),
        ("spam", "and", "eggs", "."),
    )


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Corpus.from_text(TEXT, "rhyme")
    for size in (0, 99):
        with pytest.raises(ValueError, match=rf"expected a vocabulary of 1\.\.11 tokens, got {size}"):
            text.vocabulary(size)
    with pytest.raises(ValueError, match="expected '<unk>' in the vocabulary"):
        text.encode(("the",), "mark")
    with pytest.raises(ValueError, match="expected unknown words to split, mark or drop, got 'skip'"):
        text.encode(("the",), "skip")
    with pytest.raises(ValueError, match="got 'web'"):
        python_corpus(("web",))

    def missing(name: str) -> object:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ValueError, match="expected the module pydoc_data"):
        python_corpus(("topics",))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(ValueError, match="expected Python's library as files"):
        python_corpus(("zen",))
