r"""Exact rescalings of a pre-LN transformer: other parameters, the same function.

Diagonal ones multiply each parameter by a factor of its own, θ_i → D_i θ_i. `norm_factors`, `query_factors`,
`value_factors` and `hidden_factors` give D for four symmetries, `rescale` applies it. As L(Dθ) = L(θ) for all θ, the
Hessian at Dθ is D⁻¹ H D⁻¹, so tr H becomes Σ_i H_ii / D_i² (with one factor c, R + P/c² + Q c²: claim
`trace-is-not-invariant`), and Σ_i θ_i² H_ii does not change. The same holds for the Fisher matrix.

`mix_values` is a symmetry of attention in full: an invertible matrix for each head; it changes Σ θ_i² H_ii as well.

What stays: p_θ, the loss and its excess, and final states (with any head on them) unless the final normalisation is
scaled. Rotating the residual stream is not among them: a normalisation subtracts the mean over features and scales
each by its own gain, so a rotation is exact only if it fixes (1, …, 1) and every gain has been made one by
`norm_factors`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks.transformer import Block, Transformer

Factors = dict[str, Tensor]
"""Multipliers of parameters by name, of shapes that broadcast to theirs; parameters without one are kept."""


def rescale(network: Transformer, factors: Mapping[str, Tensor]) -> Transformer:
    """Return a copy of the network with parameters θ_i D_i. Exact up to one rounding; for powers of two, exact.

    Raises:
        ValueError: a factor is zero or not finite.
    """
    scaled = network.copy()
    with torch.no_grad():
        for name, factor in factors.items():
            if not bool((factor.isfinite() & (factor != 0)).all()):
                raise ValueError(
                    f"expected finite factors that are not 0 for {name}, got {factor}; D must be invertible"
                )
            scaled.get_parameter(name).mul_(factor)
    return scaled


def norm_factors(network: Transformer, norm: str, factors: Float[Tensor, "*stack feature"]) -> Factors:
    """Return D for γ → γ s, β → β s of a layer normalisation, rows of the linear map after it → rows / s.

    Args:
        network: the network.
        norm: name of the normalisation, such as "blocks.0.attention_norm", "blocks.1.mlp_norm" or "norm".
        factors: s ≠ 0 of each feature.

    Raises:
        ValueError: no such normalisation, or the map after it is shared with the embedding.
    """
    followers = {"norm": "unembedding"}
    for index in range(network.config.layers):
        followers |= {f"blocks.{index}.attention_norm": f"blocks.{index}.qkv"}
        followers |= {f"blocks.{index}.mlp_norm": f"blocks.{index}.hidden"}
    if norm not in followers:
        raise ValueError(f"expected a normalisation among {', '.join(followers)}, got {norm!r}")
    if norm == "norm" and network.config.tied:
        raise ValueError(
            "expected an untied head to scale the final normalisation, got a tied one: rows / s is no option"
        )
    _check(factors, (*network.stack, network.width), f"factors of {norm}")
    return {
        f"{norm}.gain": factors,
        f"{norm}.bias": factors,
        f"{followers[norm]}.weight": 1 / factors.unsqueeze(-1),
    }


def query_factors(network: Transformer, block: int, factors: Float[Tensor, "*stack head"]) -> Factors:
    """Return D for queries → c · queries and keys → keys / c of each head of a block."""
    each = _by_feature(network, factors)
    return _qkv_factors(block, torch.cat((each, 1 / each, torch.ones_like(each)), -1))


def value_factors(network: Transformer, block: int, factors: Float[Tensor, "*stack head"]) -> Factors:
    """Return D for values → c · values and the head's rows of the output map → rows / c, for each head of a block."""
    each = _by_feature(network, factors)
    scaled = _qkv_factors(block, torch.cat((torch.ones_like(each), torch.ones_like(each), each), -1))
    return {**scaled, f"blocks.{block}.out.weight": 1 / each.unsqueeze(-1)}


def hidden_factors(network: Transformer, block: int, factors: Float[Tensor, "*stack hidden"]) -> Factors:
    """Return D for c > 0 of each hidden unit of an MLP: weights and bias into it times c, weights out of it / c.

    Raises:
        ValueError: the activation is not relu, the only one here with φ(cx) = c φ(x), or a factor is not positive.
    """
    if network.config.activation != "relu":
        raise ValueError(
            f"expected activation 'relu', which φ(cx) = c φ(x) holds for, got {network.config.activation!r}"
        )
    _check(factors, (*network.stack, network.config.mlp_width), "factors of hidden units")
    if not bool((factors > 0).all()):
        raise ValueError(f"expected positive factors, got {factors}; relu(cx) = c relu(x) needs c > 0")
    return {
        f"blocks.{block}.hidden.weight": factors.unsqueeze(-2),
        f"blocks.{block}.hidden.bias": factors,
        f"blocks.{block}.output.weight": 1 / factors.unsqueeze(-1),
    }


def mix_values(
    network: Transformer, block: int, matrices: Float[Tensor, "*stack head feature feature2"]
) -> Transformer:
    """Return a copy with values v → v M and output rows W → M⁻¹ W in each head. Exact up to rounding."""
    heads, size = network.config.heads, network.config.head_width
    _check(matrices, (*network.stack, heads, size, size), "matrices of heads")
    mixed = network.copy()
    target = mixed.blocks[block]
    assert isinstance(target, Block)
    with torch.no_grad():
        for parameter in (target.qkv.weight, target.qkv.bias.unsqueeze(-2)):  # (*stack, row, (3 · head · feature))
            parts = parameter.reshape(*parameter.shape[:-1], 3, heads, size).movedim(-2, -4)  # row, 3 last but one
            parts[..., 2, :] = parts[..., 2, :] @ matrices
        rows = target.out.weight.reshape(*network.stack, heads, size, -1)
        rows.copy_(torch.linalg.inv(matrices) @ rows)
    return mixed


def _check(factors: Tensor, shape: tuple[int, ...], what: str) -> None:
    if tuple(factors.shape) != shape:
        raise ValueError(f"expected {what} of shape {shape}, got {tuple(factors.shape)}; give one for each")


def _by_feature(network: Transformer, factors: Tensor) -> Tensor:
    """Repeat one factor for each head over the head's features."""
    _check(factors, (*network.stack, network.config.heads), "factors of heads")
    return factors.repeat_interleave(network.config.head_width, -1)


def _qkv_factors(block: int, columns: Tensor) -> Factors:
    return {f"blocks.{block}.qkv.weight": columns.unsqueeze(-2), f"blocks.{block}.qkv.bias": columns}
