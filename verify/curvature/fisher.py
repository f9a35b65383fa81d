r"""tr F from scores of small batches: one backward pass for each batch, and no second derivative.

F = E_x Jᵀ diag(p) J with J = ∂log p_θ(·|x)/∂θ, the Gauss–Newton matrix of the logits log p_θ, as Jᵀp = ∇Σ_y p_y = 0.
For a random v of each row with E v vᵀ = diag(p), the scores Jᵀv of B rows are independent, of mean zero, and

    E‖Σ_b Jᵀv‖²/B = tr F,       E(Σ_b Jᵀv)_i²/B = F_ii.

v = e_y for a label y of the model, or v = √p ⊙ ε with signs ε, which spreads less where p is uneven. tr F = tr H on Γ
and not elsewhere. Source: PAPER.md Lemma 4.2 for F = H on Γ; the small-batch form is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Labelled, n_examples, select
from verify.curvature.likelihood import Likelihood, random_signs
from verify.curvature.pullback import pullbacks

Directions = Literal["labels", "signs"]
"""How v is drawn: a label of the model, or √p with random signs."""

Generators = torch.Generator | Sequence[torch.Generator]
"""One generator, or one for each network of a stack."""

ENTRIES = 2**24
"""Numbers of a gradient table held at once by the exact sum."""


def scores(
    likelihood: Likelihood, batch: Labelled, probes: int, generator: Generators, directions: Directions = "labels"
) -> Iterator[tuple[int, tuple[Tensor | None, ...]]]:
    """Yield, `probes` times, the number of rows and Σ_rows Jᵀv for each parameter; None where it is not used."""
    log_p = likelihood.rows(batch.inputs)
    parameters = list(likelihood.parameters.values())
    for probe in range(probes):
        v = draw_directions(log_p.detach(), generator, directions)
        yield (
            log_p.shape[-2],
            torch.autograd.grad(log_p, parameters, v, retain_graph=probe < probes - 1, allow_unused=True),
        )


def draw_directions(
    log_p: Float[Tensor, "*stack row token"], generator: Generators, directions: Directions
) -> Float[Tensor, "*stack row token"]:
    """Return one v for each row with E v vᵀ = diag(p); labels are drawn for single networks alone."""
    if directions == "signs":
        return (0.5 * log_p).exp() * random_signs(log_p.shape[-2:], generator, log_p)
    assert isinstance(generator, torch.Generator)
    labels = torch.multinomial(log_p.to(generator.device).exp(), 1, generator=generator).to(log_p.device)
    chosen: Tensor = torch.zeros_like(log_p).scatter_(1, labels, 1.0)
    return chosen


def small_batch_fisher(
    likelihood: Likelihood,
    batch: Labelled,
    probes: int,
    generator: Generators,
    *,
    directions: Directions = "labels",
    scale: Sequence[Tensor] | None = None,
) -> Float[Tensor, "probe *stack tensor"]:
    """Return unbiased estimates of tr DFD of each parameter tensor, one for each draw of v; D is `scale`."""
    return torch.stack(
        [
            likelihood.squared_norms(parts, scale) / rows
            for rows, parts in scores(likelihood, batch, probes, generator, directions)
        ]
    )


def exact_fisher(
    likelihood: Likelihood, batch: Labelled, scale: Sequence[Tensor] | None = None
) -> Float[Tensor, " tensor"]:
    """Return Σ_x w_x Σ_y p_θ ‖scale ⊙ ∂log p_θ(y|x)/∂θ‖² of each parameter tensor, scale 1 where None. Exact.

    One backward pass for each row and token, as many at once as keep `ENTRIES` numbers in memory.

    Raises:
        ValueError: a weighted batch whose examples do not make one row each.
    """
    parameters = list(likelihood.parameters.values())
    total = torch.zeros(len(parameters), dtype=torch.float64)
    chunk, rows = max(1, ENTRIES // likelihood.n_parameters), 0
    for example in range(n_examples(batch.inputs)):
        log_p = likelihood.rows(select(batch.inputs, torch.tensor([example])))
        if batch.weight is not None and len(log_p) != 1:
            raise ValueError(f"expected one row for each weighted input, got {len(log_p)}; weigh rows by repetition")
        weight = 1.0 if batch.weight is None else float(batch.weight[example])
        rows += len(log_p)
        # Σ_y p_y ‖∇log p_y‖² = Σ_y ‖Jᵀ √p_y e_y‖²
        v = torch.diag((0.5 * log_p.detach()).exp().flatten()).reshape(-1, *log_p.shape)
        for some in torch.split(v, chunk):
            total += weight * likelihood.squared_norms(pullbacks([log_p], parameters, [some]), scale)
    return total if batch.weight is not None else total / rows
