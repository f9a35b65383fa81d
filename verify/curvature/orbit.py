r"""The least tr F on the orbit of a network under its symmetries, from second moments of scores.

In a group with u → u A, v → v A^{−T} (`verify.networks.symmetries`) scores become G_u A^{−T} and G_v A, so with
S_u = E G_uᵀG_u, S_v = E G_vᵀG_v and M = A Aᵀ

    tr F(A) = R + Σ_groups tr(S_u M⁻¹) + tr(S_v M) ≥ R + Σ_groups 2 ‖S_u^{1/2} S_v^{1/2}‖_*,

equality where A⁻¹ S_u A^{−T} = Aᵀ S_v A. Source: claim `orbit-trace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Population, call_model, select
from verify.curvature.likelihood import Likelihood
from verify.curvature.pullback import pullbacks
from verify.networks import Network
from verify.networks.symmetries import moved, symmetries

Moments = Float[Tensor, "side *stack group feature feature2"]
"""S_u and S_v of every group."""

Elements = Mapping[str, Float[Tensor, "*stack group feature feature2"]]
"""A of every group, by the name of the symmetry."""

ROWS = 16
"""Contexts that share a backward pass."""


@dataclass(frozen=True, eq=False)
class Orbit:
    """tr F of a network, and what it can be made by the network's symmetries.

    Attributes:
        trace: tr F as it is.
        moments: S_u and S_v, by the name of the symmetry.
    """

    trace: Float[Tensor, "*stack"]
    moments: Mapping[str, Moments]

    @cached_property
    def rest(self) -> Float[Tensor, "*stack"]:
        """The trace of the parameters that are in no group."""
        groups = [_trace(own).sum((0, -1)) for own in self.moments.values()]
        return self.trace - torch.stack([torch.zeros_like(self.trace), *groups]).sum(0)

    @cached_property
    def nuclear(self) -> Float[Tensor, "*stack"]:
        """Σ ‖S_u^{1/2} S_v^{1/2}‖_* over all groups."""
        groups = [_balanced(own)[0].sum(-1) for own in self.moments.values()]
        return torch.stack([torch.zeros_like(self.trace), *groups]).sum(0)

    @property
    def least(self) -> Float[Tensor, "*stack"]:
        """The least tr F on the orbit."""
        return self.rest + 2 * self.nuclear

    @cached_property
    def elements(self) -> Elements:
        """An A of every group that takes the network to the least tr F.

        A group whose least value is not attained to the precision of the arithmetic, as where a relu unit is never
        active, is given A = 1.
        """
        return {name: _balanced(own)[1] for name, own in self.moments.items()}

    def at(self, elements: Elements) -> Float[Tensor, "*stack"]:
        """Return tr F where every group was moved by its A."""
        total = self.rest
        for name, (first, second) in self.moments.items():
            inverse = torch.linalg.inv(elements[name])
            total = total + _trace(inverse @ first @ inverse.mT).sum(-1)
            total = total + _trace(elements[name].mT @ second @ elements[name]).sum(-1)
        return total


def orbit(network: Network, population: Population) -> Orbit:
    """Return tr F and the moments of every network of a stack over one population. Exact: all contexts and tokens."""
    likelihood = Likelihood(network, call_model, network.stack)
    names, parameters = zip(*likelihood.parameters.items(), strict=True)
    trace = torch.zeros(network.stack, dtype=torch.float64)
    kinds = symmetries(network)
    parts: dict[str, list[Tensor]] = {kind.name: [] for kind in kinds}
    for chunk in torch.split(torch.arange(population.size), ROWS):
        log_p = likelihood.rows(select(population.inputs, chunk))
        # Σ_x w_x Σ_y p_y g gᵀ, g = ∇log p_y, of the scores √(w_x p_y) g, each from a direction of its own
        scale = (0.5 * log_p.detach()).exp() * population.prob[chunk].sqrt().unsqueeze(-1)
        v = torch.diag_embed(scale.flatten(-2)).movedim(-2, 0).reshape(-1, *scale.shape)
        found = pullbacks([log_p], list(parameters), [v])
        scores = {
            name: torch.zeros(len(v), *parameter.shape, dtype=v.dtype) if part is None else part
            for name, parameter, part in zip(names, parameters, found, strict=True)
        }
        squares = [likelihood.squared_norms([part[k] for part in scores.values()]).sum(-1) for k in range(len(v))]
        trace += torch.stack(squares).sum(0)
        for kind in kinds:
            parts[kind.name].append(kind.moments(scores).sum(1).cpu())
    return Orbit(trace, {name: torch.stack(own).sum(0) for name, own in parts.items()})


def balanced(network: Network, own: Orbit) -> Network:
    """Return the network of least tr F on the orbit: the same function, to rounding."""
    return moved(network, own.elements)


def _trace(matrices: Float[Tensor, "*batch feature feature2"]) -> Float[Tensor, "*batch"]:
    return matrices.diagonal(dim1=-2, dim2=-1).sum(-1)


def _balanced(
    moments: Moments,
) -> tuple[Float[Tensor, "*stack group"], Float[Tensor, "*stack group feature feature2"]]:
    """Return ‖S_u^{1/2} S_v^{1/2}‖_* and A = L_u V σ^{−1/2} of every group.

    S_u = L_u L_uᵀ, S_v = L_v L_vᵀ, L_vᵀ L_u = U σ Vᵀ: A⁻¹ = σ^{−1/2} Uᵀ L_vᵀ, and both moments become diag σ.
    """
    values, vectors = torch.linalg.eigh(moments)
    first, second = vectors * values.clamp(min=0).sqrt().unsqueeze(-2)
    _, sigma, right = torch.linalg.svd(second.mT @ first)
    size = moments.shape[-1]
    # An eigenvalue is known to ε ‖S‖ and its root to √ε ‖S‖^{1/2}: a smaller σ is rounding.
    known = sigma[..., -1] > size * torch.finfo(sigma.dtype).eps ** 0.5 * sigma[..., 0]
    scaled = torch.where(known[..., None], sigma, 1.0).rsqrt().unsqueeze(-2)
    element = torch.where(known[..., None, None], first @ right.mT * scaled, torch.eye(size, dtype=sigma.dtype))
    return sigma.sum(-1), element
