"""Γ: constraint, tangent space, retraction and random points."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.verify.models.examples import Opaque
from verify.minimisers import (
    MinimiserConstraint,
    NotOnManifoldError,
    RetractionError,
    SlowFlow,
    minimise_trace,
    random_minimiser,
    retract,
    tangent_projection,
)
from verify.minimisers.retraction import require_membership
from verify.models import BracketModel, FiniteModel, PairModel, ProductModel, exact_excess, hessian, trace_hessian

EPS = torch.finfo(torch.float64).eps


class Tokens(FiniteModel):
    """Three tokens with scores Σ_j v_yj (u_j·x): general c, no closed form, a manifold of positive dimension."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        self.name = "tokens"
        self.contexts = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        self.context_prob = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
        self.layout = {"u": slice(0, 6), "v": slice(6, 12)}
        self.truth = torch.randn(12, generator=generator, dtype=torch.float64)
        self.conditional = torch.softmax(self.scores(self.truth, self.contexts), -1)

    def scores(self, theta: Tensor, contexts: Tensor) -> Tensor:
        u = theta[..., :6].reshape(*theta.shape[:-1], 2, 3)
        v = theta[..., 6:].reshape(*theta.shape[:-1], 3, 2)
        return contexts @ u.mT @ v.mT


def near_truth(model: Tokens, n: int, spread: float) -> Tensor:
    noise = torch.randn(n, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return retract(model, model.truth + spread * noise)


def points(model: FiniteModel, n: int = 4, seed: int = 0) -> Tensor:
    if isinstance(model, Tokens):
        return near_truth(model, n, 0.2)
    return random_minimiser(model, torch.Generator().manual_seed(seed), n).theta


MODELS = [ProductModel(1.5), PairModel(3, 4, 1.2), BracketModel(4, 8, 1.0), Tokens()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_oracle_jacobian_is_a_square_root_of_the_hessian_on_the_manifold(model: FiniteModel) -> None:
    theta = points(model)
    here = MinimiserConstraint(model).linearise(theta)
    scaled = here.normal * here.singular_values[..., None]
    H = hessian(model, theta)
    # H through third-party autograd of the loss; residuals at rounding multiply second derivatives of size ~ ‖H‖
    rounding = 1e3 * EPS * (1 + H.norm(dim=(-2, -1)))
    assert ((scaled.mT @ scaled - H).norm(dim=(-2, -1)) <= rounding).all()
    assert torch.allclose(here.trace, trace_hessian(model, theta), rtol=1e-12)
    spectrum = torch.linalg.eigvalsh(H)
    assert (here.rank == (spectrum > 1e-9 * spectrum[:, -1:]).sum(-1)).all()


@pytest.mark.parametrize("model", MODELS[:3], ids=lambda model: model.name)
def test_oracle_closed_form_and_autograd_paths_agree(model: FiniteModel) -> None:
    theta = points(model) + 0.1
    fast, slow = MinimiserConstraint(model), MinimiserConstraint(Opaque(model))
    for (one, g1), (two, g2) in [(fast.trace_gradient(theta), slow.trace_gradient(theta))]:
        assert torch.allclose(one.residual, two.residual, rtol=1e-12, atol=1e-13)
        assert torch.allclose(one.singular_values, two.singular_values, rtol=1e-11, atol=1e-12)
        assert torch.allclose(g1, g2, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("model", [PairModel(3, 4, 1.2), Tokens()], ids=lambda model: model.name)
def test_finite_difference_of_the_trace_gradient_and_jacobian(model: FiniteModel) -> None:
    constraint, theta = MinimiserConstraint(model), points(model, 2) + 0.05
    here, gradient = constraint.trace_gradient(theta)
    jacobian = torch.einsum("rcv,rv,rvp->rcp", here.left, here.singular_values, here.normal)
    h = EPS ** (1 / 3)
    direction = torch.randn(theta.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    up, down = (constraint.linearise(theta + sign * h * direction) for sign in (1, -1))
    # central differences err by O(h²) = O(ε^{2/3}) times third derivatives of size ~ 1e2
    close = {"rtol": 1e3 * EPS ** (2 / 3), "atol": 1e3 * EPS ** (2 / 3)}
    assert torch.allclose((up.trace - down.trace) / (2 * h), (gradient * direction).sum(-1), **close)
    slope = torch.einsum("rcp,rp->rc", jacobian, direction)
    assert torch.allclose((up.residual - down.residual) / (2 * h), slope, **close)


def test_closed_form_rank_of_the_pair_model() -> None:
    # f is a combination of 1 and the C(d,2) products: rank H ≤ 1 + C(d,2), attained at a generic point ...
    for d in (2, 3, 4):
        model = PairModel(d, 10, 1.5)
        generic = random_minimiser(model, torch.Generator().manual_seed(d), 3)
        assert generic.rank.tolist() == [1 + d * (d - 1) // 2] * 3
    # ... but z₃z₄ is out of reach to first order at the flattest point, where w_j is along e₁ ± e₂
    flattest = MinimiserConstraint(PairModel(4, 10, 1.5)).linearise(PairModel(4, 10, 1.5).flattest()[None])
    assert flattest.rank.tolist() == [6]


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), width=st.integers(3, 8), alpha=st.floats(-2, 2).filter(lambda a: abs(a) > 0.05))
def test_property_projection_is_idempotent_symmetric_and_tangent(seed: int, width: int, alpha: float) -> None:
    model = PairModel(3, 2 * width, alpha)
    generator = torch.Generator().manual_seed(seed)
    drawn = random_minimiser(model, generator, 2)
    v, w = (torch.randn(2, model.n_parameters, generator=generator, dtype=torch.float64) for _ in range(2))
    once = tangent_projection(model, drawn.theta, v)
    rounding = 100 * EPS * v.norm(dim=-1)
    assert ((tangent_projection(model, drawn.theta, once) - once).norm(dim=-1) <= rounding).all()
    other = tangent_projection(model, drawn.theta, w)
    assert ((once * w).sum(-1) - (other * v).sum(-1)).abs().max() <= 100 * EPS * float(v.norm() * w.norm())
    H = hessian(model, drawn.theta)
    pushed = torch.einsum("rpq,rq->rp", H, once).norm(dim=-1)
    assert (pushed <= 1e3 * EPS * H.norm(dim=(-2, -1)) * v.norm(dim=-1)).all()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**31), d=st.integers(2, 4), alpha=st.floats(-2, 2))
def test_property_retraction_lands_on_the_manifold_and_is_idempotent(seed: int, d: int, alpha: float) -> None:
    model = PairModel(d, 12, alpha)
    start = random_minimiser(model, torch.Generator().manual_seed(seed), 3, max_rejections=30).theta
    shaken = start + 0.1 * torch.randn(
        start.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64
    )
    landed = retract(model, shaken)
    assert (exact_excess(model, landed) <= 1e-26).all()  # quadratic in residuals of about 1e-14
    again = retract(model, landed)
    assert ((again - landed).norm(dim=-1) <= 1e-11 * landed.norm(dim=-1)).all()


def test_property_retraction_does_not_depend_on_the_other_replicas() -> None:
    model = PairModel(3, 6, 1.0)
    start = torch.randn(5, model.n_parameters, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    together = retract(model, start)
    alone = torch.cat([retract(model, row[None]) for row in start])
    assert torch.allclose(together, alone, rtol=0, atol=1e-10)


def test_property_random_minimisers_extend_each_other() -> None:
    model = PairModel(4, 12, 1.5)
    short, long = (random_minimiser(model, torch.Generator().manual_seed(7), n) for n in (3, 5))
    assert torch.allclose(short.theta, long.theta[:3], rtol=0, atol=1e-11)
    spectrum = torch.linalg.eigvalsh(hessian(model, long.theta))
    assert torch.allclose(long.smallest_eigenvalue, spectrum[:, -7], rtol=1e-9)
    assert torch.allclose(long.condition_number, spectrum[:, -1] / spectrum[:, -7], rtol=1e-9)
    assert long.rejected == 0


def test_closed_form_random_minimisers_are_retracted_gaussians_of_the_scale() -> None:
    model, generator = PairModel(4, 12, 1.5), torch.Generator().manual_seed(7)
    drawn = random_minimiser(model, torch.Generator().manual_seed(7), 3, scale=0.6)
    assert drawn.rejected == 0
    rows = [torch.randn(model.n_parameters, generator=generator, dtype=torch.float64) for _ in range(3)]
    assert torch.allclose(drawn.theta, retract(model, 0.6 * torch.stack(rows)), rtol=0, atol=1e-11)


def test_mutant_a_projection_that_forgets_a_constraint_is_caught() -> None:
    model = PairModel(3, 6, 1.0)
    theta = points(model, 3)
    v = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    constraint = MinimiserConstraint(model)
    least = constraint.linearise(theta).singular_values[:, 3] / constraint.linearise(theta).singular_values[:, 0]
    mutant = tangent_projection(model, theta, v, rank_tolerance=float(least.max()) * 1.01)
    H = hessian(model, theta)
    assert torch.einsum("rpq,rq->rp", H, mutant).norm(dim=-1).max() > 1e-3


SEARCHES: dict[str, Callable[[FiniteModel, Tensor], object]] = {
    "flow": lambda model, theta: SlowFlow(model, constant=0.25).integrate(theta, [4.0], tolerance=1e-8),
    "flow at a fixed step": lambda model, theta: SlowFlow(model, constant=0.25).integrate(theta, [4.0], step=0.05),
    "flattest": lambda model, theta: minimise_trace(model, theta),
    "random points": lambda model, theta: random_minimiser(model, torch.Generator().manual_seed(0), len(theta)),
}


@pytest.mark.parametrize("search", SEARCHES)
def test_mutant_without_a_retraction_every_search_stops_at_its_first_step(
    search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PairModel(3, 6, 1.5)
    start = points(model, 3)
    retractions = []

    def without(constraint: MinimiserConstraint, theta: Tensor, max_iterations: int) -> tuple[Tensor, Tensor, Tensor]:
        """What `gauss_newton` returns, without moving anything."""
        del constraint, max_iterations
        retractions.append(theta)
        return theta, torch.ones(len(theta), dtype=torch.bool), torch.zeros(len(theta))

    for module in ("flow", "flattest", "retraction"):
        monkeypatch.setattr(f"verify.minimisers.{module}.gauss_newton", without)
    with pytest.raises(RetractionError, match=r"off it, the worst by .* roundings; the retraction is missing"):
        SEARCHES[search](model, start)
    # One of the start, and those of one step, which a search halves up to 30 times.
    assert len(retractions) <= 31


def test_order_of_gauss_newton_against_the_limit_map_of_the_product_model_is_two() -> None:
    # gradient flow of a function of uv conserves u² − v², so its limit Φ is known exactly
    model = ProductModel(1.5)
    base = torch.stack([model.on_manifold(delta) for delta in (3.0, -0.5, 6.0)])
    direction = torch.randn(base.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    distances, gaps = [0.04, 0.02, 0.01, 0.005], []
    for r in distances:
        start = base + r * direction
        limit = torch.stack([model.on_manifold(float(u * u - v * v)) for u, v in start])
        gaps.append(float((retract(model, start) - limit).norm(dim=-1).mean()))
    slope = np.polyfit(np.log(distances), np.log(gaps), 1)[0]
    assert abs(slope - 2) < 0.1  # halving 0.04 three times leaves a cubic remainder of a few per cent


def test_errors_say_what_to_do() -> None:
    deterministic = ProductModel(1.0)
    deterministic.conditional = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="finite noise level"):
        MinimiserConstraint(deterministic)
    for tolerance in (1.5, 1.0, -0.5):
        with pytest.raises(ValueError, match="rank_tolerance"):
            MinimiserConstraint(ProductModel(1.0), rank_tolerance=tolerance)
    assert MinimiserConstraint(ProductModel(1.0), rank_tolerance=0.0).rank_tolerance == 0
    with pytest.raises(NotOnManifoldError, match="through retract first"):
        require_membership(MinimiserConstraint(ProductModel(1.0)), torch.ones(1, 2, dtype=torch.float64) * 2)
    stationary = torch.zeros(1, 2, dtype=torch.float64)  # u = v = 0 is a saddle of the product model
    with pytest.raises(RetractionError, match="start elsewhere"):
        retract(ProductModel(1.0), stationary)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="n >= 1"):
        random_minimiser(ProductModel(1.0), generator, 0)
    for scale in (0.0, -1.0):
        with pytest.raises(ValueError, match="scale > 0"):
            random_minimiser(ProductModel(1.0), generator, scale=scale)
    with pytest.raises(RetractionError, match="widen the model"):
        random_minimiser(PairModel(4, 1, 1.0), generator, 2)  # one neuron cannot represent z₁z₂


def test_closed_form_membership_is_to_the_square_root_of_rounding() -> None:
    """Off by ten times √ε (1 + ‖θ‖) along the normal is refused, by a tenth accepted."""
    model = ProductModel(1.0)
    theta = model.on_manifold(0.0)[None]  # u = v = 1: the normal is along (1, 1)/√2
    normal = torch.tensor([[0.5, 0.5]], dtype=torch.float64).sqrt()
    allowed = EPS**0.5 * (1 + float(theta.norm()))
    assert require_membership(MinimiserConstraint(model), theta + 0.1 * allowed * normal).rank.tolist() == [1]
    for replicas in (theta + 10 * allowed * normal, torch.cat([theta, theta + 10 * allowed * normal])):
        with pytest.raises(NotOnManifoldError, match=f"got 1 of {len(replicas)} replicas off it"):
            require_membership(MinimiserConstraint(model), replicas)


def test_closed_form_a_residual_of_rounding_is_on_the_manifold_however_degenerate() -> None:
    """A context of probability 1e-26 weighs 1e-13 in c: 1e-4 of that is rounding, of which J⁺ makes 1e-4 again."""
    model, often = PairModel(2, 3, 1.0), PairModel(2, 3, 1.0)
    seldom = model.contexts.prod(-1) < 0
    model.context_prob = torch.where(seldom, 1e-26, 0.5)
    often.contexts, often.conditional = model.contexts[~seldom], model.conditional[~seldom]
    often.context_prob = model.context_prob[~seldom]
    noise = torch.randn(1, model.n_parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theta = retract(often, model.flattest() + 1e-4 * noise)
    constraint = MinimiserConstraint(model)
    assert float(constraint.linearise(theta).distance) > 1e-5
    assert require_membership(constraint, theta).theta is theta


def test_overflow_is_said_by_nan_and_in_its_replica_alone() -> None:
    model = PairModel(2, 3, 1.0)
    theta = points(model, 2)
    here = MinimiserConstraint(model).linearise(torch.cat([theta[:1], 1e200 * theta[1:]]))
    assert here.singular_values.isnan().any(-1).tolist() == [False, True]
    assert torch.equal(here.singular_values[0], MinimiserConstraint(model).linearise(theta[:1]).singular_values[0])


def test_closed_form_first_order_distance_and_damped_steps() -> None:
    model = ProductModel(1.0)
    theta = model.on_manifold(0.0)[None]
    normal = torch.tensor([[0.5, 0.5]], dtype=torch.float64).sqrt()
    here = MinimiserConstraint(model).linearise(theta + 1e-5 * normal)
    # Second order: of the distance, a share of at most the distance, as the curvature of Γ and of σ is below 1 here.
    assert float(here.distance) == pytest.approx(1e-5, rel=1e-5)
    assert torch.allclose(here.step(), -1e-5 * normal, rtol=1e-5, atol=0)
    # One singular value: (σ² + μσ²)⁻¹ in place of σ⁻² divides the step by 1 + μ.
    assert torch.allclose(here.step(torch.tensor([3.0], dtype=torch.float64)), here.step() / 4, rtol=8 * EPS, atol=0)
    assert torch.equal(here.smallest_singular_value, here.singular_values[:, 0])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_property_chunks_change_nothing(model: FiniteModel, monkeypatch: pytest.MonkeyPatch) -> None:
    theta = points(model, 3)
    whole, gradient = MinimiserConstraint(model).trace_gradient(theta)
    monkeypatch.setattr("verify.minimisers.constraint._CHUNK_ELEMENTS", 1)
    parts, again = MinimiserConstraint(model).trace_gradient(theta)
    assert torch.allclose(parts.singular_values, whole.singular_values, rtol=1e-12, atol=1e-13)
    assert torch.allclose(again, gradient, rtol=1e-11, atol=1e-12)


def test_enumeration_every_context_is_matched_after_retraction() -> None:
    model = BracketModel(4, 10, 1.2)
    theta = points(model, 2, seed=3)
    for row, (x, z) in itertools.product(theta, enumerate(model.contexts)):
        a, w, _ = model.split(row)
        f = float((a * (w @ z).clamp(min=0)).sum())
        truth = float(model.conditional[x, 1].logit())
        assert f == pytest.approx(truth, abs=1e-11)
