r"""The layers of the networks, from elementary operations, with a leading stack of seeds.

Every array is (*stack, …, feature) and every parameter (*stack, …): stack = () is one network, (R,) is R networks side
by side, each with its own parameters, so that one kernel call serves them all. Only operations whose derivatives torch
gets right up to the third order are used: the gradient of tr H needs three, and the fused layer normalisation is
silently wrong at the third (see `tests/verify/networks/test_primitives.py`).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

Activation = Literal["relu", "gelu"]
ACTIVATIONS: tuple[Activation, ...] = ("relu", "gelu")


def linear(
    x: Float[Tensor, "..."], weight: Float[Tensor, "*stack feature out"], bias: Float[Tensor, "*stack out"]
) -> Float[Tensor, "..."]:
    """Return x W + b for x of shape (*stack, …, feature): one (N, feature) × (feature, out) product for each seed."""
    stack = weight.shape[:-2]
    if not stack:
        return torch.addmm(bias, x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], -1)
    rows = x.reshape(math.prod(stack), -1, x.shape[-1])
    product = torch.baddbmm(bias.reshape(len(rows), 1, -1), rows, weight.reshape(len(rows), *weight.shape[-2:]))
    return product.reshape(*x.shape[:-1], -1)


def align(parameter: Float[Tensor, "*stack feature"], ndim: int) -> Float[Tensor, "..."]:
    """Return a per-feature parameter as (*stack, 1, …, 1, feature), to be broadcast against `ndim` axes."""
    *stack, feature = parameter.shape
    return parameter.reshape(*stack, *[1] * (ndim - parameter.ndim), feature)


def layer_norm(
    x: Float[Tensor, "..."],
    gain: Float[Tensor, "*stack feature"],
    bias: Float[Tensor, "*stack feature"],
    epsilon: float,
) -> Float[Tensor, "..."]:
    """Return γ (x − mean) / √(var + ε) + β over the features, var with divisor n (arXiv 1607.06450, eq. 4)."""
    centred = x - x.mean(-1, keepdim=True)
    rate = (centred.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    return torch.addcmul(align(bias, x.ndim), centred * rate, align(gain, x.ndim))


def attention(
    query: Float[Tensor, "*batch query head feature"],
    key: Float[Tensor, "*batch position head feature"],
    value: Float[Tensor, "*batch position head feature"],
    inside: Bool[Tensor, "*batch position"] | None = None,
) -> Float[Tensor, "*batch query head_feature"]:
    """Return softmax(q·k/√d) v of every head, heads side by side; bidirectional (Vaswani et al., 1706.03762, eq. 1).

    Args:
        query: queries, of all positions or of some.
        key: keys.
        value: values.
        inside: which positions belong to the sentence; None for all. The others get weight 0.
    """
    scores = (query * query.shape[-1] ** -0.5).transpose(-3, -2) @ key.transpose(-3, -2).mT
    if inside is not None:
        scores = scores.masked_fill(~inside[..., None, None, :], -math.inf)
    mixed = torch.softmax(scores, -1) @ value.transpose(-3, -2)
    return mixed.transpose(-3, -2).flatten(-2)


def activate(x: Float[Tensor, "..."], activation: Activation) -> Float[Tensor, "..."]:
    """Return max(x, 0), or x Φ(x) for gelu (Hendrycks and Gimpel, arXiv 1606.08415), by the error function."""
    return torch.relu(x) if activation == "relu" else functional.gelu(x)


def embed(index: Int64[Tensor, "..."], table: Float[Tensor, "*stack row feature"]) -> Float[Tensor, "..."]:
    """Return the rows of each seed's table, (*stack, example, position, feature).

    Args:
        index: rows, (example, position) for all seeds or (*stack, example, position); a negative one raises IndexError.
        table: one table for each seed.
    """
    *stack, rows, feature = table.shape
    if not stack:
        return functional.embedding(index, table)
    start = torch.arange(math.prod(stack), device=index.device).mul_(rows).reshape(*stack, 1, 1)
    return functional.embedding(torch.where(index < 0, -1, index + start), table.reshape(-1, feature))


def pick(
    x: Float[Tensor, "*batch position feature"], position: Int64[Tensor, "*batch"]
) -> Float[Tensor, "*batch feature"]:
    """Return x at one position of each example."""
    index = position[..., None, None].expand(*position.shape, 1, x.shape[-1])
    return x.gather(-2, index).squeeze(-2)
