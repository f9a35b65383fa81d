r"""tr G of the Gauss–Newton matrix G = E_x Jᵀ (diag p − p pᵀ) J, which is the Fisher matrix F.

J holds the derivatives of the logits; with log p_θ itself for logits, Jᵀp = 0 and G = E_x Jᵀ diag(p) J.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Batch, n_examples, select
from verify.curvature.fisher import small_batch_fisher
from verify.curvature.problem import Problem
from verify.curvature.pullback import pullbacks

ENTRIES = 2**24
"""Numbers of a gradient table held at once by the exact sums."""


def gauss_newton(
    problem: Problem, batch: Batch, probes: int, generator: torch.Generator
) -> Float[Tensor, "probe tensor"]:
    """Return unbiased estimates of tr G of each parameter tensor, from random signs in logit space.

    As `fisher`, with v = √p ⊙ ε in place of a label: less spread where p is uneven. Source: ours.
    """
    return small_batch_fisher(problem, batch, probes, generator, "signs")


def exact_fisher(problem: Problem, batch: Batch, scale: list[Tensor] | None = None) -> Float[Tensor, " tensor"]:
    """Return Σ_x w_x Σ_y p_θ ‖scale ⊙ ∂log p_θ(y|x)/∂θ‖² of each parameter tensor, scale 1 where None. Exact.

    One backward pass for each row and token, as many at once as keep `ENTRIES` numbers in memory.

    Raises:
        ValueError: a weighted batch whose examples do not make one row each.
    """
    parameters = list(problem.parameters.values())
    total = torch.zeros(len(parameters), dtype=torch.float64)
    chunk, rows = max(1, ENTRIES // problem.n_parameters), 0
    for example in range(n_examples(batch.inputs)):
        log_p = problem.rows(select(batch.inputs, torch.tensor([example])))
        if batch.weight is not None and len(log_p) != 1:
            raise ValueError(f"expected one row for each weighted input, got {len(log_p)}; weigh rows by repetition")
        weight = 1.0 if batch.weight is None else float(batch.weight[example])
        rows += len(log_p)
        # Σ_y p_y ‖∇log p_y‖² = Σ_y ‖Jᵀ √p_y e_y‖²
        directions = torch.diag((0.5 * log_p.detach()).exp().flatten()).reshape(-1, *log_p.shape)
        for some in torch.split(directions, chunk):
            for i, part in enumerate(pullbacks([log_p], parameters, [some])):
                if part is not None:
                    scaled = part if scale is None else part * scale[i]
                    total[i] += weight * float(scaled.double().square().sum())
    return total if batch.weight is not None else total / rows
