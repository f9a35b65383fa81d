r"""The largest eigenvalue of H by Lanczos' recursion, with a bound on how far an eigenvalue can be from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from verify.curvature.data import Data, LogProb, Population, call_model
from verify.curvature.problem import Problem
from verify.curvature.products import HessianProducts, canary


@dataclass(frozen=True)
class EigenvalueEstimate:
    """The largest Ritz value of H on one batch, or on the whole population.

    Attributes:
        value: θ = vᵀHv ≤ λ_max, up to rounding.
        residual: ‖Hv − θv‖: some eigenvalue of H lies within this distance of `value`.
        vector: v, of norm one.
        iterations: Hessian-vector products taken.
        converged: whether the residual came below the tolerance.
        examples: contexts behind H; nothing is said of other contexts.
        seed: seed that the generator started from.
    """

    value: float
    residual: float
    vector: Float[Tensor, " parameter"]
    iterations: int
    converged: bool
    examples: int
    seed: int


def largest_eigenvalue(
    model: nn.Module,
    data: Data,
    *,
    log_prob: LogProb = call_model,
    generator: torch.Generator,
    batch_size: int = 1024,
    tolerance: float = 1e-4,
    max_iterations: int = 60,
) -> EigenvalueEstimate:
    r"""Return the algebraically largest eigenvalue of H on one batch, or on a whole `Population`.

    Lanczos (1950) from a random start, every vector orthogonalised twice against all before it, which takes
    max_iterations · P numbers of memory. The residual bound ‖Hv − θv‖ is computed, not inferred. θ is a lower bound
    of λ_max; that it is near λ_max rests on the start having a part along its eigenvector, which a random one has.

    Args:
        model: any module.
        data: where contexts come from.
        log_prob: the likelihood.
        generator: source of the batch and of the start.
        batch_size: examples of the batch, for data that are drawn.
        tolerance: wanted residual, as a fraction of |θ|.
        max_iterations: most products.

    Returns:
        The eigenvalue, converged or not, and its vector.

    Raises:
        ValueError: a size or the tolerance is not positive.
    """
    if batch_size < 1 or max_iterations < 1 or not tolerance > 0:
        raise ValueError(
            f"expected batch_size, max_iterations >= 1 and tolerance > 0, got {batch_size}, {max_iterations} and "
            f"{tolerance}"
        )
    problem = Problem(model, log_prob)
    batch = data.whole() if isinstance(data, Population) else data.draw(batch_size, generator)
    canary(problem, batch, generator)
    products = HessianProducts(problem, batch)
    like = products.gradient
    start = torch.randn(problem.n_parameters, generator=generator, device=generator.device, dtype=torch.float64)
    basis = [start.to(like) / start.to(like).norm()]
    images: list[Tensor] = []
    while True:
        images.append(products(basis[-1][None])[0])
        Q = torch.stack(basis)
        projected = (Q @ torch.stack(images).mT).double()
        values, vectors = torch.linalg.eigh((projected + projected.mT) / 2)
        weight = vectors[:, -1].to(like)
        vector = weight @ Q
        residual = float((weight @ torch.stack(images) - values[-1].to(like) * vector).norm())
        next_direction = images[-1].clone()
        for _ in range(2):
            next_direction -= (Q @ next_direction) @ Q
        size = float(next_direction.norm())
        converged = residual <= tolerance * abs(float(values[-1]))
        exhausted = size <= problem.n_parameters * torch.finfo(like.dtype).eps * float(images[-1].norm())
        if converged or exhausted or len(images) == min(max_iterations, problem.n_parameters):
            examples = data.size if isinstance(data, Population) else batch_size
            return EigenvalueEstimate(
                float(values[-1]),
                residual,
                vector,
                len(images),
                converged or exhausted,
                examples,
                generator.initial_seed(),
            )
        basis.append(next_direction / size)
