"""The families of languages that files know by name."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic.brackets import BracketLanguage
from synthetic.language import Language
from synthetic.pairs import PairLanguage
from synthetic.potts import PottsGraph
from synthetic.table import TableLanguage
from synthetic.token_graph import TokenGraph

_CLASSES: tuple[type[Language], ...] = (
    BracketLanguage,
    PairLanguage,
    PottsGraph,
    TableLanguage,
    TokenGraph,
)

FAMILIES: Mapping[str, type[Language]] = {cls.family: cls for cls in _CLASSES}
"""The class of each family by its name in files."""
