"""torch's attention, which is one operation with its projections, as the operations that it is made of."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def opened_attention(
    query: Float[Tensor, "..."],
    key: Float[Tensor, "..."],
    value: Float[Tensor, "..."],
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None] | None:
    """Return what `torch.nn.functional.multi_head_attention_forward` does, by three projections, softmax and a fourth.

    Examples lead in all operations, and each projection multiplies a view of its parameter: what the rules of
    `verify.curvature.per_sample` ask for. Arguments are those of torch, (position, example, feature). None for what
    has no rule: sentences without an axis of examples, learnt or zero keys and values, given ones, dropout.
    """
    given = any(keys is not None for keys in (bias_k, bias_v, static_k, static_v))
    if query.ndim != 3 or given or add_zero_attn or (training and dropout_p):
        return None
    separate = q_proj_weight, k_proj_weight, v_proj_weight
    weights = separate if in_proj_weight is None else in_proj_weight.chunk(3)
    biases = (None, None, None) if in_proj_bias is None else in_proj_bias.chunk(3)
    q, k, v = (
        _heads(functional.linear(x.transpose(0, 1), weight, bias), num_heads)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        if weight is not None
    )
    scores = (q * q.shape[-1] ** -0.5) @ k.mT  # (example, head, query, key)
    if attn_mask is not None:
        # of all sentences, or of each head of each
        scores = _masked(scores, attn_mask if attn_mask.ndim == 2 else attn_mask.reshape(scores.shape))
    if key_padding_mask is not None:
        scores = _masked(scores, key_padding_mask[:, None, None, :])
    weight = torch.softmax(scores, -1)
    mixed = (weight @ v).transpose(1, 2).flatten(2)
    output = functional.linear(mixed, out_proj_weight, out_proj_bias).transpose(0, 1)
    if not need_weights:
        return output, None
    return output, weight.mean(1) if average_attn_weights else weight


def _heads(x: Float[Tensor, "example position feature"], heads: int) -> Float[Tensor, "example head position own"]:
    return x.reshape(*x.shape[:-1], heads, -1).transpose(1, 2)


def _masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Mask where it is true, or add it."""
    return scores.masked_fill(mask, -math.inf) if mask.dtype == torch.bool else scores + mask
