"""A ready-made language of text (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.autoregressive.corpus import default_language
from synthetic.language import Language


def text(_: np.random.Generator, *, tokens: int = 200, order: int = 2, T: int = 16) -> Language:
    """An n-gram model of the documentation that ships with Python."""
    return default_language(tokens, order, T)
