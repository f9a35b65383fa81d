"""Measure the covariance of sampled gradients against the Hessian, on Γ and, with its exact gap, off Γ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor

from theory.claims import find
from verify.environment import Profile
from verify.minimisers import random_minimiser
from verify.models import (
    BracketModel,
    FiniteModel,
    PairModel,
    ProductModel,
    fisher,
    fisher_trace,
    hessian,
    label_noise_covariance,
    log_prob,
    log_prob_jacobian,
)
from verify.trial import BUDGET, Design, Outlook, Trial

CLAIM = "noise-covariance"
OUTLOOK = Outlook(
    finding="At a minimum, gradient noise is spread over directions exactly as the curvature is.",
)
REJECTIONS = 1000
"""Gaussian draws that may miss Γ: narrow bracket models often cannot attain p*."""
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Size:
    """Number of instances, of groups in each, and of batches in a group."""

    instances: int
    groups: int
    batches: int


SIZES: dict[Profile, Size] = {
    "quick": Size(3, 32, 16384),
    "default": Size(6, 32, 32768),
    "full": Size(18, 64, 262144),
}
DELTA: dict[Profile, float] = {"quick": 0.04, "default": 0.03, "full": 0.01}


def designs(profile: Profile) -> tuple[Design, ...]:
    """Return the designs: covariance over H on Γ, and over H plus the gap off Γ."""
    size, delta = SIZES[profile], DELTA[profile]
    justification = (
        f"A replicate is the mean over a group of {size.batches} independent batches of gᵀH⁺g/r, with g the deviation "
        "of a batch gradient from ∇L and H⁺ a fixed matrix. At B = 1 and α ≤ 2 a single value has a standard deviation "
        "below 3 times its mean, the rarest token giving e^α; means over thousands of them are near normal. Off Γ "
        "the matrix that is inverted is the exact covariance, predicted as H plus the gap."
    )
    return tuple(
        Design(
            claim=CLAIM,
            prediction=prediction,
            target=1.0,
            delta=delta,
            delta_refute=delta,
            alpha=BUDGET.alpha(CLAIM, 2),
            power=0.99,
            n=size.groups,
            instances=size.instances,
            statistic=statistic,
            bound="student-t",
            spread=3 / size.batches**0.5,
            justification=justification,
        )
        for prediction, statistic in (
            ("the covariance of a batch gradient is H/B on Γ", "B tr(H⁺ Cov)/rank H on Γ"),
            ("off Γ it is H plus the exact gap", "tr((H + gap)⁺ Cov)/rank off Γ"),
        )
    )


def gap(model: FiniteModel, theta: Float[Tensor, " parameter"]) -> Float[Tensor, "parameter parameter"]:
    """E Σ_y (p*_y/p_y) ∂²p_y − ∇L ∇Lᵀ by enumeration, ∂²p by automatic differentiation."""
    second = torch.func.jacrev(torch.func.jacrev(lambda point: log_prob(model, point).exp()))(theta)
    weight = model.context_prob[:, None] * model.conditional
    gradient = -torch.einsum("xy,xyp->p", weight, log_prob_jacobian(model, theta))
    curvature = torch.einsum("xy,xypq->pq", weight / log_prob(model, theta).exp(), second)
    return curvature - torch.outer(gradient, gradient)


def draw(generator: np.random.Generator, kind: int) -> FiniteModel:
    """Draw a product, pair or bracket model with 0.5 ≤ α ≤ 2."""
    alpha = float(generator.uniform(0.5, 2.0))
    if kind % 3 == 0:
        return PairModel(int(generator.integers(2, 5)), int(generator.integers(4, 7)), alpha)
    return ProductModel(alpha) if kind % 3 == 1 else BracketModel(4, int(generator.integers(4, 9)), alpha)


def batch_gradients(
    model: FiniteModel,
    theta: Float[Tensor, " parameter"],
    batch_size: int,
    count: int,
    generator: torch.Generator,
    labels: Float[Tensor, "context token"],
) -> Float[Tensor, "batch parameter"]:
    """Gradients of `count` batches of B fresh contexts with a label each: count multinomial tables of samples."""
    scores = log_prob_jacobian(model, theta).flatten(0, 1)
    prob = (model.context_prob[:, None] * labels).flatten()
    chosen = torch.multinomial(prob, count * batch_size, replacement=True, generator=generator)
    table = torch.zeros(count, len(prob), dtype=scores.dtype)
    row = torch.arange(count).repeat_interleave(batch_size)
    table.index_put_((row, chosen), torch.ones(len(row), dtype=scores.dtype), accumulate=True)
    return -(table @ scores) / batch_size


def ratios(
    trial: Trial,
    model: FiniteModel,
    theta: Float[Tensor, " parameter"],
    matrix: Float[Tensor, "parameter parameter"],
    *path: str | int,
    batch_size: int = 1,
    labels: Float[Tensor, "context token"] | None = None,
    centred: bool = True,
) -> Float[np.ndarray, " group"]:
    """Return B gᵀ M⁺ g / rank M averaged over each group, g the deviation of a batch gradient from its mean."""
    size = SIZES[trial.profile]
    table = model.conditional if labels is None else labels
    values, vectors = torch.linalg.eigh(matrix)
    kept = values > 1e-9 * values[-1]
    root = vectors[:, kept] / values[kept].sqrt()
    mean = -torch.einsum("x,xy,xyp->p", model.context_prob, table, log_prob_jacobian(model, theta))
    generator = trial.torch(*path)
    groups = []
    for _ in range(size.groups):
        noise = batch_gradients(model, theta, batch_size, size.batches, generator, table)
        whitened = (noise - mean if centred else noise) @ root
        groups.append(batch_size * float(whitened.square().sum(1).mean()) / int(kept.sum()))
    return np.array(groups)


def test_noise_is_curvature(trial: Trial) -> None:
    size = SIZES[trial.profile]
    on, off = trial.declare(designs(trial.profile))
    trial.plan(2 * size.instances + 3)
    for i in range(size.instances):
        generator = trial.rng("instance", i)
        model = draw(generator, i)
        theta = random_minimiser(model, trial.torch("point", i), max_rejections=REJECTIONS).theta[0]
        batch = int(generator.choice([1, 2, 4]))
        facts: dict[str, float | int | str] = {"model": model.name, "B": batch, "p": model.n_parameters}
        predicted = trial.claim.predict(B=batch)
        values = ratios(trial, model, theta, hessian(model, theta), "on", i, batch_size=batch)
        trial.decide(on, values / (batch * predicted), parameters=facts, prediction=predicted)
        trial.advance()
        away = theta + 0.2 * torch.randn(theta.shape, generator=trial.torch("away", i), dtype=theta.dtype)
        matrix = hessian(model, away) + gap(model, away)
        trial.decide(off, ratios(trial, model, away, matrix, "off", i), parameters=facts, prediction=1.0)
        trial.advance()

    alpha = float(trial.rng("control").uniform(1.0, 2.0))
    wrong = 0.3 * alpha
    model, labels = PairModel(3, 5, alpha), PairModel(3, 5, wrong).conditional
    theta = random_minimiser(model, trial.torch("control point")).theta[0]
    curvature = hessian(model, theta)
    uncentred = ratios(trial, model, theta, curvature, "wrong labels", labels=labels, centred=False)
    multiple = trial.claim.predict("wrong-labels", alpha=alpha, alpha_label=wrong)
    facts = {"model": model.name, "alpha": alpha, "alpha_label": wrong}
    result = trial.control(
        "labels from a wrong α",
        f"labels of logit {wrong:.3g}, model of logit {alpha:.3g}: the second moment is {multiple:.4g} H",
        on,
        uncentred,
        parameters=facts,
        prediction=multiple,
    )
    # by exactly the predicted gap: the interval, at the level of the design, covers the predicted multiple
    assert result.interval.low <= multiple <= result.interval.high
    trial.advance()
    away = theta + 0.4 * torch.randn(theta.shape, generator=trial.torch("control away"), dtype=theta.dtype)
    for name, broken, matrix, options in (
        ("H itself off Γ", "the gap is left out", hessian(model, away), True),
        ("empirical Fisher off Γ", "the second moment is not centred", hessian(model, away) + gap(model, away), False),
    ):
        if float(torch.linalg.eigvalsh(matrix)[0]) < 0:
            matrix = matrix @ matrix / torch.linalg.matrix_norm(matrix, 2)
        values = ratios(trial, model, away, matrix, "control", name, centred=options)
        trial.control(name, broken, off, values, parameters={"model": model.name, "alpha": alpha})
        trial.advance()


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, kind=st.integers(0, 2), batch=st.integers(1, 8))
def test_property_covariance_is_hessian_on_the_manifold(seed: int, kind: int, batch: int) -> None:
    model = draw(np.random.default_rng(seed), kind)
    theta = random_minimiser(model, torch.Generator().manual_seed(seed), max_rejections=REJECTIONS).theta[0]
    curvature = hessian(model, theta)
    predicted = find(CLAIM).predict(B=batch)
    covariance = label_noise_covariance(model, theta, batch_size=batch)
    # a minimiser found to rounding satisfies p = p* to about √p ε ‖θ‖ σ₁; 1e-9 of the largest entry is far above it
    torch.testing.assert_close(covariance, curvature * predicted, rtol=0, atol=1e-9 * float(curvature.abs().max()))
    torch.testing.assert_close(fisher_trace(model, theta), curvature.trace(), rtol=1e-9, atol=1e-9)


@given(seed=seeds, kind=st.integers(0, 2), scale=st.floats(0.1, 1.0))
def test_property_the_gap_is_exact_off_the_manifold(seed: int, kind: int, scale: float) -> None:
    model = draw(np.random.default_rng(seed), kind)
    generator = torch.Generator().manual_seed(seed)
    theta = scale * torch.randn(model.n_parameters, generator=generator, dtype=torch.float64)
    expected = hessian(model, theta) + gap(model, theta)
    covariance = label_noise_covariance(model, theta)
    # sums of at most a few hundred terms of the size of the largest entry of either side
    scale_of_terms = float(torch.maximum(covariance.abs().max(), fisher(model, theta).abs().max())) + 1.0
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e4 * EPS * scale_of_terms)
