"""Ready-made languages made of others (`synthetic.catalogue.registry`)."""

from __future__ import annotations

import numpy as np

from synthetic.closed_form import NestedBrackets
from synthetic.combinators.channels import symmetric_channel
from synthetic.combinators.mixture import Mixture
from synthetic.combinators.target_noise import TargetNoise
from synthetic.hmm import sticky_hmm
from synthetic.language import Language
from synthetic.tokens import torch_generator


def nested(_: np.random.Generator, *, T: int = 8, k: int = 2, D: int = 3, keep: float = 0.9) -> Language:
    """Nested brackets of k types, at most D deep, the masked one kept with probability `keep`."""
    return TargetNoise(NestedBrackets(T, k, D), symmetric_channel(2 * k, keep))


def mixture(generator: np.random.Generator, *, states: int = 6, tokens: int = 12, T: int = 8) -> Language:
    """An even mixture of two random hidden Markov models."""
    parts = [sticky_hmm(torch_generator(generator), states, tokens, T) for _ in range(2)]
    return Mixture(parts, (0.5, 0.5))
