r"""log pdet H = Σ_{λ_i > 0} log λ_i of a small model, with a rank tolerance that rounding justifies."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from verify.curvature.data import LogProb, Population, call_model
from verify.curvature.hutchinson import dense_hessian
from verify.curvature.problem import Problem
from verify.curvature.products import canary

DENSE_LIMIT = 5000
"""Parameters above which the Hessian is not formed."""


@dataclass(frozen=True)
class LogPseudoDeterminant:
    """The log pseudo-determinant of H at a minimum.

    Attributes:
        value: Σ log λ_i over the eigenvalues above `tolerance`.
        rank: their number.
        tolerance: eigenvalues up to this are zero.
        smallest_kept: the least eigenvalue above it.
        largest_dropped: the largest |λ_i| up to it; 0 if none. Far below `smallest_kept`, the rank is beyond doubt.
    """

    value: float
    rank: int
    tolerance: float
    smallest_kept: float
    largest_dropped: float


def log_pdet(
    model: nn.Module,
    population: Population,
    *,
    log_prob: LogProb = call_model,
    generator: torch.Generator,
    tolerance: float | None = None,
) -> LogPseudoDeterminant:
    r"""Return Σ_{λ_i > 0} log λ_i of the population Hessian, by its dense eigendecomposition. Exact to rounding.

    An eigenvalue moves by at most the norm of the rounding error E of H (Weyl). ‖H − Hᵀ‖_F, zero but for rounding,
    measures E, and the decomposition adds P ε λ_max: the tolerance is P ε λ_max + 4 ‖H − Hᵀ‖_F.

    Args:
        model: any module, at most 5,000 parameters.
        population: every context.
        log_prob: the likelihood.
        generator: source of the canary's direction.
        tolerance: eigenvalues up to this are zero, instead of the one above. A distance from the minimum moves
            eigenvalues too; give a larger one where it is not at rounding.

    Returns:
        The value, with the eigenvalues on either side of the tolerance.

    Raises:
        ValueError: the model is too large, H has a negative eigenvalue below −tolerance, or none above it.
    """
    problem = Problem(model, log_prob)
    if problem.n_parameters > DENSE_LIMIT:
        raise ValueError(
            f"expected at most {DENSE_LIMIT} parameters for a dense Hessian, got {problem.n_parameters}; "
            "use trace or largest_eigenvalue"
        )
    batch = population.whole()
    canary(problem, batch, generator)
    H = dense_hessian(problem, batch)
    values = torch.linalg.eigvalsh((H + H.mT).double() / 2)
    if tolerance is None:
        epsilon = torch.finfo(H.dtype).eps
        tolerance = float(len(H) * epsilon * values.abs().max() + 4 * (H - H.mT).double().norm())
    if float(values[0]) < -tolerance:
        raise ValueError(
            f"expected a minimum, got an eigenvalue {float(values[0]):.3g} below −{tolerance:.3g}; train further, "
            "or give the tolerance that the distance from the minimum calls for"
        )
    kept = values[values > tolerance]
    if not len(kept):
        raise ValueError(f"expected an eigenvalue above {tolerance:.3g}, got none; H is zero here")
    dropped = values[values <= tolerance].abs()
    return LogPseudoDeterminant(
        float(kept.log().sum()),
        len(kept),
        tolerance,
        float(kept.min()),
        float(dropped.max()) if len(dropped) else 0.0,
    )
