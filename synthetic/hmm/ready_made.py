"""Ready-made hidden Markov languages (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.hmm.random import block_hmm
from synthetic.hmm.topics import zipf_topics
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


def topics(
    generator: np.random.Generator, *, topics: int = 3, tokens: int = 6, T: int = 5, exponent: float = 1.25
) -> Language:
    """One of several topics a sentence, each a Zipf law of its own; order says nothing."""
    return zipf_topics(torch_generator(generator), topics, tokens, T, exponent=exponent)
