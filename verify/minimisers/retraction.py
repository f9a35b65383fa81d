"""The manifold of minimisers Γ = {θ : p_θ = p*}: tangent projection, retraction, random points.

All of it comes from the singular value decomposition of one Jacobian; see `verify.minimisers.constraint`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from verify.minimisers.constraint import Linearisation, MinimiserConstraint
from verify.models import FiniteModel

ROUNDINGS = 2
"""Largest `Linearisation.off` of a point of Γ: the retraction stops at 1, and the residual evaluated anew may differ by
as much."""


class NotOnManifoldError(ValueError):
    """A point that had to satisfy p_θ = p* does not."""


class RetractionError(RuntimeError):
    """No point of Γ was found near a given point."""


def require_membership(constraint: MinimiserConstraint, theta: Float[Tensor, "replica parameter"]) -> Linearisation:
    """Return the linearisation at θ, having checked that θ is on Γ to √ε relative to its size.

    Where H is nearly degenerate, ‖J⁺c‖ is large though c is nothing but rounding: such a point is on Γ.

    Raises:
        NotOnManifoldError: when the first-order distance ‖J⁺c‖ exceeds √ε (1 + ‖θ‖) for some replica, and c is more
            than rounding.
    """
    here = constraint.linearise(theta)
    allowed = torch.finfo(theta.dtype).eps ** 0.5 * (1 + theta.norm(dim=-1))
    # what J⁺ cannot see, a residual outside the range of J, is compared with the scale of c itself
    off = (here.distance > allowed) | (here.residual.norm(dim=-1) > allowed * (1 + here.trace.sqrt()))
    off &= here.off > ROUNDINGS
    if bool(off.any()):
        worst = int(here.residual.norm(dim=-1).argmax())
        raise NotOnManifoldError(
            f"expected points with p_θ = p*, got {int(off.sum())} of {len(off)} replicas off it (replica "
            f"{worst}: residual {float(here.residual[worst].norm()):.3g}, distance "
            f"{float(here.distance[worst]):.3g}); pass them through retract first"
        )
    return here


def require_retracted(off: Float[Tensor, " replica"]) -> None:
    """Check that a retraction has done its work: `Linearisation.off` is `ROUNDINGS` or less for every point.

    A search along Γ calls this after each step. Without a retraction it would walk downhill off Γ for as long as its
    bound on steps allows.

    Raises:
        RetractionError: some point is off Γ.
    """
    wrong = off > ROUNDINGS
    if bool(wrong.any()):
        raise RetractionError(
            f"expected points with p_θ = p* up to {ROUNDINGS} roundings, got {int(wrong.sum())} of {len(off)} off it, "
            f"the worst by {float(off.max()):.3g} roundings; the retraction is missing or has no effect: repair it"
        )


def tangent_projection(
    model: FiniteModel,
    theta: Float[Tensor, "replica parameter"],
    vectors: Float[Tensor, "replica parameter"],
    *,
    rank_tolerance: float | None = None,
) -> Float[Tensor, "replica parameter"]:
    """Project vectors on the tangent space of Γ: P_T v = v − J⁺ J v (exact; P_⊥ is the range of H on Γ)."""
    return MinimiserConstraint(model, rank_tolerance).linearise(theta).project(vectors)


def retract(
    model: FiniteModel,
    theta: Float[Tensor, "replica parameter"],
    *,
    rank_tolerance: float | None = None,
    max_iterations: int = 200,
) -> Float[Tensor, "replica parameter"]:
    """Move each point to Γ by damped Gauss–Newton, θ ← θ − Jᵀ(JJᵀ + μσ₁²I)⁻¹ c, until c is at rounding level.

    Near Γ no damping is used and convergence is quadratic. The result differs from the gradient-flow limit
    Φ(θ) by O(dist(θ, Γ)²): both move along the normal space to first order,
    neither does to second. At an SGD iterate, a distance O(√η) from Γ, the difference is therefore O(η), the
    order of the corrections to the slow flow.

    Args:
        model: the finite model.
        theta: starting points.
        rank_tolerance: see `MinimiserConstraint`.
        max_iterations: bound on accepted and rejected steps together.

    Returns:
        Points on Γ, one per replica.

    Raises:
        RetractionError: when some replica has not converged.
    """
    final, converged, residual = gauss_newton(MinimiserConstraint(model, rank_tolerance), theta, max_iterations)
    if not bool(converged.all()):
        failed = (~converged).nonzero()[:, 0]
        raise RetractionError(
            f"expected p_θ = p* within {max_iterations} steps, got {len(failed)} of {len(theta)} replicas "
            f"off it (first: replica {int(failed[0])}, residual {float(residual[failed[0]]):.3g}); the start "
            "lies in the basin of a stationary point that is no minimiser, or the model is too narrow to "
            "attain p*: start elsewhere, widen it or raise max_iterations"
        )
    return final


def gauss_newton(constraint: MinimiserConstraint, theta: Tensor, max_iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return (points, converged, residual norm) of the iteration of `retract`, leaving failures to the caller."""
    final = theta.detach().clone()
    size = torch.full((len(theta),), torch.inf, dtype=theta.dtype, device=theta.device)
    converged = torch.zeros(len(theta), dtype=torch.bool, device=theta.device)
    active = torch.arange(len(theta), device=theta.device)
    damping = torch.zeros_like(size)
    here = constraint.linearise(final)
    for _ in range(max_iterations):
        norm = here.residual.norm(dim=-1)
        arrived = norm <= here.rounding
        trial = here.theta + here.step(damping)
        there = constraint.residual(trial).norm(dim=-1)
        # Once at rounding level one more step polishes the point; it is taken only when it helps.
        better = (there < norm) & ((there < 0.9999 * norm) | arrived)
        point = torch.where(better[:, None], trial, here.theta)
        final[active], size[active] = point, torch.where(better, there, norm)
        converged[active[arrived]] = True
        lower = torch.where(damping > 1e-6, damping / 10, torch.zeros_like(damping))
        damping = torch.where(better, lower, (10 * damping).clamp(min=1e-3))[~arrived]
        active, point = active[~arrived], point[~arrived]
        if len(active) == 0:
            break
        here = constraint.linearise(point)
    return final, converged, size


