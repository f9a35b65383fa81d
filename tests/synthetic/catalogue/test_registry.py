"""Families and ready-made languages are found by being there."""

import sys
from pathlib import Path

import pytest

import synthetic
from synthetic.catalogue import CatalogueError, entries, families, load, ready_made, save

FAMILY = """
from dataclasses import dataclass
import torch
from synthetic import Language

@dataclass(frozen=True)
class Constant(Language):
    family = "constant"
    T: int
    vocabulary = ("a",)

    @property
    def length(self):
        return self.T

    def log_prob(self, sentences):
        return torch.zeros(len(sentences), dtype=torch.float64)
"""
ENTRY = '''
from synthetic.constant.language import Constant

def all_the_same(generator, *, T: int = 3):
    """One token again and again."""
    return Constant(T)
'''


def test_every_kind_is_there() -> None:
    assert {"brackets", "hmm", "mixture", "nested", "pairs", "pcfg", "text", "token-graph"} <= set(entries())
    assert set(families()) >= {
        *("brackets", "concatenation", "hmm", "mixture", "nested-brackets", "ngram", "pairs", "pcfg", "potts"),
        *("restricted", "table", "target-noise", "token-graph", "token-noise"),
    }
    with pytest.raises(CatalogueError, match="no ready-made language 'none'; there are brackets, hmm"):
        ready_made("none")


def test_a_new_family_needs_no_edit_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "constant"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "language.py").write_text(FAMILY)
    (package / "ready_made.py").write_text(ENTRY)
    monkeypatch.setattr(synthetic, "__path__", [*synthetic.__path__, str(tmp_path)])
    try:
        entry = ready_made("all-the-same")
        assert (entry.about, entry.describe()) == ("one token again and again", "T=3")
        language = entry(0, T=5)
        save(language, tmp_path / "l.json")
        assert load(tmp_path / "l.json") == language
        assert type(language) is families()["constant"]
    finally:
        for name in [name for name in sys.modules if name.startswith("synthetic.constant")]:
            del sys.modules[name]
