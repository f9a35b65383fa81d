"""The families of languages that files know by name."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic.brackets import BracketLanguage
from synthetic.hmm import HMM
from synthetic.language import Language
from synthetic.pairs import PairLanguage
from synthetic.table import TableLanguage

_CLASSES: tuple[type[Language], ...] = (
    BracketLanguage,
    HMM,
    PairLanguage,
    TableLanguage,
)

FAMILIES: Mapping[str, type[Language]] = {cls.family: cls for cls in _CLASSES}
"""The class of each family by its name in files."""
