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

SHORT = 16
"""Positions below which attention on the CPU works across sentences: torch multiplies matrices so small, and takes
softmax of rows so short, one number at a time."""


def _refuse_graph() -> None:
    if torch.is_grad_enabled():
        raise RuntimeError(
            "expected a first derivative only, got create_graph=True in a network with fast = True; "
            "set fast = False for second and third derivatives"
        )


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
        weight = torch.softmax(scores, -1)
        ctx.save_for_backward(query, key, value, weight)
        return (weight @ value).transpose(-3, -2).flatten(-2)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_graph()
        query, key, value, weight = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        slope = slope.reshape(*slope.shape[:-1], query.shape[-3], -1).transpose(-3, -2)
        of_scores = torch._softmax_backward_data(slope @ value.mT, weight, -1, weight.dtype).mul_(scale)
        slopes = torch.stack((of_scores @ key, of_scores.mT @ query, weight.mT @ slope))
        return slopes.movedim((0, -3), (-3, -2)), None


class _LaneAttention(torch.autograd.Function):
    """The same with the heads of all sentences along the last axis, which each operation streams through."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, inside: Tensor | None) -> Tensor:
        own = _to_lanes(qkv.movedim(-3, 0), 1)  # (3, feature, position, lane)
        query, key, value = own.unbind()
        scale = len(query) ** -0.5
        weight = own.new_zeros(qkv.shape[-4], *query.shape[1:])  # of every position j for i, (i, j, lane)
        for q, k in zip(query, key, strict=True):
            weight.addcmul_(q[:, None], k, value=scale)
        if inside is not None:
            heads = inside.unsqueeze(-2).expand(*qkv.shape[:-4], qkv.shape[-2], -1)
            weight.masked_fill_(~heads.movedim(-1, 0).flatten(1), -math.inf)
        weight.sub_(weight.amax(1, keepdim=True)).exp_()
        weight.div_(weight.sum(1, keepdim=True))
        mixed = torch.zeros_like(value)
        for j in range(weight.shape[1]):
            mixed.addcmul_(weight[:, j], value[:, j, None])
        ctx.save_for_backward(own, weight)
        ctx.batch = (*qkv.shape[:-4], qkv.shape[-2])
        return _from_lanes(mixed, ctx.batch).flatten(-2)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        _refuse_graph()
        own, weight = ctx.saved_tensors
        query, key, value = own.unbind()
        of_mixed = _to_lanes(slope.reshape(*slope.shape[:-1], ctx.batch[-1], -1))
        of_scores = torch.zeros_like(weight)
        for g, v in zip(of_mixed, value, strict=True):
            of_scores.addcmul_(g[:, None], v, value=len(query) ** -0.5)
        of_scores.mul_(weight)
        of_scores.addcmul_(weight, of_scores.sum(1, keepdim=True), value=-1)
        slopes = torch.zeros_like(own)
        for t in range(weight.shape[0]):
            slopes[0].addcmul_(of_scores[:, t], key[:, t, None])
            slopes[1].addcmul_(of_scores[t], query[:, t, None])
            slopes[2].addcmul_(weight[t], of_mixed[:, t, None])
        return _from_lanes(slopes, ctx.batch).movedim(0, -3), None


def _to_lanes(x: Float[Tensor, "..."], leading: int = 0) -> Float[Tensor, "*leading feature position lane"]:
    """Return (*leading, *batch, position, head, feature) with batch and head as one last axis, in memory too."""
    moved = x.movedim((-1, -3), (leading, leading + 1))
    return moved.flatten(leading + 2).contiguous()


def _from_lanes(x: Float[Tensor, "..."], batch: tuple[int, ...]) -> Float[Tensor, "..."]:
    """Undo `_to_lanes`; `batch` are the axes of the batch and of heads."""
    leading = x.ndim - 3
    return x.reshape(*x.shape[:-1], *batch).movedim((leading, leading + 1), (-1, -3))


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
    # Sums in place would round each step of a shorter format.
    exact = qkv.dtype in (torch.float32, torch.float64)
    function = _LaneAttention if exact and qkv.device.type == "cpu" and qkv.shape[-4] < SHORT else _Attention
    result: Tensor = function.apply(qkv, inside)  # type: ignore[no-untyped-call]
    return result
