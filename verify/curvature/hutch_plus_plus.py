r"""tr H by a low-rank part, exactly, and probes of what is left (Meyer, Musco, Musco and Woodruff 2021, 2010.09649).

With Q an orthonormal basis of H S for random signs S and P = I − QQᵀ, tr H = tr QᵀHQ + E (Pε)ᵀH(Pε). Given Q every
probe of the rest is unbiased, so that probes are independent estimates; their number is what Student's t counts: an
interval that takes their spread for known covers 79% where 95% is claimed, at nine products.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.curvature.data import Batch
from verify.curvature.problem import Problem, random_signs
from verify.curvature.products import HessianProducts


def hutch_plus_plus(
    problem: Problem, batch: Batch, probes: int, generator: torch.Generator
) -> Float[Tensor, "probe tensor"]:
    """Return estimates of the trace of each diagonal block of H, one for each probe, with a sketch of as many columns.

    A block b has Σ_k Q_kb·(HQ_k)_b + (Pε)_b·(HPε)_b, whose sum over blocks is the estimate of the whole: with
    E PεεᵀP = P, the mean is tr E_b H (QQᵀ + P) for E_b the projector on b. 3 · probes products (two more sets than
    probes), fewer if H has fewer columns.
    """
    products = HessianProducts(problem, batch)
    n = problem.n_parameters
    sketch = random_signs((min(probes, n), n), generator, products.gradient)
    q = torch.linalg.qr(products(sketch).mT).Q.mT.contiguous()
    low_rank = problem.dots(q, products(q)).sum(0)
    signs = random_signs((probes, n), generator, products.gradient)
    rest = signs - (signs @ q.mT) @ q
    return (low_rank + problem.dots(rest, products(rest))).cpu()
