r"""Σ_i θ_i² F_ii: a sharpness that rescalings between layers leave alone, where tr H does not.

If θ ↦ (cθ_1, θ_2/c) leaves p_θ alone, F_ii of the first part falls by c² and of the second rises by c²: every term
θ_i² F_ii stays. Source: ours; relative flatness and Fisher–Rao norms are of the same kind (Petzka et al. 2021,
arXiv 2001.00939; Liang et al. 2019, arXiv 1711.01530).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verify.curvature.data import Batch, Data, LogProb, Population, call_model
from verify.curvature.estimate import TraceEstimate
from verify.curvature.fisher import gradients_of_scores, scores, squared_norm
from verify.curvature.gauss_newton import exact_fisher
from verify.curvature.problem import Blocks, Problem
from verify.curvature.sampling import MAX_UNITS, Plan, Source, estimate_trace, finite_sum


def scaled_fisher(
    problem: Problem, batch: Batch, probes: int, generator: torch.Generator
) -> Float[Tensor, "probe tensor"]:
    """Return unbiased estimates of Σ_i θ_i² F_ii over each parameter tensor, as `small_batch_fisher` those of Σ_i F_ii.

    B E (mean score)_i² = F_ii; batches of one example are gradients of single samples.
    """
    theta = [value.detach() for value in problem.parameters.values()]
    return torch.stack(
        [
            torch.stack(
                [
                    squared_norm(None if part is None else part * value, rows)
                    for part, value in zip(parts, theta, strict=True)
                ]
            )
            for rows, parts in scores(problem, batch, probes, generator)
        ]
    )


def invariant_sharpness(
    model: nn.Module,
    data: Data,
    *,
    exact: bool = False,
    log_prob: LogProb = call_model,
    generator: torch.Generator,
    relative_error: float | None = None,
    level: float = 0.95,
    batches: int = 64,
    batch_size: int = 8,
    probes: int = 1,
    blocks: Blocks | None = None,
    max_batches: int = MAX_UNITS,
) -> TraceEstimate:
    """Return Σ_i θ_i² F_ii over the trainable parameters: Monte Carlo, or with `exact` a finite sum.

    Arguments as in `verify.curvature.trace.trace`.

    Raises:
        ValueError: `exact` without a `Population`.
    """
    problem = Problem(model, log_prob)
    if exact:
        if not isinstance(data, Population):
            raise ValueError(f"expected a Population for an exact sum, got {type(data).__name__}; leave exact out")
        theta = [value.detach() for value in problem.parameters.values()]
        return finite_sum(
            problem,
            data,
            lambda problem, batch: exact_fisher(problem, batch, theta),
            blocks,
            generator,
            method="invariant-exact",
            measures="invariant",
            passes=gradients_of_scores(data.conditional.shape[-1]),
        )
    return estimate_trace(
        Source(problem, data, scaled_fisher, whole=False),
        Plan(batch_size, probes, batches, relative_error, 1 - level, max_batches),
        blocks,
        generator,
        method="invariant",
        measures="invariant",
        passes=gradients_of_scores,
    )
