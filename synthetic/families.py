"""The families of languages that files know by name."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic.brackets import BracketLanguage
from synthetic.language import Language
from synthetic.ngram_language import NGramLanguage
from synthetic.pairs import PairLanguage
from synthetic.table import TableLanguage

_CLASSES: tuple[type[Language], ...] = (
    BracketLanguage,
    NGramLanguage,
    PairLanguage,
    TableLanguage,
)

FAMILIES: Mapping[str, type[Language]] = {cls.family: cls for cls in _CLASSES}
"""The class of each family by its name in files."""