@dataclass(frozen=True)
class Minimisers:
    """Random points of Γ, with the spectrum of H that decides how well conditioned they are.

    Attributes:
        theta: the points.
        trace: tr H, exact.
        rank: rank of H, at the tolerance of `MinimiserConstraint`.
        smallest_eigenvalue: least nonzero eigenvalue of H.
        condition_number: largest over least nonzero eigenvalue of H.
        rejected: how many Gaussian draws were thrown away because no point of Γ was reached from them.
    """

    theta: Float[Tensor, "replica parameter"]
    trace: Float[Tensor, " replica"]
    rank: Int[Tensor, " replica"]
    smallest_eigenvalue: Float[Tensor, " replica"]
    condition_number: Float[Tensor, " replica"]
    rejected: int


def random_minimiser(
    model: FiniteModel,
    generator: torch.Generator,
    n: int = 1,
    *,
    scale: float = 1.0,
    max_rejections: int | None = None,
) -> Minimisers:
    """Draw n random points of Γ: θ = R(ξ), ξ ~ N(0, scale² I), R the retraction `retract`.

    The law is the image of the Gaussian under R, given that R converges; it is not uniform on Γ.
    Draws are made one by one in the order of the generator, so the first n of n + 1 points are the same.

    Args:
        model: the finite model.
        generator: source of the Gaussians, on the model's device.
        n: number of points.
        scale: standard deviation of each parameter before the retraction.
        max_rejections: how many draws without convergence are tolerated; default n.

    Returns:
        The points with tr H, rank and conditioning of H.

    Raises:
        ValueError: when n < 1 or scale ≤ 0.
        RetractionError: when more than `max_rejections` draws did not reach Γ, or a point that was found is off it.
    """
    if n < 1 or not scale > 0:
        raise ValueError(f"expected n >= 1 points and scale > 0, got n={n}, scale={scale}")
    limit = n if max_rejections is None else max_rejections
    constraint = MinimiserConstraint(model)
    found: list[Tensor] = []
    total, rejected = 0, 0
    prob = model.context_prob
    while total < n:
        rows = [
            torch.randn(model.n_parameters, generator=generator, dtype=prob.dtype, device=prob.device)
            for _ in range(n - total)
        ]
        points, converged, _ = gauss_newton(constraint, scale * torch.stack(rows), max_iterations=200)
        found.append(points[converged])
        total += int(converged.sum())
        rejected += int((~converged).sum())
        if rejected > limit:
            raise RetractionError(
                f"expected at most {limit} of the Gaussian draws to miss p_θ = p*, got {rejected} misses for "
                f"{total} points of model {model.name!r}; widen the model, change scale or raise the limit"
            )
    here = constraint.linearise(torch.cat(found))
    require_retracted(here.off)
    smallest = here.smallest_singular_value.square()
    return Minimisers(
        here.theta, here.trace, here.rank, smallest, here.singular_values[:, 0].square() / smallest, rejected
    )
