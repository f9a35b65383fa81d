"""Embedding a narrow network into a wider one with the same function, and what that does to the trace."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from verify.models.two_layer import Activation, TwoLayerModel

DEGREE: dict[Activation, int] = {"identity": 1, "relu": 1, "square": 2}
"""Degree k of positive homogeneity: φ(sh) = s^k φ(h) for s ≥ 0."""


def embed(
    small: TwoLayerModel,
    theta: Float[Tensor, " parameter"],
    wide: TwoLayerModel,
    owner: Int64[Tensor, " wide_width"],
    share: Float[Tensor, " wide_width"],
) -> Float[Tensor, " wide_parameter"]:
    r"""Return the parameters of `wide` at which it is the function that `small` is at θ. Exact.

    Neuron i of the wide network is neuron j = owner_i of the small one with (a, w, b) all scaled by c^{1/(k+1)}, where
    c = share_i ≥ 0 and Σ_{i: owner_i = j} c_i = 1: as φ is positively homogeneous of degree k, it contributes c times
    what neuron j contributes to f. A share of 0 is a dead neuron. On Γ neuron j's part of
    tr H = Σ_j E σ'(f)[φ(h_j)² + a_j² φ'(h_j)² (‖z‖² + [bias])] is multiplied by Σ_i c_i^{2k/(k+1)}: by 1 for relu
    whatever the shares, by r^{−1/3} for squares and r equal copies. Source: ours; the paper embeds small transformers
    in large ones in App. B.3–B.4 (second-hand).

    Raises:
        ValueError: the networks differ in more than width, or the shares of a neuron do not sum to one.
    """
    same = (small.activation, small.bias, small.dimension) == (wide.activation, wide.bias, wide.dimension)
    if not same or len(owner) != wide.width or len(share) != wide.width:
        raise ValueError(
            f"embed: expected networks that differ in width alone and {wide.width} owners and shares, got "
            f"{small.name} into {wide.name}, {len(owner)} owners and {len(share)} shares"
        )
    if bool(((owner < 0) | (owner >= small.width)).any()) or bool((share < 0).any()):
        raise ValueError(f"embed: expected owners in 0..{small.width - 1} and shares >= 0, got {owner}, {share}")
    total = share.new_zeros(small.width).index_add(0, owner, share)
    off = (total - 1).abs() > wide.width * torch.finfo(share.dtype).eps
    if bool(off.any()):
        j = int(off.nonzero()[0])
        raise ValueError(f"embed: expected the shares of neuron {j} to sum to 1, got {float(total[j])}; divide by it")
    a, w, b = small.split(theta)
    scale = share ** (1 / (DEGREE[small.activation] + 1))
    return wide.join(scale * a[owner], scale[:, None] * w[owner], scale * b[owner])
