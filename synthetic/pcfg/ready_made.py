"""A ready-made grammar's language (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.language import Language
from synthetic.pcfg.language import PCFG
from synthetic.pcfg.random import layered_grammar


def pcfg(
    generator: np.random.Generator, *, roots: int = 9, size: int = 10, levels: int = 4, tokens: int = 200
) -> Language:
    """A random layered grammar, by default of the size that the paper's authors released."""
    grammar = layered_grammar(generator, roots=roots, levels=(size,) * levels, terminals=tokens)
    return PCFG(grammar, 2**levels)
