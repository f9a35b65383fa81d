"""The equation of Γ = {θ : p_θ = p*}, whitened so that its Jacobian is a square root of the Hessian.

In context x, of probability q_x, write

    c_x(θ) = √q_x · A_x (g_θ(x) − log p*(· | x)),    A_xᵀ A_x = diag p* − p* p*ᵀ,    A_x of shape (c − 1, c).

A_x annihilates constants, so the gauge of the softmax is gone, and Γ = {c = 0}. With J = ∂c/∂θ,

    H = JᵀJ      and      tr H = ‖J‖_F²      at every θ on Γ,

so the singular values of J are the square roots of the eigenvalues of H: the rank of H, the tangent
projection and the Gauss–Newton step come from one decomposition that never squares the condition number.
Source: ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verify.models import FiniteModel, TwoLayerModel

_CHUNK_ELEMENTS = 2**23  # entries of J differentiated at once: 64 MiB of float64, about ten times that in the graph


@dataclass(frozen=True)
class Linearisation:
    """The constraint at θ and the singular value decomposition J = U diag(σ) N of its Jacobian.

    Attributes:
        theta: the points.
        residual: c(θ).
        left: U, orthonormal columns.
        singular_values: σ in decreasing order; on Γ, σ² are the eigenvalues of H that can be nonzero.
        normal: N, orthonormal rows; those with σ above the rank tolerance span the normal space P_⊥.
        kept: which singular values count as nonzero.
        rounding: size of c that rounding alone can produce, parameter · ε · (‖J‖_F ‖θ‖ + ‖c‖ + ‖A log p*‖):
            what relative errors ε do to each term of c, times the factor for sums of `parameter` terms.
    """

    theta: Float[Tensor, "replica parameter"]
    residual: Float[Tensor, "replica constraint"]
    left: Float[Tensor, "replica constraint value"]
    singular_values: Float[Tensor, "replica value"]
    normal: Float[Tensor, "replica value parameter"]
    kept: Bool[Tensor, "replica value"]
    rounding: Float[Tensor, " replica"]

    @property
    def rank(self) -> Int[Tensor, " replica"]:
        """Rank of J, which is rank H on Γ."""
        return self.kept.sum(-1)

    @property
    def trace(self) -> Float[Tensor, " replica"]:
        """‖J‖_F², which is tr H on Γ."""
        return self.singular_values.square().sum(-1)

    @property
    def smallest_singular_value(self) -> Float[Tensor, " replica"]:
        """The least singular value that counts as nonzero (infinite where the rank is zero)."""
        return torch.amin(self.singular_values.masked_fill(~self.kept, torch.inf), dim=-1)

    @property
    def distance(self) -> Float[Tensor, " replica"]:
        """First-order distance to Γ, ‖J⁺ c‖ (units of θ)."""
        return self.step().square().sum(-1).sqrt()

    @property
    def off(self) -> Float[Tensor, " replica"]:
        """‖c‖ in units of what rounding leaves of it; a retracted point has 2 or less.

        1 is where the retraction stops, and the residual evaluated anew may differ by as much.
        """
        return self.residual.square().sum(-1).sqrt() / self.rounding

    def step(self, damping: Float[Tensor, " replica"] | None = None) -> Float[Tensor, "replica parameter"]:
        """Levenberg step −Jᵀ (J Jᵀ + μ σ₁² I)⁻¹ c for `damping` μ; without it the Gauss–Newton step −J⁺ c."""
        sigma, top = self.singular_values, self.singular_values[:, :1]
        shift = torch.zeros_like(top) if damping is None else damping[:, None] * top.square()
        weight = torch.where(self.kept, sigma / (sigma.square() + shift), torch.zeros_like(sigma))
        size = weight * torch.einsum("rcv,rc->rv", self.left, self.residual)
        return torch.einsum("rv,rvp->rp", size, -self.normal)

    def project(self, vectors: Float[Tensor, "replica parameter"]) -> Float[Tensor, "replica parameter"]:
        """P_T v = v − Nᵀ N v over the kept rows of N."""
        basis = self.normal * self.kept[..., None]
        for _ in range(2):  # the second pass removes what the first one left by cancellation
            vectors = vectors - torch.einsum("rv,rvp->rp", torch.einsum("rvp,rp->rv", basis, vectors), basis)
        return vectors


class MinimiserConstraint:
    """Γ = {θ : p_θ = p*} of a finite model, as the zero set of the whitened constraint c.

    All methods act on replicas independently, in the dtype and on the device of the model.

    Args:
        model: any finite model; p* must be positive, otherwise no finite θ attains it.
        rank_tolerance: a singular value of J counts as zero when σ ≤ rank_tolerance · σ₁. Default:
            max(J.shape) · ε, what rounding makes of an exact zero.

    Raises:
        ValueError: when some p*(y | x) is zero, or `rank_tolerance` is not in [0, 1).
    """

    def __init__(self, model: FiniteModel, rank_tolerance: float | None = None) -> None:
        conditional = model.conditional
        if not bool((conditional > 0).all()):
            raise ValueError(
                f"expected p*(y | x) > 0 for every token, got a minimum of {float(conditional.min()):g} in "
                f"model {model.name!r}: its loss has no finite minimiser; use a finite noise level α"
            )
        self.model = model
        tokens = conditional.shape[-1]
        constraints = conditional.shape[0] * (tokens - 1)
        if rank_tolerance is None:
            rank_tolerance = max(constraints, model.n_parameters) * torch.finfo(conditional.dtype).eps
        if not 0 <= rank_tolerance < 1:
            raise ValueError(f"expected 0 <= rank_tolerance < 1, got {rank_tolerance}; it is relative to the largest")
        self.rank_tolerance = rank_tolerance
        root = conditional.sqrt()
        # Householder reflection whose first column is −√p*: the others complete it to an orthonormal basis.
        mirror = root.clone()
        mirror[:, 0] += 1
        identity = torch.eye(tokens, dtype=root.dtype, device=root.device)
        outer = mirror[:, :, None] * mirror[:, None, :]
        complement = (identity - 2 * outer / mirror.square().sum(-1)[:, None, None])[:, :, 1:]
        self._whitening = complement.mT * root[:, None, :] * model.context_prob.sqrt()[:, None, None]
        self._target = conditional.log()
        self._offset = torch.einsum("xky,xy->xk", self._whitening, self._target).norm()

    def _closed_form_jacobian(self, model: TwoLayerModel, theta: Tensor) -> Tensor:
        """J from the written-out ∇f of a binary network: c = A_{x,+} (f − f*), since its scores are (0, f)."""
        return self._whitening[:, :, 1] * model.logit_jacobian(theta, model.contexts)

    def _per_context(self, copies: Tensor) -> Tensor:
        """Constraint as (replica, context, c − 1) for parameters (replica, context, parameter)."""
        scores = self.model.scores(copies, self.model.contexts[None, :, None, :])[:, :, 0, :]
        return torch.einsum("xky,rxy->rxk", self._whitening, scores - self._target)

    def residual(self, theta: Float[Tensor, "replica parameter"]) -> Float[Tensor, "replica constraint"]:
        """Return the constraint c(θ), contexts outermost; differentiable in θ."""
        scores = self.model.scores(theta, self.model.contexts)
        return torch.einsum("xky,rxy->rxk", self._whitening, scores - self._target).flatten(1)

    def _chunked(self, theta: Tensor, function: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        per_replica = self._whitening.shape[0] * self._whitening.shape[1] * theta.shape[-1]
        chunks = [function(part) for part in torch.split(theta, max(1, _CHUNK_ELEMENTS // per_replica))]
        return chunks[0] if len(chunks) == 1 else tuple(torch.cat(column) for column in zip(*chunks, strict=True))

    def _differentiate(self, theta: Tensor, *, with_gradient: bool) -> tuple[Tensor, ...]:
        """(c, J) and, on demand, ∇‖J‖_F²; with a copy of θ per context one backward gives all gradients."""
        if isinstance(self.model, TwoLayerModel):
            if not with_gradient:
                return self.residual(theta), self._closed_form_jacobian(self.model, theta.detach())
            with torch.enable_grad():
                leaf = theta.detach().clone().requires_grad_()
                jacobian = self._closed_form_jacobian(self.model, leaf)
                (gradient,) = torch.autograd.grad(jacobian.square().sum(), leaf)
            return self.residual(theta), jacobian.detach(), gradient
        with torch.enable_grad():
            copies = theta.detach()[:, None, :].repeat(1, self._whitening.shape[0], 1).requires_grad_()
            residual = self._per_context(copies)
            rows = [
                torch.autograd.grad(part.sum(), copies, create_graph=with_gradient, retain_graph=True)[0]
                for part in residual.unbind(-1)
            ]
            jacobian = torch.stack(rows, dim=2)
            outputs = (residual.detach().flatten(1), jacobian.detach().flatten(1, 2))
            if not with_gradient:
                return outputs
            (gradient,) = torch.autograd.grad(jacobian.square().sum(), copies)
        return (*outputs, gradient.sum(1))

    def _decompose(self, theta: Tensor, residual: Tensor, jacobian: Tensor) -> Linearisation:
        finite = jacobian.isfinite().all(-1).all(-1)[:, None]  # a step that is far too long overflows: σ is NaN there
        left, sigma, normal = torch.linalg.svd(jacobian.where(finite[..., None], 0), full_matrices=False)
        sigma = sigma.where(finite, torch.nan)
        kept = sigma > self.rank_tolerance * sigma[:, :1]
        size = sigma.norm(dim=-1) * theta.norm(dim=-1) + residual.norm(dim=-1) + self._offset
        rounding = theta.shape[-1] * torch.finfo(theta.dtype).eps * size
        return Linearisation(theta, residual, left, sigma, normal, kept, rounding)

    def linearise(self, theta: Float[Tensor, "replica parameter"]) -> Linearisation:
        """Return c, J and its singular value decomposition at θ (exact up to rounding); σ is NaN where J overflows."""
        parts = self._chunked(theta, lambda part: self._differentiate(part, with_gradient=False))
        return self._decompose(theta, *parts)

    def trace_gradient(
        self, theta: Float[Tensor, "replica parameter"]
    ) -> tuple[Linearisation, Float[Tensor, "replica parameter"]]:
        """Return the linearisation at θ and ∇‖J‖_F²; on Γ, P_T of it is P_T ∇ tr H.

        ‖J‖_F² and tr H agree on Γ, so they have the same derivative along Γ; their normal derivatives differ.
        """
        residual, jacobian, gradient = self._chunked(theta, lambda p: self._differentiate(p, with_gradient=True))
        return self._decompose(theta, residual, jacobian), gradient
