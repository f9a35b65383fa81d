"""The families of languages that files know by name."""

from __future__ import annotations

from collections.abc import Mapping

from synthetic.autoregressive.ngram_language import NGramLanguage
from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.closed_form.pairs import PairLanguage
from synthetic.closed_form.table import TableLanguage
from synthetic.combinators.concatenation import Concatenation
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.restricted import Restricted
from synthetic.combinators.target_noise import TargetNoise
from synthetic.combinators.token_noise import TokenNoise
from synthetic.graphs.potts import PottsGraph
from synthetic.graphs.token_graph import TokenGraph
from synthetic.hmm.language import HMM
from synthetic.language import Language
from synthetic.pcfg.language import PCFG

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
