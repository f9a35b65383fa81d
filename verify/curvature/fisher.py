r"""tr F by the norm of small-batch scores: one backward pass for each batch, and no second derivative.

With labels drawn from the model, scores s = ∇log p_θ(y | x) have mean zero and are uncorrelated, so

    B E‖(1/B) Σ_b s_b‖² = E‖s‖² = tr F,       F = E_x Σ_y p_θ(y|x) ∇log p_θ ∇log p_θᵀ,

and likewise for each parameter. tr F = tr H on Γ and not elsewhere. Source: PAPER.md Lemma 4.2 for F = H on Γ; the
small-batch form is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Batch
from verify.curvature.problem import Problem, random_signs

Directions = Literal["labels", "signs"]
"""How a row's score is drawn: a label y of the model, v = e_y, or v = √p ⊙ ε with random signs ε."""


def scores(
    problem: Problem, batch: Batch, probes: int, generator: torch.Generator, directions: Directions = "labels"
) -> Iterator[tuple[int, tuple[Tensor | None, ...]]]:
    r"""Yield, `probes` times, the number N of rows and Σ_rows Jᵀv for each parameter, J = ∂log p_θ/∂θ of the row.

    v has E v vᵀ = diag(p), and Jᵀ diag(p) J = F of the row, because Jᵀp = ∇Σ_y p_y = 0; rows are independent of
    mean Jᵀ E v, which is zero as well. So E‖Σ Jᵀv‖²/N = tr F. None stands for a parameter that is not used.
    """
    log_p = problem.rows(batch.inputs)
    parameters = list(problem.parameters.values())
    for probe in range(probes):
        v = draw_directions(log_p.detach(), generator, directions)
        yield (
            len(log_p),
            torch.autograd.grad(log_p, parameters, v, retain_graph=probe < probes - 1, allow_unused=True),
        )


def gradients_of_scores(probes: int) -> float:
    """Return gradient-equivalents of `probes` scores of one example: a forward pass, and a backward one for each."""
    return 1 / 3 + 2 / 3 * probes


def draw_directions(
    log_p: Float[Tensor, "row token"], generator: torch.Generator, directions: Directions
) -> Float[Tensor, "row token"]:
    """Return one v for each row with E v vᵀ = diag(p), see `scores`."""
    if directions == "signs":
        return (0.5 * log_p).exp() * random_signs(log_p.shape, generator, log_p)
    labels = torch.multinomial(log_p.to(generator.device).exp(), 1, generator=generator).to(log_p.device)
    chosen: Tensor = torch.zeros_like(log_p).scatter_(1, labels, 1.0)
    return chosen


def small_batch_fisher(
    problem: Problem,
    batch: Batch,
    probes: int,
    generator: torch.Generator,
    directions: Directions = "labels",
) -> Float[Tensor, "probe tensor"]:
    """Return unbiased estimates of tr F of each parameter tensor, `probes` label draws on one batch."""
    return torch.stack(
        [
            torch.stack([squared_norm(part, log_p_rows) for part in parts])
            for log_p_rows, parts in scores(problem, batch, probes, generator, directions)
        ]
    )


def squared_norm(part: Tensor | None, rows: int) -> Float[Tensor, ""]:
    """Return ‖part‖²/rows in float64 on the CPU, 0 for None."""
    if part is None:
        return torch.zeros((), dtype=torch.float64)
    norm: Tensor = torch.linalg.vector_norm(part)
    return norm.double().cpu().square() / rows
