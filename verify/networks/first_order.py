"""Layer normalisation and attention with few temporaries, for training: a first derivative only, a second one raises.

Their backward passes are written by hand and know nothing of second derivatives: asked to build a graph of themselves
they raise, and torch.func refuses them altogether, so that nothing is silently wrong as with the fused
`torch.nn.functional.layer_norm`. (`once_differentiable` would not do: `torch.autograd.grad` passes over its error where
the inputs are reached by another path.) `Network.fast` chooses them; `verify.networks.primitives` is the reference.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from verify.networks.primitives import align

VECTOR = 16
"""Rows shorter than this torch's softmax on the CPU takes one number at a time: four to five times slower than sums."""


def _refuse_graph() -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "expected a first derivative only, got create_graph=True in a network with fast = True; "
            "set fast = False for second and third derivatives"
        )


def _softmax(scores: Tensor) -> Tensor:
    """Return the softmax over the last axis, writing over the scores."""
    if scores.shape[-1] >= VECTOR or scores.device.type != "cpu":
        return torch.softmax(scores, -1)
    weight = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
    return weight.div_(weight.sum(-1, keepdim=True))


def _softmax_slope(slope: Tensor, weight: Tensor) -> Tensor:
    """Return w (g − Σ g w), the gradient in the scores when g is that in the weights w."""
    if weight.shape[-1] >= VECTOR or weight.device.type != "cpu":
        return torch._softmax_backward_data(slope, weight, -1, weight.dtype)
    product = slope * weight
    return product.sub_(weight * product.sum(-1, keepdim=True))


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        normal, mean, rate = torch.native_layer_norm(x, x.shape[-1:], None, None, epsilon)
        ctx.save_for_backward(x, gain, normal, mean, rate)
        return torch.addcmul(align(bias, x.ndim), normal, align(gain, x.ndim))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_graph()
        x, gain, normal, mean, rate = ctx.saved_tensors
        rows = tuple(range(gain.ndim - 1, x.ndim - 1))
        inner, _, _ = torch.ops.aten.native_layer_norm_backward(
            slope * align(gain, x.ndim), x, x.shape[-1:], mean, rate, None, None, [True, False, False]
        )
        return inner, (slope * normal).sum(rows), slope.sum(rows), None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: Tensor, inside: Tensor | None) -> Tensor:
        query, key, value = qkv.movedim((-3, -2), (0, -3)).contiguous().unbind()  # (*batch, head, position, feature)
        scores = (query @ key.mT).mul_(query.shape[-1] ** -0.5)
        if inside is not None:
            scores.masked_fill_(~inside[..., None, None, :], -math.inf)
        weight = _softmax(scores)
        ctx.save_for_backward(query, key, value, weight)
        return (weight @ value).transpose(-3, -2).flatten(-2)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_graph()
        query, key, value, weight = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        slope = slope.reshape(*slope.shape[:-1], query.shape[-3], -1).transpose(-3, -2)
        of_scores = _softmax_slope(slope @ value.mT, weight).mul_(scale)
        slopes = torch.stack((of_scores @ key, of_scores.mT @ query, weight.mT @ slope))
        return slopes.movedim((0, -3), (-3, -2)), None


def layer_norm(
    x: Float[Tensor, "..."],
    gain: Float[Tensor, "*stack feature"],
    bias: Float[Tensor, "*stack feature"],
    epsilon: float,
) -> Float[Tensor, "..."]:
    """Return what `primitives.layer_norm` does."""
    result: Tensor = _LayerNorm.apply(x, gain, bias, epsilon)  # type: ignore[no-untyped-call]
    return result


def self_attention(
    qkv: Float[Tensor, "*batch position 3 head feature"], inside: Bool[Tensor, "*data position"] | None = None
) -> Float[Tensor, "*batch position head_feature"]:
    """Return what `primitives.attention` does when queries, keys and values are those of the same positions."""
    result: Tensor = _Attention.apply(qkv, inside)  # type: ignore[no-untyped-call]
    return result
