"""Ready-made languages in closed form (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.pairs import PairLanguage
from synthetic.language import Language


def pairs(_: np.random.Generator, *, d: int = 4, alpha: float = 1.5) -> Language:
    """A noisy product of two of d tokens."""
    return PairLanguage(d, alpha)


def brackets(_: np.random.Generator, *, T: int = 6, alpha: float = 1.5) -> Language:
    """Balanced words with a noisy masked bracket."""
    return BracketLanguage(T, alpha)
