r"""tr H by random probes: E εᵀHε = tr H for independent signs ε (Hutchinson 1990, Communications in Statistics 19).

The variance of one probe is 2 Σ_{i≠j} H_ij². For a parameter tensor, E ε_bᵀ(Hε)_b = tr H_bb.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Batch
from verify.curvature.problem import Problem, cross_entropy, random_signs
from verify.curvature.products import HessianProducts, Loss


def hutchinson(
    problem: Problem, batch: Batch, probes: int, generator: torch.Generator, loss: Loss = cross_entropy
) -> Float[Tensor, "probe tensor"]:
    """Return unbiased estimates of the trace of each diagonal block of H, one for each probe on one batch."""
    products = HessianProducts(problem, batch, loss)
    found = []
    for _ in range(probes):
        signs = random_signs((1, problem.n_parameters), generator, products.gradient)
        found.append(problem.dots(signs, products(signs)).cpu())
    return torch.cat(found)


def gradients_of_products(probes: int) -> float:
    """Return gradient-equivalents of `probes` Hessian-vector products on one example, after its gradient."""
    return 1.0 + 2 * probes


def exact_trace(problem: Problem, batch: Batch, chunk: int = 64) -> Float[Tensor, " tensor"]:
    """Return the trace of each diagonal block of H of the loss on a batch: e_iᵀHe_i for every i. Exact."""
    products = HessianProducts(problem, batch)
    diagonal = torch.cat(
        [
            products(rows, batched=True)[torch.arange(len(rows)), start + torch.arange(len(rows))]
            for start in range(0, problem.n_parameters, chunk)
            if len(rows := _unit_vectors(problem.n_parameters, start, chunk, products.gradient))
        ]
    )
    return torch.stack([part.sum(dtype=torch.float64).cpu() for part in problem.split(diagonal)])


def dense_hessian(problem: Problem, batch: Batch, chunk: int = 64) -> Float[Tensor, "parameter parameter"]:
    """Return H of the loss on a batch, one row for each unit vector, as computed (not symmetrised). Exact."""
    products = HessianProducts(problem, batch)
    n = problem.n_parameters
    return torch.cat(
        [products(_unit_vectors(n, start, chunk, products.gradient), batched=True) for start in range(0, n, chunk)]
    )


def _unit_vectors(n: int, start: int, chunk: int, like: Tensor) -> Float[Tensor, "k parameter"]:
    index = torch.arange(start, min(n, start + chunk))
    rows = torch.zeros(len(index), n).to(like)
    rows[torch.arange(len(index)), index] = 1.0
    return rows
