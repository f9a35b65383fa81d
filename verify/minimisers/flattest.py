"""Local search for the flattest minimiser: min tr H over Γ by Newton's method on the manifold.

At θ on Γ with multiplier μ = (Jᵀ)⁺ ∇T, T = tr F, the Riemannian gradient and Hessian are P_T ∇T and
P_T (∇²T − Σ μ_k ∇²c_k) P_T. Steps use the absolute values of the eigenvalues, so that they always descend and leave
saddles, are retracted to Γ and halved until tr H decreases enough. Source: ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from verify.minimisers.constraint import MinimiserConstraint
from verify.minimisers.retraction import gauss_newton, require_membership, require_retracted
from verify.models import FiniteModel, fisher_trace

_ARMIJO = 1e-4
_LONGEST_STEP = 0.5  # relative to ‖θ‖: the scale on which a polynomial model changes its shape
_FLAT = 1e-6  # eigenvalues below this fraction of the largest are treated as this large


@dataclass(frozen=True)
class TraceMinimum:
    """The least tr H found, and what is known about it.

    Attributes:
        value: the least tr H over all starts that converged.
        theta: where.
        residual: ‖c(θ)‖ there, zero on Γ.
        error_bound: estimated excess of `value` over the local minimum: half the squared Newton decrement, plus what
            the residual is worth at first order, |μ·c|, plus rounding. It concerns the *local*
            minimum, to leading order, not the global one, and says nothing of descent that starts above second
            order (a neuron that died can come back to life only so).
        values: tr H reached from each start.
        converged: which starts converged.
        iterations: Newton iterations taken by the slowest start.
    """

    value: float
    theta: Float[Tensor, " parameter"]
    residual: float
    error_bound: float
    values: Float[Tensor, " start"]
    converged: Bool[Tensor, " start"]
    iterations: int


def minimise_trace(
    model: FiniteModel,
    theta0: Float[Tensor, "start parameter"],
    *,
    tolerance: float = 1e-10,
    max_iterations: int = 300,
) -> TraceMinimum:
    """Minimise tr H on Γ locally from every start and return the least value reached.

    Derivatives are exact (autograd). tr H must be twice differentiable near the minimum: for relu networks, where it
    jumps with the activation pattern, the search stays within a pattern; use `verify.minimisers.dictionary` there.

    Args:
        model: the finite model.
        theta0: points of Γ to start from, such as `random_minimiser(...).theta`.
        tolerance: a start has converged when half its squared Newton decrement is below tolerance · tr H.
        max_iterations: bound on Newton iterations.

    Returns:
        The least value, its point, and how far it can be from the local minimum.

    Raises:
        ValueError: when the tolerance is not in [1e-14, 1e-2].
        NotOnManifoldError: when a start is off Γ.
        RetractionError: when a step that was retracted ends off Γ.
        RuntimeError: when no start converged.
    """
    if not 1e-14 <= tolerance <= 1e-2:
        raise ValueError(f"expected 1e-14 <= tolerance <= 1e-2, got {tolerance}; rounding limits it from below")
    constraint = MinimiserConstraint(model)
    require_membership(constraint, theta0)
    final = gauss_newton(constraint, theta0, 50)[0]
    decrement = torch.full_like(final[:, 0], torch.inf)
    active = torch.arange(len(final), device=final.device)
    iterations = 0
    while len(active) and iterations < max_iterations:
        iterations += 1
        theta = final[active]
        step, slope, _ = _newton(model, constraint, theta)
        decrement[active] = -slope
        final[active], moved = _search(model, constraint, theta, step, slope)
        require_retracted(constraint.linearise(final[active[moved]]).off)
        value = fisher_trace(model, final[active])
        active = active[(-slope > tolerance * value) & moved]
    return _best(model, constraint, final, decrement, tolerance, iterations)


def _newton(model: FiniteModel, constraint: MinimiserConstraint, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the descent step d = −|W|⁻¹ P_T ∇T, ½ ∇T·d (minus half the squared decrement), and |μ·c|."""
    here = constraint.linearise(theta)
    gradient = torch.func.vmap(torch.func.grad(lambda point: fisher_trace(model, point)))(theta)
    inverse = torch.where(here.kept, 1 / here.singular_values, torch.zeros_like(here.singular_values))
    weight = inverse * torch.einsum("rvp,rp->rv", here.normal, gradient)
    multiplier = torch.einsum("rcv,rv->rc", here.left, weight)

    def lagrangian(point: Tensor, mu: Tensor) -> Tensor:
        return fisher_trace(model, point) - mu @ constraint.residual(point[None])[0]

    W = torch.func.vmap(torch.func.jacrev(torch.func.grad(lagrangian)))(theta, multiplier)
    tangent = here.project(gradient)
    basis = here.normal * here.kept[..., None]
    projector = torch.eye(theta.shape[-1], dtype=theta.dtype, device=theta.device) - basis.mT @ basis
    value, vector = torch.linalg.eigh(projector @ ((W + W.mT) / 2) @ projector)
    size = value.abs()
    size = torch.maximum(size, _FLAT * size.amax(-1, keepdim=True))
    step = -torch.einsum("rpv,rv,rqv,rq->rp", vector, 1 / size, vector, tangent)
    length = step.norm(dim=-1)
    cut = (_LONGEST_STEP * theta.norm(dim=-1) / length.clamp(min=torch.finfo(theta.dtype).tiny)).clamp(max=1)
    worth = (multiplier * here.residual).sum(-1).abs()
    return cut[:, None] * step, (tangent * step).sum(-1) / 2, worth


def _search(
    model: FiniteModel, constraint: MinimiserConstraint, theta: Tensor, step: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """Backtrack along the retracted step: (points, which of them moved)."""
    start = fisher_trace(model, theta)
    best, moved = theta.clone(), torch.zeros_like(start, dtype=torch.bool)
    scale = 1.0
    for _ in range(30):
        left = (~moved).nonzero()[:, 0]
        if len(left) == 0:
            break
        point, held, _ = gauss_newton(constraint, theta[left] + scale * step[left], 50)
        lower = fisher_trace(model, point) <= start[left] + _ARMIJO * scale * slope[left]
        good = held & lower
        best[left[good]] = point[good]
        moved[left[good]] = True
        scale /= 2
    return best, moved


def _best(
    model: FiniteModel,
    constraint: MinimiserConstraint,
    final: Tensor,
    decrement: Tensor,
    tolerance: float,
    iterations: int,
) -> TraceMinimum:
    values = fisher_trace(model, final)
    converged = decrement <= tolerance * values
    if not bool(converged.any()):
        raise RuntimeError(
            f"expected one of {len(values)} starts to converge to a relative decrement of {tolerance:g} within "
            f"{iterations} iterations, got {float((decrement / values).min()):.3g} at best; raise max_iterations, "
            "loosen the tolerance or add starts"
        )
    best = int(torch.where(converged, values, torch.inf).argmin())
    point = final[best]
    _, slope, worth = _newton(model, constraint, point[None])
    rounding = point.numel() * torch.finfo(point.dtype).eps * float(values[best])
    residual = float(constraint.residual(point[None]).norm())
    bound = float(-slope[0] + worth[0]) + rounding
    if not math.isfinite(bound):
        raise RuntimeError(
            f"expected a finite error bound at the minimum, got {bound}; the Hessian there is degenerate"
        )
    return TraceMinimum(float(values[best]), point, residual, bound, values, converged, iterations)
