"""A ready-made hidden Markov language (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.hmm.random import block_hmm
from synthetic.language import Language
from synthetic.tokens import torch_generator


def hmm(
    generator: np.random.Generator,
    *,
    states: int = 100,
    tokens: int = 200,
    T: int = 16,
    blocks: int = 5,
    leave: float = 0.1,
    concentration: float = 0.1,
) -> Language:
    """A random hidden Markov model with blocks of states, by default of the paper's size."""
    drawn = torch_generator(generator)
    return block_hmm(drawn, states, tokens, T, blocks=blocks, leave=leave, concentration=concentration)
