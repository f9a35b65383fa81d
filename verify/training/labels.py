r"""Three kinds of labels: drawn from p*, p* itself, and p* with isotropic gradient noise as large as that of labels.

With soft labels the gradient of a batch is E[∇ℓ | contexts]; the difference ξ = g_sampled − g_soft is the label noise,
whose covariance on Γ is H/B (paper Lemma 4.2, second-hand). The third kind keeps the norm of that noise and drops its
shape, so that what the shape does can be told from what the size does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from verify.training.data import Batch
from verify.training.parameters import FlatParameters

Labels = Literal["sampled", "soft", "isotropic"]
LABELS: tuple[Labels, ...] = ("sampled", "soft", "isotropic")


def cross_entropy(
    log_prob: Float[Tensor, "*stack example token"], targets: Int64[Tensor, "*stack example"]
) -> Float[Tensor, "*stack"]:
    """Return the mean of −log p(y | x) over the examples, in nats."""
    return -log_prob.gather(-1, targets.unsqueeze(-1)).squeeze(-1).mean(-1)


def soft_cross_entropy(
    log_prob: Float[Tensor, "*stack example token"], conditional: Float[Tensor, "*stack example token"]
) -> Float[Tensor, "*stack"]:
    """Return the mean of −Σ_y p*(y | x) log p(y | x) over the examples, in nats."""
    return -(conditional * log_prob).sum(-1).mean(-1)


def isotropic_direction(
    like: Float[Tensor, "member parameter"], generators: Sequence[torch.Generator]
) -> Float[Tensor, "member parameter"]:
    """Return a uniformly distributed unit vector per member: a normalised Gaussian, from the member's own stream."""
    gaussian = torch.stack(
        [torch.randn(like.shape[1], generator=g, dtype=like.dtype, device=like.device) for g in generators]
    )
    unit: Tensor = gaussian / torch.linalg.vector_norm(gaussian, dim=1, keepdim=True)
    return unit


def label_gradient(
    labels: Labels,
    parameters: FlatParameters,
    log_prob: Float[Tensor, "*stack example token"],
    batch: Batch,
    generators: Sequence[torch.Generator],
) -> tuple[Float[Tensor, " member"], Float[Tensor, "member parameter"]]:
    r"""Return the loss of every member and the gradient its optimiser is given.

    - sampled: g = ∇ mean ℓ(x, y), y ~ p*; loss on the labels drawn.
    - soft: g = ∇ mean E[ℓ | x]; loss against p*.
    - isotropic: g_soft + ξ, ξ = ‖g_sampled − g_soft‖ u, both gradients on this batch, u uniform on the sphere. Then
      E ξ = 0 and Cov ξ = s² I with s² · (number of parameters) = E‖g_sampled − g_soft‖²; the norms agree batch by
      batch. Costs a second backward pass (the forward pass is shared) and one Gaussian per parameter.

    Args:
        parameters: what `log_prob` depends on.
        log_prob: log p_θ of the batch, with its graph.
        batch: the examples, with p* unless labels are sampled.
        generators: of the isotropic noise, one per member.

    Raises:
        ValueError: p* is needed and the batch has none.
    """
    members = len(parameters.theta)
    if labels == "sampled":
        loss = cross_entropy(log_prob, batch.targets).reshape(members)
        return loss.detach(), parameters.gradient(loss.sum())
    if batch.conditional is None:
        raise ValueError(f"expected a batch with p* for {labels} labels, got none; draw it with conditional=True")
    loss = soft_cross_entropy(log_prob, batch.conditional).reshape(members)
    if labels == "soft":
        return loss.detach(), parameters.gradient(loss.sum())
    noise = cross_entropy(log_prob, batch.targets).reshape(members) - loss
    gradient = parameters.gradient(loss.sum(), keep_graph=True)
    norm = torch.linalg.vector_norm(parameters.gradient(noise.sum()), dim=1, keepdim=True)
    return loss.detach(), gradient.addcmul_(norm, isotropic_direction(gradient, generators))
