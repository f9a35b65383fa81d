"""Features that need no training to compare with: random projections, the true conditional, a code per context."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic import Language
from verify.streams import stream_seed

LOG_FLOOR = 1e-6
"""Probabilities below this count as this in log p*: a forbidden token is as far off as one of probability 1e-6."""


def random_projection(
    features: Float[Tensor, "*stack example feature"], dimension: int, generator: torch.Generator
) -> Float[Tensor, "*stack example dimension"]:
    """Return xM in float64, M one matrix of independent N(0, 1/dimension) for the whole stack, so that E‖xM‖² = ‖x‖².

    Networks of different width are comparable only at equal dimension: the accuracy of a head grows with the number of
    features alone.
    """
    matrix = torch.randn(
        features.shape[-1], dimension, generator=generator, dtype=torch.float64, device=generator.device
    )
    return features.double() @ (matrix / math.sqrt(dimension)).to(features.device)


def conditional_features(
    language: Language, sentences: Int64[Tensor, "example position"], *, logarithm: bool = False
) -> Float[Tensor, "example feature"]:
    """Return p* itself as features, what every network of least loss knows: exact.

    All positions are masked in turn; the conditionals stand side by side, 0 for padding. With `logarithm`,
    log max(p*, `LOG_FLOOR`).
    """
    prob = language.masked_conditionals(sentences)
    features = prob.clamp(min=LOG_FLOOR).log() if logarithm else prob
    # Rows of padding are all 0 in p*, and stay so in the logarithm.
    return (features * (prob.sum(-1, keepdim=True) > 0)).flatten(1)


def random_code(
    inputs: Int64[Tensor, "example position"], dimension: int, seed: int
) -> Float[Tensor, "example dimension"]:
    """Return a standard Gaussian code per distinct input, the features of a lookup table: equal rows, equal code.

    A code is a function of the row and the seed alone, whatever else is in the batch; it says nothing about other rows.
    """
    rows, place = torch.unique(inputs, dim=0, return_inverse=True)
    codes = torch.stack(
        [
            torch.randn(
                dimension,
                generator=torch.Generator().manual_seed(stream_seed(seed, "random-code", *row)),
                dtype=torch.float64,
            )
            for row in rows.tolist()
        ]
    )
    return codes.to(inputs.device)[place]
