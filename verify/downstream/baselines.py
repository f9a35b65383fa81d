"""Features that need no training to compare with: random projections, the true conditional, a code per context."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language
from synthetic.tokens import MASK
from verify.streams import stream_seed

Projection = Literal["gaussian", "orthonormal"]

LOG_FLOOR = 1e-6
"""Probabilities below this count as this in log p*: a forbidden token is as far off as one of probability 1e-6."""


def projection_matrix(
    features: int, dimension: int, generator: torch.Generator, kind: Projection = "gaussian"
) -> Float[Tensor, "feature dimension"]:
    """Return a random matrix M with E‖xM‖² = ‖x‖²: independent N(0, 1/dimension), or orthonormal columns, scaled.

    An orthonormal M is uniform on its frames (QR of a Gaussian matrix with signs fixed) times √(features/dimension).

    Raises:
        ValueError: sizes below 1, or more orthonormal columns than features.
    """
    if features < 1 or dimension < 1 or (kind == "orthonormal" and dimension > features):
        raise ValueError(
            f"expected features >= 1, dimension >= 1, and dimension <= features for orthonormal columns, "
            f"got features={features}, dimension={dimension}; a gaussian matrix may widen"
        )
    gaussian = torch.randn(features, dimension, generator=generator, dtype=torch.float64, device=generator.device)
    if kind == "gaussian":
        return gaussian / math.sqrt(dimension)
    q, r = torch.linalg.qr(gaussian)
    frame: Tensor = q * r.diagonal().sign()
    return frame * math.sqrt(features / dimension)


def random_projection(
    features: Float[Tensor, "*stack example feature"],
    dimension: int,
    generator: torch.Generator,
    kind: Projection = "gaussian",
) -> Float[Tensor, "*stack example dimension"]:
    """Return the features in `dimension` random directions, in float64: one matrix for the whole stack.

    For a training and a test set use one `projection_matrix`, or generators of equal state. Networks of different width
    are comparable only at equal dimension: the accuracy of a probe grows with the number of features alone.
    """
    matrix = projection_matrix(features.shape[-1], dimension, generator, kind)
    return features.double() @ matrix.to(features.device)


def conditional_features(
    language: Language, inputs: Int64[Tensor, "example position"], *, logarithm: bool = False, floor: float = LOG_FLOOR
) -> Float[Tensor, "example feature"]:
    """Return p* itself as features, what every network of least loss knows: exact.

    For rows with one MASK, p*(· | x_{−t}) there; for rows without, all positions masked in turn, side by side, 0 for
    padding. With `logarithm`, log max(p*, floor).

    Raises:
        ValueError: some rows have a MASK and others none, or the floor is not in (0, 1).
    """
    if not 0 < floor < 1:
        raise ValueError(f"expected 0 < floor < 1, got {floor}; log p* is cut off below log floor")
    masked = int((inputs == MASK).any(-1).sum())
    if masked not in {0, len(inputs)}:
        raise ValueError(f"expected a MASK in every row or in none, got {masked} of {len(inputs)} rows; split them")
    prob = language.masked_conditional(inputs) if masked else language.masked_conditionals(inputs)
    features = prob.clamp(min=floor).log() if logarithm else prob
    if features.ndim == 3:
        # Rows of padding are all 0 in p*, and stay so in the logarithm.
        features = (features * (prob.sum(-1, keepdim=True) > 0)).flatten(1)
    return features


def random_code(
    inputs: Int64[Tensor, "example position"], dimension: int, seed: int
) -> Float[Tensor, "example dimension"]:
    """Return a standard Gaussian code per distinct input, the features of a lookup table: equal rows, equal code.

    A code is a function of the row and the seed alone, whatever else is in the batch; it says nothing about other rows.

    Raises:
        ValueError: `dimension` below 1.
    """
    if dimension < 1:
        raise ValueError(f"expected dimension >= 1, got {dimension}; it is the width of the code")
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
