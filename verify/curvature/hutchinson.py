r"""tr H by random probes: E εᵀHε = tr H for independent signs ε (Hutchinson 1990, Communications in Statistics 19).

The variance of one probe is 2 Σ_{i≠j} H_ij². For a parameter tensor, E ε_bᵀ(Hε)_b = tr H_bb.
"""

from __future__ import annotations

from collections.abc import Iterator

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
    for some in torch.split(torch.arange(probes), products.at_once):
        signs = random_signs((len(some), problem.n_parameters), generator, products.gradient)
        found.append(problem.dots(signs, products(signs)).cpu())
    return torch.cat(found)


def gradients_of_products(probes: int) -> float:
    """Return gradient-equivalents of `probes` Hessian-vector products on one example, after its gradient."""
    return 1.0 + 2 * probes


def exact_trace(problem: Problem, batch: Batch) -> Float[Tensor, " tensor"]:
    """Return the trace of each diagonal block of H of the loss on a batch: e_iᵀHe_i for every i. Exact."""
    diagonal = torch.cat([rows.diagonal(start) for start, rows in _rows_of_hessian(problem, batch)])
    return torch.stack([part.sum(dtype=torch.float64).cpu() for part in problem.split(diagonal)])


def dense_hessian(problem: Problem, batch: Batch) -> Float[Tensor, "parameter parameter"]:
    """Return H of the loss on a batch, one row for each unit vector, as computed (not symmetrised). Exact."""
    return torch.cat([rows for _, rows in _rows_of_hessian(problem, batch)])


def _rows_of_hessian(problem: Problem, batch: Batch) -> Iterator[tuple[int, Float[Tensor, "k parameter"]]]:
    """Yield the index of the first of some rows of H, and the rows."""
    products = HessianProducts(problem, batch)
    n = problem.n_parameters
    for start in range(0, n, products.at_once):
        unit = torch.zeros(min(products.at_once, n - start), n).to(products.gradient)
        unit.diagonal(start).fill_(1.0)
        yield start, products(unit)
