r"""Loss, gradient, Hessian and gradient noise of a `FiniteModel`, as finite sums over contexts and tokens.

Nothing here is estimated. Every function takes one θ of shape (parameter,) or an ensemble (replica, parameter)
and is differentiable in θ. Notation: π(x) probability of a context, p* the true
conditional, p_θ the model, Γ = {p_θ = p*}.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from verify.models.divergence import kl_divergence
from verify.models.model import FiniteModel
from verify.models.two_layer import TwoLayerModel

HESSIAN_CHUNK_ENTRIES = 2**24
"""Hessians of an ensemble are formed for as many replicas at once as keep this many entries in memory."""


def log_prob(model: FiniteModel, theta: Float[Tensor, "*replica parameter"]) -> Float[Tensor, "*replica context token"]:
    """Return log p_θ(y | x) for every context and token. Exact."""
    return torch.log_softmax(model.scores(theta, model.contexts), dim=-1)


def entropy_floor(model: FiniteModel) -> Float[Tensor, ""]:
    """Return L* = E H(p*) = −Σ_x π(x) Σ_y p*(y|x) log p*(y|x), in nats. Exact."""
    return -(model.context_prob @ torch.xlogy(model.conditional, model.conditional).sum(-1))


def exact_loss(model: FiniteModel, theta: Float[Tensor, "*replica parameter"]) -> Float[Tensor, "*replica"]:
    """Return L(θ) = −Σ_x π(x) Σ_y p*(y|x) log p_θ(y|x), in nats. Exact."""
    return -((model.conditional * log_prob(model, theta)).sum(-1) @ model.context_prob)


def exact_excess(model: FiniteModel, theta: Float[Tensor, "*replica parameter"]) -> Float[Tensor, "*replica"]:
    """Return L(θ) − L* = E KL(p* ‖ p_θ) ≥ 0, in nats, to high relative accuracy near Γ: `kl_divergence`. Exact."""
    return kl_divergence(model.conditional, log_prob(model, theta)) @ model.context_prob


def exact_gradient(
    model: FiniteModel, theta: Float[Tensor, "*replica parameter"]
) -> Float[Tensor, "*replica parameter"]:
    """Return ∇L(θ). Exact."""
    if isinstance(model, TwoLayerModel):
        residual = torch.sigmoid(model.logit(theta, model.contexts)) - model.conditional[:, 1]
        return model.logit_pullback(theta, model.contexts, model.context_prob * residual)
    return _per_replica(torch.func.grad(lambda point: exact_loss(model, point)), theta)


def hessian(
    model: FiniteModel, theta: Float[Tensor, "*replica parameter"]
) -> Float[Tensor, "*replica parameter parameter"]:
    """Return H(θ) = ∇²L(θ), by differentiating the gradient in reverse mode. Exact."""
    chunk = max(1, HESSIAN_CHUNK_ENTRIES // (theta.shape[-1] ** 2 * max(1, len(model.contexts) // 16)))
    matrix = _per_replica(torch.func.jacrev(lambda point: exact_gradient(model, point)), theta, chunk)
    return (matrix + matrix.mT) / 2


def trace_hessian(model: FiniteModel, theta: Float[Tensor, "*replica parameter"]) -> Float[Tensor, "*replica"]:
    r"""Return tr H(θ), on Γ or off it. Exact.

    With closed-form derivatives, tr H = Σ_x π [σ'(f)‖∇f‖² + (σ(f) − p*(+1)) tr ∇²f];
    otherwise it is the trace of `hessian`.
    """
    if isinstance(model, TwoLayerModel):
        residual = torch.sigmoid(model.logit(theta, model.contexts)) - model.conditional[:, 1]
        bending = residual * model.logit_laplacian(theta, model.contexts)
        return fisher_trace(model, theta) + bending @ model.context_prob
    return hessian(model, theta).diagonal(dim1=-2, dim2=-1).sum(-1)


def fisher(
    model: FiniteModel, theta: Float[Tensor, "*replica parameter"]
) -> Float[Tensor, "*replica parameter parameter"]:
    """Return F(θ) = Σ_x π Σ_y p_θ ∇log p_θ ∇log p_θᵀ, labels drawn from the *model*; F = H on Γ. Exact."""
    weight = model.context_prob.unsqueeze(-1) * log_prob(model, theta).exp()
    return _second_moment(log_prob_jacobian(model, theta), weight)


def fisher_trace(model: FiniteModel, theta: Float[Tensor, "*replica parameter"]) -> Float[Tensor, "*replica"]:
    r"""Return tr F(θ) = Σ_x π Σ_y p_θ ‖∇log p_θ‖², equal to tr H on Γ. Exact, and differentiable in θ.

    For binary tokens with logit f this is Σ_x π σ'(f) ‖∇f‖².
    """
    if isinstance(model, TwoLayerModel):
        f = model.logit(theta, model.contexts)
        slope = torch.sigmoid(f) * torch.sigmoid(-f)
        return (slope * model.logit_jacobian(theta, model.contexts).square().sum(-1)) @ model.context_prob
    squared = log_prob_jacobian(model, theta).square().sum(-1)
    return (log_prob(model, theta).exp() * squared).sum(-1) @ model.context_prob


def label_noise_covariance(
    model: FiniteModel,
    theta: Float[Tensor, "*replica parameter"],
    label_conditional: Float[Tensor, "context token"] | None = None,
    batch_size: int = 1,
) -> Float[Tensor, "*replica parameter parameter"]:
    r"""Return Cov(∇ℓ)/B of the mini-batch gradient, contexts and labels drawn afresh. Exact.

    ℓ = −log p_θ(y|x), x ~ π, y ~ `label_conditional` (default p*); the covariance is centred and includes the
    variance over contexts of E[∇ℓ | x], zero on Γ. There Cov(∇ℓ) = H (paper Lemma 4.2, second-hand).

    Raises:
        ValueError: `batch_size` < 1, or `label_conditional` is not a table of conditionals.
    """
    if batch_size < 1:
        raise ValueError(f"label_noise_covariance: expected batch_size >= 1, got {batch_size}")
    labels = model.conditional if label_conditional is None else label_conditional
    check_conditional(model, labels)
    weight = model.context_prob.unsqueeze(-1) * labels
    score = log_prob_jacobian(model, theta)
    mean = torch.einsum("xy,...xyp->...p", weight, score)
    return _second_moment(score - mean[..., None, None, :], weight) / batch_size


def check_conditional(model: FiniteModel, table: Tensor) -> None:
    """Check that `table` holds one probability vector per context of `model`.

    Raises:
        ValueError: its shape is not that of p*, an entry is negative, or a row does not sum to one.
    """
    if table.shape != model.conditional.shape:
        raise ValueError(
            f"label conditional of {model.name}: expected shape {tuple(model.conditional.shape)}, "
            f"got {tuple(table.shape)}; give one column per token and one row per row of model.contexts"
        )
    rounding = 8 * table.shape[-1] * torch.finfo(table.dtype).eps
    if bool((table < 0).any()) or not bool(((table.sum(-1) - 1).abs() <= rounding).all()):
        raise ValueError(
            f"label conditional of {model.name}: expected non-negative rows that sum to 1, got a least entry "
            f"{float(table.min()):.3g} and row sums from {float(table.sum(-1).min()):.17g} to "
            f"{float(table.sum(-1).max()):.17g}; normalise each row"
        )


def log_prob_jacobian(
    model: FiniteModel, theta: Float[Tensor, "*replica parameter"]
) -> Float[Tensor, "*replica context token parameter"]:
    """Return ∇_θ log p_θ(y | x) for every context and token, differentiable in θ. Exact."""
    if isinstance(model, TwoLayerModel):
        f = model.logit(theta, model.contexts)
        slope = torch.stack([-torch.sigmoid(f), torch.sigmoid(-f)], dim=-1)
        return slope.unsqueeze(-1) * model.logit_jacobian(theta, model.contexts).unsqueeze(-2)
    return _per_replica(torch.func.jacrev(lambda point: log_prob(model, point)), theta)


def _second_moment(vectors: Tensor, weight: Tensor) -> Tensor:
    """Return Σ_xy weight v vᵀ for vectors (..., context, token, parameter)."""
    scaled = (vectors * weight.sqrt().unsqueeze(-1)).flatten(-3, -2)
    return scaled.mT @ scaled


def _per_replica(function: Callable[[Tensor], Tensor], theta: Tensor, chunk: int | None = None) -> Tensor:
    """Apply a function of one θ to every row of an ensemble."""
    if theta.ndim == 1:
        return function(theta)
    rows = theta.flatten(0, -2)
    mapped: Tensor = torch.func.vmap(function, chunk_size=chunk)(rows)
    return mapped.reshape(*theta.shape[:-1], *mapped.shape[1:])
