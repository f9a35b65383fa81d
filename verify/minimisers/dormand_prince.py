"""One step of the Dormand–Prince method on a manifold: embedded Runge–Kutta of order 5, then a retraction.

Dormand and Prince, J. Comput. Appl. Math. 6 (1980). If the field is extended off the manifold so that it preserves
the constraint, a step leaves the manifold only by its local error O(h⁶), and retracting it keeps the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

ORDER = 5
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
WEIGHTS = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
ERROR_WEIGHTS = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
"""Weights of order 5 minus those of order 4; the last stage is the field at the new point."""


@dataclass(frozen=True)
class Front:
    """Points of a flow with the field there.

    Attributes:
        theta: the points.
        velocity: the field.
        trace: tr H.
        slope: d tr H/dτ along the field.
        singular_values: square roots of the eigenvalues of H.
        rank: rank of H.
        off: how far off the manifold they are, in units of rounding.
    """

    theta: Float[Tensor, "replica parameter"]
    velocity: Float[Tensor, "replica parameter"]
    trace: Float[Tensor, " replica"]
    slope: Float[Tensor, " replica"]
    singular_values: Float[Tensor, "replica value"]
    rank: Int[Tensor, " replica"]
    off: Float[Tensor, " replica"]

    def __getitem__(self, index: Tensor | slice) -> Front:
        """Return the chosen replicas."""
        return Front(*(column[index] for column in _columns(self)))

    def join(self, other: Front) -> Front:
        """Return the replicas of both, one after the other."""
        return Front(*(torch.cat(pair) for pair in zip(_columns(self), _columns(other), strict=True)))

    def where(self, mask: Bool[Tensor, " replica"], other: Front) -> Front:
        """Return self where the mask holds, `other` elsewhere."""
        pairs = zip(_columns(self), _columns(other), strict=True)
        return Front(*(torch.where(mask.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def _columns(front: Front) -> tuple[Tensor, ...]:
    return tuple(vars(front).values())


def dormand_prince_step(
    front: Front,
    step: Float[Tensor, " replica"],
    field: Callable[[Tensor], Front],
    retract: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> tuple[Front, Float[Tensor, " replica"], Bool[Tensor, " replica"]]:
    """Advance every replica by its own step: θ + h Σ b_i k_i, retracted.

    Args:
        front: where the replicas are, with the field there (the first stage).
        step: h, one per replica.
        field: the field and what goes with it at given points.
        retract: (points on the manifold, whether that succeeded).

    Returns:
        The new front; the norm of the difference to the embedded solution of order 4, before retraction; and
        whether the retraction succeeded.
    """
    h = step[:, None]
    slopes = [front.velocity]
    for row in STAGES:
        slopes.append(field(front.theta + h * _combine(row, slopes)).velocity)
    point, succeeded = retract(front.theta + h * _combine(WEIGHTS, slopes))
    new = field(point)
    error = (h * _combine(ERROR_WEIGHTS, [*slopes, new.velocity])).norm(dim=-1)
    return new, error, succeeded


def _combine(weights: Sequence[float], slopes: Sequence[Tensor]) -> Tensor:
    terms = (weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight)
    return sum(terms, torch.zeros_like(slopes[0]))
