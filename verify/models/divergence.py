r"""The Kullback–Leibler divergence of a model from exact conditionals, to high relative accuracy where it is small."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def kl_divergence(
    conditional: Float[Tensor, "*batch token"], log_prob: Float[Tensor, "*stack token"]
) -> Float[Tensor, "*row"]:
    r"""Return KL(p* ‖ p) = Σ_y p*_y log(p*_y / p_y) ≥ 0 of every row, in nats; the two shapes broadcast.

    With δ = log p − log p*, Σ_y p*(e^δ − 1) = 0 gives KL = Σ_y p* (e^δ − 1 − δ): every term is
    non-negative and nothing cancels, so the relative error is of order ε/|δ| instead of ε/δ². Exact. Source: ours.

    >>> p = torch.tensor([0.25, 0.75], dtype=torch.float64)
    >>> kl_divergence(p, torch.tensor([0.5, 0.5], dtype=torch.float64).log())  # log 2 − H(¼)
    tensor(0.1308, dtype=torch.float64)
    """
    possible = conditional > 0
    delta = torch.where(possible, log_prob - conditional.clamp_min(torch.finfo(log_prob.dtype).tiny).log(), 0.0)
    small = delta.abs() < 0.5
    direct = log_prob.exp() - conditional * (1 + delta)
    return torch.where(small & possible, conditional * _expm1_minus(delta, small), direct).sum(-1)


def _expm1_minus(delta: Tensor, small: Tensor) -> Tensor:
    """Return e^δ − 1 − δ where |δ| < 1/2, by Taylor series; what is left out is below 2⁻⁶⁸ of the sum."""
    delta = torch.where(small, delta, 0.0)
    series = torch.ones_like(delta)
    for n in range(18, 2, -1):
        series = 1 + delta / n * series
    return delta.square() / 2 * series
