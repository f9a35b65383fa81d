"""The families of languages that files know by name."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic.brackets import BracketLanguage
from synthetic.concatenation import Concatenation
from synthetic.hmm import HMM
from synthetic.language import Language
from synthetic.mixture import Mixture
from synthetic.nested_brackets import NestedBrackets
from synthetic.ngram_language import NGramLanguage
from synthetic.pairs import PairLanguage
from synthetic.pcfg import PCFG
from synthetic.potts import PottsGraph
from synthetic.restricted import Restricted
from synthetic.table import TableLanguage
from synthetic.target_noise import TargetNoise
from synthetic.token_graph import TokenGraph
from synthetic.token_noise import TokenNoise

_CLASSES: tuple[type[Language], ...] = (
    BracketLanguage,
    Concatenation,
    HMM,
    Mixture,
    NestedBrackets,
    NGramLanguage,
    PairLanguage,
    PCFG,
    PottsGraph,
    Restricted,
    TableLanguage,
    TargetNoise,
    TokenGraph,
    TokenNoise,
)

FAMILIES: Mapping[str, type[Language]] = {cls.family: cls for cls in _CLASSES}
"""The class of each family by its name in files."""
