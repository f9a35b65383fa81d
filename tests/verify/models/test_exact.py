"""Exact curvature against autograd, finite differences, enumeration with numpy, and the theory on Γ."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.verify.models.examples import Opaque
from verify.models import BracketModel, FiniteModel, PairModel, ProductModel, TwoLayerModel, exact

EPS = torch.finfo(torch.float64).eps


class SoftmaxModel(FiniteModel):
    """Three tokens, quadratic scores: a model without closed-form derivatives."""

    def __init__(self, generator: torch.Generator) -> None:
        self.name = "softmax"
        self.contexts = torch.randn(5, 2, generator=generator, dtype=torch.float64)
        self.context_prob = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25], dtype=torch.float64)
        self.layout = {"w": slice(0, 6)}
        self.truth = torch.randn(6, generator=generator, dtype=torch.float64)
        self.conditional = torch.softmax(self.scores(self.truth, self.contexts), -1)

    def scores(self, theta: Tensor, contexts: Tensor) -> Tensor:
        w = theta.reshape(*theta.shape[:-1], 3, 2)
        h = contexts @ w.mT
        return h + 0.3 * h.square()


def two_layer_models() -> list[PairModel | BracketModel | ProductModel]:
    return [
        ProductModel(-0.8),
        PairModel(3, 4, 1.5),
        BracketModel(4, 5, 1.2),
        BracketModel(4, 5, 1.2, nested=True, bias=True),
    ]


def random_theta(model: FiniteModel, replicas: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(replicas, model.n_parameters, generator=generator, dtype=torch.float64)


def onto_manifold(model: PairModel | BracketModel | ProductModel, theta: Tensor) -> Tensor:
    """Gauss–Newton on f = f*, from a random start: a point of Γ that is not the flattest one."""
    target = torch.logit(model.conditional[:, 1])
    for _ in range(200):
        residual = model.logit(theta, model.contexts) - target
        if float(residual.abs().max()) < 1e-14:
            break
        jacobian = model.logit_jacobian(theta, model.contexts)
        theta = theta - torch.linalg.lstsq(jacobian, residual, driver="gelsd", rcond=1e-12).solution
    assert float((model.logit(theta, model.contexts) - target).abs().max()) < 1e-12
    return theta


def squares_with_biases() -> TwoLayerModel:
    """What no model of the claims is."""
    law = {key: getattr(PairModel(3, 4, 1.5), key) for key in ("contexts", "context_prob")}
    prob_plus = torch.linspace(0.2, 0.9, len(law["contexts"]), dtype=torch.float64)
    return TwoLayerModel("squares with biases", width=2, activation="square", bias=True, prob_plus=prob_plus, **law)


@pytest.mark.parametrize("model", [*two_layer_models(), squares_with_biases()], ids=lambda m: m.name)
def test_closed_form_derivatives_equal_autograd(model: TwoLayerModel) -> None:
    theta = random_theta(model, 3)
    generic = Opaque(model)
    for function in (
        exact.exact_gradient,
        exact.hessian,
        exact.trace_hessian,
        exact.fisher,
        exact.fisher_trace,
        exact.label_noise_covariance,
        exact.log_prob_jacobian,
    ):
        fast, slow = function(model, theta), function(generic, theta)
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(function(model, theta[1]), fast[1], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("model", two_layer_models(), ids=lambda m: m.name)
def test_logit_pullback_is_the_jacobian_transposed(model: PairModel) -> None:
    theta = random_theta(model, 3)
    own = model.contexts[torch.tensor([[0, 0], [-1, 0], [0, -1]])]
    weight = torch.tensor([[0.3, -2.0]], dtype=torch.float64).expand(3, 2)
    jacobian = model.logit_jacobian(theta, own)
    torch.testing.assert_close(model.logit_pullback(theta, own, weight), torch.einsum("rb,rbp->rp", weight, jacobian))


def test_gradient_and_hessian_equal_finite_differences() -> None:
    model = SoftmaxModel(torch.Generator().manual_seed(1))
    theta = random_theta(model, 1)[0]
    step = EPS ** (1 / 3)
    gradient, hessian = torch.empty(6, dtype=torch.float64), torch.empty(6, 6, dtype=torch.float64)
    for i in range(6):
        e = step * torch.eye(6, dtype=torch.float64)[i]
        gradient[i] = (exact.exact_loss(model, theta + e) - exact.exact_loss(model, theta - e)) / (2 * step)
        hessian[i] = (exact.exact_gradient(model, theta + e) - exact.exact_gradient(model, theta - e)) / (2 * step)
    # central differences: truncation step²/6 times third derivatives (below 1e3 here) plus rounding eps/step
    bound = 1e3 * step**2
    torch.testing.assert_close(exact.exact_gradient(model, theta), gradient, rtol=0, atol=bound)
    torch.testing.assert_close(exact.hessian(model, theta), hessian, rtol=0, atol=bound)


def test_fisher_and_noise_covariance_equal_enumeration_in_numpy() -> None:
    model = SoftmaxModel(torch.Generator().manual_seed(2))
    theta = random_theta(model, 1)[0]
    labels = torch.softmax(torch.randn(5, 3, generator=torch.Generator().manual_seed(3)).double(), -1)
    mean = np.zeros(6)
    second, fisher = np.zeros((6, 6)), np.zeros((6, 6))
    for x, y in itertools.product(range(5), range(3)):
        point = theta.clone().requires_grad_()
        log_p = torch.log_softmax(model.scores(point, model.contexts[x : x + 1]), -1)[0, y]
        score = torch.autograd.grad(log_p, point)[0].numpy()
        prob = float(model.context_prob[x])
        mean += prob * float(labels[x, y]) * score
        second += prob * float(labels[x, y]) * np.outer(score, score)
        fisher += prob * math.exp(float(log_p.detach())) * np.outer(score, score)
    covariance = torch.from_numpy(second - np.outer(mean, mean))
    torch.testing.assert_close(exact.label_noise_covariance(model, theta, labels), covariance)
    torch.testing.assert_close(exact.label_noise_covariance(model, theta, labels, 8), covariance / 8)
    torch.testing.assert_close(exact.fisher(model, theta), torch.from_numpy(fisher))
    torch.testing.assert_close(exact.fisher_trace(model, theta), torch.from_numpy(fisher).trace())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", two_layer_models(), ids=lambda m: m.name)
def test_noise_covariance_is_the_hessian_on_the_manifold(model: PairModel, seed: int) -> None:
    theta = onto_manifold(model, model.flattest() + 0.3 * random_theta(model, 1, seed)[0])
    hessian = exact.hessian(model, theta)
    scale = float(hessian.abs().max())
    # p_θ − p* is below 1e-12 here; it enters each entry times second derivatives of the same scale
    for other in (exact.label_noise_covariance(model, theta), exact.fisher(model, theta)):
        torch.testing.assert_close(other, hessian, rtol=0, atol=1e-10 * scale)


def test_noise_covariance_is_the_hessian_for_three_tokens_on_the_manifold_only() -> None:
    model = SoftmaxModel(torch.Generator().manual_seed(4))
    hessian = exact.hessian(model, model.truth)
    torch.testing.assert_close(exact.label_noise_covariance(model, model.truth), hessian)
    away = model.truth + 0.5
    gap = exact.label_noise_covariance(model, away) - exact.hessian(model, away)
    # the exact gap off Γ: E Σ_y (p*_y/p_y) ∇²p_y − ∇L ∇Lᵀ
    expected = -torch.outer(exact.exact_gradient(model, away), exact.exact_gradient(model, away))
    curvature = torch.func.jacrev(torch.func.jacrev(lambda t: exact.log_prob(model, t).exp()))(away)
    ratio = model.context_prob.unsqueeze(-1) * model.conditional / exact.log_prob(model, away).exp()
    expected = expected + torch.einsum("xy,xypq->pq", ratio, curvature)
    torch.testing.assert_close(gap, expected)
    assert float(gap.abs().max()) > 0.01


def test_covariance_sees_labels_from_a_wrong_conditional() -> None:
    model = PairModel(3, 4, 1.5)
    theta = model.flattest()
    wrong = PairModel(3, 4, 0.5).conditional
    gap = exact.label_noise_covariance(model, theta, wrong) - exact.hessian(model, theta)
    assert float(gap.abs().max()) > 0.01 * float(exact.hessian(model, theta).abs().max())


def test_pair_trace_equals_its_closed_form_on_the_manifold() -> None:
    model = PairModel(4, 6, 1.3)
    theta = onto_manifold(model, random_theta(model, 1, 5)[0])
    a, w, _ = model.split(theta)
    norm2, norm4 = w.square().sum(-1), w.pow(4).sum(-1)
    slope = math.exp(-1.3) / (1 + math.exp(-1.3)) ** 2
    expected = slope * (3 * norm2.square() - 2 * norm4 + 16 * a.square() * norm2).sum()
    torch.testing.assert_close(exact.trace_hessian(model, theta), expected, rtol=1e-11, atol=0)


def test_exact_excess_is_accurate_when_it_is_tiny() -> None:
    model = ProductModel(0.7)
    prob = 1 / (1 + math.exp(-0.7))
    for shift in (1e-3, 1e-6, 1e-9):
        theta = torch.tensor([1.0, 0.7 + shift], dtype=torch.float64)
        # KL = p(1−p) s²/2 (1 + O(s)), the constant of O(s) below 1/3; s itself is rounded to ε, so to ε/s relative
        second_order = prob * (1 - prob) * shift**2 / 2
        rounding = 8 * EPS / shift
        assert float(exact.exact_excess(model, theta)) == pytest.approx(second_order, rel=shift + rounding, abs=0)


def test_exact_excess_is_loss_minus_floor_far_away() -> None:
    for model in [*two_layer_models(), SoftmaxModel(torch.Generator().manual_seed(6))]:
        theta = 2 * random_theta(model, 4)
        loss = exact.exact_loss(model, theta)
        difference = loss - exact.entropy_floor(model)
        torch.testing.assert_close(
            exact.exact_excess(model, theta), difference, rtol=0, atol=64 * EPS * float(loss.max())
        )


def test_exact_excess_and_its_gradient_with_an_impossible_token() -> None:
    model = SoftmaxModel(torch.Generator().manual_seed(7))
    model.conditional = torch.tensor([[0.0, 0.25, 0.75]], dtype=torch.float64).expand(5, 3).contiguous()
    theta = random_theta(model, 1)[0].requires_grad_()
    excess = exact.exact_excess(model, theta)
    torch.testing.assert_close(excess, exact.exact_loss(model, theta) - exact.entropy_floor(model))
    (gradient,) = torch.autograd.grad(excess, theta)
    torch.testing.assert_close(gradient, exact.exact_gradient(model, theta.detach()))


@pytest.mark.parametrize("generic", [False, True])
def test_fisher_trace_is_differentiable(generic: bool) -> None:
    pair = PairModel(2, 3, 0.9)
    model = Opaque(pair) if generic else pair
    theta = random_theta(pair, 2).requires_grad_()
    torch.autograd.gradcheck(lambda t: exact.fisher_trace(model, t), theta)
    torch.autograd.gradcheck(lambda t: exact.exact_gradient(model, t), theta)


def test_hessian_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = PairModel(2, 3, 0.9)
    theta = random_theta(model, 5)
    whole = exact.hessian(model, theta)
    monkeypatch.setattr(exact, "HESSIAN_CHUNK_ENTRIES", 1)
    torch.testing.assert_close(exact.hessian(model, theta), whole)


def test_errors_say_what_is_wrong() -> None:
    model = PairModel(2, 3, 0.9)
    theta = model.flattest()
    with pytest.raises(ValueError, match="batch_size >= 1, got 0"):
        exact.label_noise_covariance(model, theta, batch_size=0)
    with pytest.raises(ValueError, match=r"expected shape \(4, 2\), got \(3, 2\)"):
        exact.label_noise_covariance(model, theta, model.conditional[:3])
    with pytest.raises(ValueError, match=r"row sums from 1\.1"):
        exact.label_noise_covariance(model, theta, model.conditional + 0.05)
    with pytest.raises(ValueError, match="least entry -1"):
        exact.label_noise_covariance(model, theta, torch.tensor([[2.0, -1.0]] * 4, dtype=torch.float64))
