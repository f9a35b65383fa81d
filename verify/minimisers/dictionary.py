"""The flattest minimiser over a finite dictionary of relu directions, as a linear programme with a certificate.

A relu neuron a·relu(w·z) with w = s·u represents λ relu(u·z), λ = a s. On Γ it adds
σ'(α) [ s² E relu(u·z)² + (λ/s)² E ‖z‖² 1{u·z > 0} ] to tr H; the best scale s makes this

    cost_u |λ|,      cost_u = 2 σ'(α) √( E[‖z‖² 1{u·z > 0}] · E relu(u·z)² ),

so the least trace over networks that use the directions u_j is min Σ cost_j |λ_j| subject to
Σ λ_j relu(u_j·z) = f*(z) for every context. A vector ν with |Σ_z ν_z relu(u_j·z)| ≤ cost_j for every j proves that no
such network has a trace below Σ_z ν_z f*(z). Source: ours, after §6.1 of the paper (second-hand).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linprog
from torch import Tensor

from verify.models import bracket_contexts
from verify.models.two_layer import require_finite


class InfeasibleDictionaryError(ValueError):
    """No combination of the directions represents the target."""


@dataclass(frozen=True)
class DictionaryMinimum:
    """The least trace over a dictionary, with a proof of optimality.

    Attributes:
        value: the least trace, Σ cost_j |λ_j|.
        lower_bound: Σ ν_z f*(z) for the dual vector, scaled until it is feasible: no combination of these directions
            has a smaller trace, up to the rounding of one matrix product.
        coefficients: λ_j, one per direction (scaled to unit length).
        active: indices of directions that carry more than 1e-9 of the value.
        dual: ν.
        residual: largest |Σ λ_j relu(u_j·z) − f*(z)|.
    """

    value: float
    lower_bound: float
    coefficients: Float[Tensor, " direction"]
    active: Int[Tensor, " active"]
    dual: Float[Tensor, " context"]
    residual: float


def dictionary_minimum(
    contexts: Float[Tensor, "context feature"],
    context_prob: Float[Tensor, " context"],
    target: Float[Tensor, " context"],
    curvature: float,
    directions: Float[Tensor, "direction _"],
) -> DictionaryMinimum:
    """Return min tr H over relu networks with the given directions and f = target (linear programme, HiGHS).

    Args:
        contexts: z; append a feature 1 for networks with biases.
        context_prob: probability of each context.
        target: f*(z).
        curvature: the factor of ‖∇f‖² in tr H: σ'(α) for cross-entropy with |f*| = α, 2 for the squared loss.
        directions: u_j, of any nonzero length; only their directions matter.

    Returns:
        The value, the network and the certificate.

    Raises:
        ValueError: when a direction is zero or has the wrong number of features.
        InfeasibleDictionaryError: when no combination of the directions represents the target.
        RuntimeError: when the solver fails for another reason.
    """
    if directions.ndim != 2 or directions.shape[1] != contexts.shape[1]:
        raise ValueError(
            f"expected directions of shape (direction, {contexts.shape[1]}), got {tuple(directions.shape)}; "
            "give one row per direction"
        )
    length = directions.norm(dim=-1, keepdim=True)
    if not bool((length > 0).all()):
        raise ValueError(f"expected nonzero directions, got zero in row {int(length[:, 0].argmin())}; drop it")
    # Integer directions give exact zeros only before they are normalised, and a gate is open above 0.
    features = (contexts @ directions.mT).clamp(min=0) / length.mT
    fan_in = (context_prob * contexts.square().sum(-1)) @ (features > 0).to(features.dtype)
    cost = 2 * curvature * (fan_in * (context_prob @ features.square())).sqrt()
    alive = (cost > 0).nonzero()[:, 0]  # a direction that no context activates represents nothing
    unit = (features[:, alive] / cost[alive]).numpy()  # a column per direction, scaled to cost 1
    solution = linprog(np.ones(2 * unit.shape[1]), A_eq=np.hstack([unit, -unit]), b_eq=target.numpy(), method="highs")
    if solution.status == 2 or unit.shape[1] == 0:
        raise InfeasibleDictionaryError(
            f"expected a combination of the {len(directions)} directions to equal the target on all {len(contexts)} "
            "contexts, got none; add directions, such as (1, …, 1) and its negative"
        )
    if solution.status != 0:
        raise RuntimeError(f"expected the linear programme to be solved, got: {solution.message}; thin the dictionary")
    positive, negative = np.split(solution.x, 2)
    share = torch.from_numpy(positive - negative)
    coefficients = torch.zeros_like(length[:, 0])
    coefficients[alive] = share / cost[alive]
    dual = torch.from_numpy(np.asarray(solution.eqlin.marginals, dtype=np.float64).copy())
    worst = float((dual @ torch.from_numpy(unit)).abs().max())
    dual = dual / max(1.0, worst)
    return DictionaryMinimum(
        float(share.abs().sum()),
        float(dual @ target),
        coefficients,
        alive[share.abs() > 1e-9 * float(share.abs().sum())],
        dual,
        float((features @ coefficients - target).abs().max()),
    )


def bracket_dictionary_minimum(
    T: int,
    alpha: float,
    directions: Float[Tensor, "direction _"],
    *,
    nested: bool = False,
    bias: bool = False,
) -> DictionaryMinimum:
    """Return the least tr H of the noisy bracket model over networks with the given directions (exact, certified).

    Args:
        T: even length of the words.
        alpha: logit with which the masked token is kept, f*(z) = −α Σz.
        directions: u_j of length T, or T + 1 with the bias last.
        nested: contexts from Dyck words instead of balanced words.
        bias: whether neurons have biases, relu(w·z + b).

    Returns:
        The value, the network and the certificate.

    Raises:
        ValueError: when T or alpha is out of range, or the directions have the wrong shape.
        InfeasibleDictionaryError: when no combination of the directions represents the target.
    """
    require_finite("bracket_dictionary_minimum", alpha)
    z = bracket_contexts(T, nested=nested)
    target = -alpha * z.sum(-1)
    prob = torch.full_like(target, 1 / len(z))
    inputs = torch.cat([z, torch.ones_like(z[:, :1])], dim=1) if bias else z
    half = 2 * math.cosh(alpha / 2)
    return dictionary_minimum(inputs, prob, target, half**-2, directions)
