r"""A penalty (or a reward) on tr F, by an estimate that is unbiased for the value and for the gradient.

Labels drawn from the model give tr F = E‖∇ log p_θ(y)‖², but their law moves with θ, and the gradient of such an
estimate misses that part. With square roots nothing is drawn from the model: tr F = 4 E_x Σ_y ‖∇√p_θ(y|x)‖², so that
for independent signs ε

    tr F = E_ε ‖∇_θ Σ_i Σ_y ε_{iy} 2 √p_θ(y|x_i) / √n‖²,

an identity between smooth functions of θ whose left side's gradient is the mean of the right side's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class TracePenalty:
    """The term λ·tr F̂ of a training objective; λ < 0 sharpens.

    Attributes:
        weight: λ.
        examples: contexts of the batch that the estimate uses, the first ones.

    Raises:
        ValueError: examples is below one.
    """

    weight: float
    examples: int = 32

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise ValueError(f"expected examples >= 1, got {self}")


def random_signs(
    shape: tuple[int, ...], generators: Sequence[torch.Generator], dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "member ..."]:
    """Return independent signs ±1 of the given shape for every member, from the member's own stream."""
    drawn = [torch.randint(0, 2, shape, generator=generator, device=generator.device) for generator in generators]
    return torch.stack(drawn).to(device, dtype) * 2 - 1


def trace_estimate(
    log_prob_of: Callable[[Tensor], Tensor],
    leaves: Sequence[Tensor],
    contexts: Int64[Tensor, "*stack example position"],
    signs: Float[Tensor, "member probe example token"],
) -> Float[Tensor, " member"]:
    """Return an estimate of tr F for every member, differentiable in θ; unbiased over signs and contexts.

    The scores of different tokens are orthogonal under the signs, so given the contexts the mean over all signs is
    exactly (1/n) Σ_i Σ_y p_θ ‖∇ log p_θ(y|x_i)‖². Costs one forward and `probes` backward passes, and their
    second-order pass when it is differentiated. Monte Carlo. Source: ours.

    Args:
        log_prob_of: contexts → log p_θ, of primitives that can be differentiated twice.
        leaves: the parameters, each with the stack in front.
        contexts: the n contexts.
        signs: ε.
    """
    members, probes, n, _ = signs.shape
    root = (log_prob_of(contexts) / 2).exp().reshape(members, n, -1)
    total = root.new_zeros(members)
    for probe in range(probes):
        scalar = (signs[:, probe] * root).sum() * (2 / n**0.5)
        parts = torch.autograd.grad(scalar, leaves, create_graph=True, allow_unused=True)
        for part in parts:
            if part is not None:
                total = total + part.reshape(members, -1).square().sum(1)
    return total / probes
