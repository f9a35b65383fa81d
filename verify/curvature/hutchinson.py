r"""tr H by random probes: E εᵀHε = tr H for independent signs ε (Hutchinson 1990, Communications in Statistics 19).

The variance of one probe is 2 Σ_{i≠j} H_ij². For a parameter tensor, E ε_bᵀ(Hε)_b = tr H_bb.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Labelled
from verify.curvature.likelihood import Likelihood, random_signs
from verify.curvature.products import HessianProducts


def hutchinson(
    likelihood: Likelihood, batch: Labelled, probes: int, generator: torch.Generator
) -> Float[Tensor, "probe tensor"]:
    """Return unbiased estimates of the trace of each diagonal block of H, one for each probe on one batch."""
    products = HessianProducts(likelihood, batch)
    found = []
    for some in torch.split(torch.arange(probes), products.at_once):
        signs = random_signs((len(some), likelihood.n_parameters), generator, products.gradient)
        found.append(likelihood.dots(signs, products(signs)).cpu())
    return torch.cat(found)


def exact_trace(likelihood: Likelihood, batch: Labelled) -> Float[Tensor, " tensor"]:
    """Return the trace of each diagonal block of H of the loss on a batch: e_iᵀHe_i for every i. Exact."""
    products = HessianProducts(likelihood, batch)
    n, diagonal = likelihood.n_parameters, []
    for start in range(0, n, products.at_once):
        unit = torch.zeros(min(products.at_once, n - start), n).to(products.gradient)
        unit.diagonal(start).fill_(1.0)
        diagonal.append(products(unit).diagonal(start))
    return torch.stack([part.sum(dtype=torch.float64).cpu() for part in likelihood.split(torch.cat(diagonal))])
