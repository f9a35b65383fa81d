"""The limit map Φ of gradient flow: where θ' = −∇L(θ) ends on Γ.

Katzenberger's theorem projects the iterates with Φ, not with a nearest point: it is Φ(θ_k), not θ_k, that follows
the slow flow. Gradient flow is stiff near Γ (its fastest and slowest rates are the extreme eigenvalues of H), so
the linear part −JᵀJ is integrated exactly in the basis of its singular vectors and only the remainder is stepped:
the exponential Runge–Kutta method ETDRK4 of Krogstad (J. Comput. Phys. 203, 2005), with A = JᵀJ frozen over several
steps (any A gives the same flow; a good one lets the steps grow).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from verify.minimisers.constraint import Linearisation, MinimiserConstraint
from verify.minimisers.retraction import RetractionError, retract
from verify.models.exact import exact_gradient
from verify.models.model import FiniteModel

_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 5.0
_STEPS_PER_BASIS = 8  # a decomposition costs about as much as this many steps


def limit_point(
    model: FiniteModel,
    theta: Float[Tensor, "replica parameter"],
    *,
    tolerance: float = 1e-8,
    max_steps: int = 2000,
) -> Float[Tensor, "replica parameter"]:
    """Return Φ(θ) = lim_{t→∞} θ(t), θ' = −∇L(θ), θ(0) = θ, exact but for the stated tolerance.

    The flow is integrated until the first-order distance ρ to Γ satisfies ρ ≤ √tolerance · ‖θ‖ σ_r/σ₁ (σ_r the least
    nonzero singular value of J), after which Gauss–Newton finishes: it errs by O(ρ²), hence by O(tolerance). From the
    start, Gauss–Newton alone (`verify.minimisers.retraction.retract`) errs by O(dist(θ, Γ)²): O(η) at an SGD iterate.

    Args:
        model: the finite model.
        theta: starting points, in the basin of Γ.
        tolerance: local error allowed per step, relative to 1 + ‖θ‖. Errors along Γ accumulate: seen on pair
            models at distance 0.4 from Γ, the error of Φ is up to 10 times this (100 times below 1e-9).
        max_steps: bound on accepted and rejected steps together.

    Returns:
        The limits, one per replica, on Γ to rounding.

    Raises:
        ValueError: when the tolerance is not in [1e-13, 1e-2].
        RetractionError: when some replica does not approach Γ.
    """
    if not 1e-13 <= tolerance <= 1e-2:
        raise ValueError(f"expected 1e-13 <= tolerance <= 1e-2, got {tolerance}; rounding limits it from below")
    constraint = MinimiserConstraint(model)
    final = theta.detach().clone()
    active = torch.arange(len(theta), device=theta.device)
    point, slope = final, -exact_gradient(model, final)
    here = constraint.linearise(point)
    step = 1 / here.singular_values[:, 0].square().clamp(min=torch.finfo(theta.dtype).tiny)
    for _ in range(0, max_steps, _STEPS_PER_BASIS):
        ratio = here.smallest_singular_value / here.singular_values[:, 0]
        near = here.distance <= math.sqrt(tolerance) * point.norm(dim=-1) * ratio.clamp(max=1)
        near &= here.residual.norm(dim=-1) <= math.sqrt(tolerance) * (1 + here.trace.sqrt()) * point.norm(dim=-1)
        if bool(near.any()):
            final[active[near]] = point[near]
            active, point, slope, step = (part[~near] for part in (active, point, slope, step))
            if len(active) == 0:
                return retract(model, final)
            here = constraint.linearise(point)
        for _ in range(_STEPS_PER_BASIS):
            trial, trial_slope, error = _krogstad(model, here, point, slope, step)
            size = error / (tolerance * (1 + point.norm(dim=-1)))
            accepted = size <= 1  # a step that produced NaN compares false and is shrunk
            point = torch.where(accepted[:, None], trial, point)
            slope = torch.where(accepted[:, None], trial_slope, slope)
            factor = (_SAFETY * size.clamp(min=1e-12) ** -0.25).clamp(min=_SHRINK, max=_GROW)
            step = step * factor.nan_to_num(nan=_SHRINK)
        here = constraint.linearise(point)
    raise RetractionError(
        f"expected gradient flow to reach p_θ = p* within {max_steps} steps, got {len(active)} of {len(theta)} "
        f"replicas off it (first: replica {int(active[0])}, residual {float(here.residual[0].norm()):.3g}); the start "
        "is near a stationary point that is no minimiser: start elsewhere, raise max_steps or loosen the tolerance"
    )


def _phi(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """φ₁, φ₂, φ₃ at −z, z ≥ 0: φ₁ = (e^{−z} − 1)/(−z), φ_{k+1}(x) = (φ_k(x) − 1/k!)/x.

    Below z = 1 the recursion cancels; there the Taylor series φ_k(x) = Σ_j x^j/(j + k)! is summed to x¹⁸, whose
    remainder 1/21! is below the rounding of float64.
    """
    small = z < 1
    series = torch.where(small, z, torch.zeros_like(z))
    total = torch.zeros_like(z)
    for j in reversed(range(19)):
        total = total * -series + 1 / math.factorial(j + 3)
    large = torch.where(small, torch.ones_like(z), z)
    one = torch.expm1(-large) / -large
    two = (one - 1) / -large
    three = torch.where(small, total, (two - 0.5) / -large)
    two = torch.where(small, 0.5 - series * total, two)
    one = torch.where(small, 1 - series * two, one)
    return one, two, three


def _krogstad(
    model: FiniteModel, here: Linearisation, point: Tensor, slope: Tensor, step: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of ETDRK4 for the displacement δ' = −Aδ + G(δ), G(δ) = −∇L(θ + δ) + Aδ, with A = JᵀJ taken at `here`.

    Returns θ + δ, −∇L there, and the norm of the difference to a third-order companion, which puts the value of G at
    the new point in place of the last stage.
    """
    basis = here.normal
    rate = here.singular_values.square()
    h = step[:, None]

    def to_basis(vectors: Tensor) -> Tensor:
        return torch.einsum("rvp,rp->rv", basis, vectors)

    def combine(plain: Tensor, spectral: Tensor) -> Tensor:
        return plain + torch.einsum("rvp,rv->rp", basis, spectral)

    def weighted(pairs: list[tuple[Tensor, float, Tensor]]) -> Tensor:
        """Return h Σ w(−hA) v; w acts on the basis as `weight`, on its complement (where A = 0) as w(0)."""
        plain = sum((at_zero * vector for _, at_zero, vector in pairs), torch.zeros_like(slope))
        parts = ((weight - at_zero) * to_basis(vector) for weight, at_zero, vector in pairs)
        return h * combine(plain, sum(parts, torch.zeros_like(rate)))

    def remainder(delta: Tensor) -> tuple[Tensor, Tensor]:
        downhill = -exact_gradient(model, point + delta)
        return downhill, combine(downhill, rate * to_basis(delta))

    half1, half2, _ = _phi(rate * h / 2)
    one, two, three = _phi(rate * h)
    _, g2 = remainder(weighted([(half1 / 2, 0.5, slope)]))
    _, g3 = remainder(weighted([(half1 / 2 - half2, 0.0, slope), (half2, 0.5, g2)]))
    _, g4 = remainder(weighted([(one - 2 * two, 0.0, slope), (2 * two, 1.0, g3)]))
    middle, last = 2 * two - 4 * three, 4 * three - two
    delta = weighted([(one - 3 * two + 4 * three, 1 / 6, slope), (middle, 1 / 3, g2 + g3), (last, 1 / 6, g4)])
    downhill, g5 = remainder(delta)
    error = weighted([(last, 1 / 6, g5 - g4)]).norm(dim=-1)
    return point + delta, downhill, error
