"""The slow flow: exact laws, order of convergence, error estimates, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from verify.minimisers import (
    FlowError,
    FlowResult,
    NotOnManifoldError,
    RankChangeError,
    SlowFlow,
    random_minimiser,
    retract,
    tangent_projection,
    time_of_trace,
)
from verify.minimisers.dormand_prince import ERROR_WEIGHTS, STAGES, WEIGHTS
from verify.models import BracketModel, PairModel, ProductModel, exact_excess, trace_hessian

QUARTER = 0.25
ALPHA = 1.5
CURVATURE = math.exp(-ALPHA) / (1 + math.exp(-ALPHA)) ** 2  # σ'(α)
PRODUCT = ProductModel(ALPHA)
STARTS = torch.stack([PRODUCT.on_manifold(delta) for delta in (8.0, -3.0, 0.5)])


def imbalance(theta: Tensor) -> Tensor:
    return theta[..., 0].square() - theta[..., 1].square()


def exact_points(times: Tensor, rate: float = CURVATURE) -> Tensor:
    deltas = imbalance(STARTS) * torch.exp(-rate * times)[:, None]
    return torch.stack([torch.stack([PRODUCT.on_manifold(float(d)) for d in row]) for row in deltas])


@pytest.fixture(scope="module")
def pairs() -> tuple[PairModel, FlowResult]:
    model = PairModel(4, 8, ALPHA)
    start = random_minimiser(model, torch.Generator().manual_seed(0), 3, scale=0.7).theta
    return model, SlowFlow(model, constant=QUARTER).integrate(start, [0.0, 0.1, 0.25, 1.0, 4.0], tolerance=1e-8)


def test_closed_form_product_law() -> None:
    result = SlowFlow(PRODUCT, constant=QUARTER).integrate(STARTS, [0.0, 1.0, 5.0, 20.0], tolerance=1e-10)
    expected = imbalance(STARTS) * torch.exp(-CURVATURE * result.times)[:, None]
    assert (imbalance(result.theta) - expected).abs().max() <= 1e-8
    assert torch.allclose(result.trace, CURVATURE * result.theta.square().sum(-1), rtol=1e-12)


@pytest.mark.parametrize("constant", [0.125, 0.5])
def test_mutant_constants_are_told_apart(constant: float) -> None:
    result = SlowFlow(PRODUCT, constant=constant).integrate(STARTS, [5.0], tolerance=1e-10)
    assert (result.theta - exact_points(result.times)).abs().max() > 1e-2
    rescaled = exact_points(result.times, rate=CURVATURE * constant / QUARTER)
    assert (result.theta - rescaled).abs().max() <= 1e-8


def test_closed_form_the_tableau_satisfies_the_order_conditions() -> None:
    a = np.zeros((6, 6))
    for i, row in enumerate(STAGES, start=1):
        a[i, : len(row)] = row
    b, c = np.array(WEIGHTS), a.sum(1)
    for order in range(1, 6):
        assert b @ c ** (order - 1) == pytest.approx(1 / order, abs=1e-15)
    assert b @ a @ c**3 == pytest.approx(1 / 20, abs=1e-15)
    assert b @ a @ a @ a @ c == pytest.approx(1 / 120, abs=1e-15)
    embedded = np.array([*b, 0]) - np.array(ERROR_WEIGHTS)
    nodes = np.array([*c, 1])
    for order in range(1, 5):
        assert embedded @ nodes ** (order - 1) == pytest.approx(1 / order, abs=1e-15)
    assert abs(embedded @ nodes**4 - 1 / 5) > 1e-4


def test_order_of_convergence_is_five() -> None:
    steps = [4.0, 2.0, 1.0, 0.5]
    flow, errors = SlowFlow(PRODUCT, constant=QUARTER), []
    for step in steps:
        result = flow.integrate(STARTS[:1], [8.0], step=step)
        errors.append(float((result.theta - exact_points(result.times)[:, :1]).norm()))
        assert result.steps.tolist() == [round(8 / step)]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - 5) < 0.3  # the next term of the expansion is of relative size O(h)


def test_property_steps_are_few_and_seldom_rejected_and_knots_are_at_their_ends() -> None:
    result = SlowFlow(PRODUCT, constant=QUARTER).integrate(STARTS, [4.0, 8.0], tolerance=1e-8)
    assert (result.rejected <= result.steps // 4).all()
    # Of order 5: a step is h ∝ tolerance^(1/5) at most, 1e-2 times as long a tolerance gives 2.5 times fewer steps.
    coarse = SlowFlow(PRODUCT, constant=QUARTER).integrate(STARTS, [4.0, 8.0], tolerance=1e-6)
    assert (coarse.steps < result.steps).all()
    for replica in range(len(STARTS)):
        tau, trace, slope = result.knots[:, ~result.knots[0, :, replica].isnan(), replica]
        assert len(tau) == 2 * int(result.steps[replica]) + 1
        assert torch.allclose(tau[1::2], (tau[:-2:2] + tau[2::2]) / 2)
        assert float(tau[0]) == 0
        assert float(tau[-1]) == 8
        delta = imbalance(STARTS)[replica] * torch.exp(-CURVATURE * tau)
        exact = CURVATURE * (delta.square() + 4 * ALPHA**2).sqrt()
        # A step is wrong by the tolerance at most, and these add up; the slope is quadratic in δ.
        wrong = int(result.steps[replica]) * 1e-8
        assert torch.allclose(trace, exact, rtol=wrong, atol=0)
        assert torch.allclose(slope, -(CURVATURE**3) * delta.square() / exact, rtol=2 * wrong, atol=0)


def test_closed_form_a_step_above_the_tolerance_is_taken_again() -> None:
    """So near to the flattest point the flow is slow: a hundredth of ‖θ‖, the first step, is the whole interval."""
    start = PRODUCT.on_manifold(1e-2)[None]
    result = SlowFlow(PRODUCT, constant=QUARTER).integrate(start, [20.0], tolerance=1e-10)
    assert result.rejected.item() > 0
    # Every step is wrong by the tolerance, relative to 1 + ‖θ‖, at most; the imbalance has slope 2‖θ‖.
    size = float(start.norm())
    wrong = result.steps.item() * 1e-10 * (1 + size) * 2 * size
    assert imbalance(result.theta).item() == pytest.approx(1e-2 * math.exp(-20 * CURVATURE), abs=wrong)


@pytest.mark.parametrize("tolerance", [1e-6, 1e-8, 1e-10])
def test_closed_form_the_error_estimate_is_honest(tolerance: float) -> None:
    result = SlowFlow(PRODUCT, constant=QUARTER).integrate(STARTS, [1.0, 4.0], tolerance=tolerance)
    error = (result.theta - exact_points(result.times)).norm(dim=-1)
    # Richardson's estimate is asymptotically exact; half and double leave room for its O(h) relative error
    assert (error <= 2 * result.error_estimate).all()
    assert (error >= 0.5 * result.error_estimate).all()
    expected = CURVATURE * exact_points(result.times).square().sum(-1)
    assert ((result.trace - expected).abs() <= 2 * result.trace_error).all()


def test_property_the_flow_stays_on_the_manifold_and_flattens(pairs: tuple[PairModel, FlowResult]) -> None:
    model, result = pairs
    for theta, trace in zip(result.theta, result.trace, strict=True):
        assert (exact_excess(model, theta) <= 1e-26).all()
        assert torch.allclose(trace_hessian(model, theta), trace, rtol=1e-12)
    assert (result.trace.diff(dim=0) < 0).all()
    knots = result.knots
    assert (knots[2][~knots[2].isnan()] <= 0).all()
    assert (result.error_estimate <= 1e-7).all()
    assert result.error_estimate[0].max() <= 1e-12


def test_cross_library_pair_flow_against_scipy(pairs: tuple[PairModel, FlowResult]) -> None:
    model, result = pairs
    leaf_shape = (1, model.n_parameters)

    def field(_: float, y: np.ndarray) -> np.ndarray:
        point = torch.from_numpy(y).reshape(leaf_shape).requires_grad_()
        (gradient,) = torch.autograd.grad(trace_hessian(model, point).sum(), point)
        value: np.ndarray = -QUARTER * tangent_projection(model, point.detach(), gradient)[0].numpy()
        return value

    solution = solve_ivp(field, (0, 1.0), result.theta[0, 0].numpy(), "DOP853", rtol=1e-9, atol=1e-10)
    assert np.abs(solution.y[:, -1] - result.theta[3, 0].numpy()).max() <= 1e-6


def test_finite_difference_the_velocity_is_a_quarter_of_the_tangent_gradient() -> None:
    model = PairModel(3, 5, 1.0)
    theta = random_minimiser(model, torch.Generator().manual_seed(1), 2).theta
    flow = SlowFlow(model, constant=QUARTER)
    velocity = flow.velocity(theta)
    raw = torch.randn(theta.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    tangent = tangent_projection(model, theta, raw)
    h = 1e-5  # central differences along Γ: error h² times third derivatives, rounding ε tr H/h
    up, down = (trace_hessian(model, retract(model, theta + sign * h * tangent)) for sign in (1, -1))
    assert torch.allclose((up - down) / (2 * h), -(velocity * tangent).sum(-1) / QUARTER, rtol=1e-6, atol=1e-6)


def test_property_replicas_are_independent(pairs: tuple[PairModel, FlowResult]) -> None:
    model, result = pairs
    alone = SlowFlow(model, constant=QUARTER).integrate(result.theta[0, 1:2], [0.1, 0.25, 1.0], tolerance=1e-8)
    assert alone.steps[0] <= result.steps[1]
    # batching changes rounding only, which may shift steps by that much
    assert torch.allclose(alone.theta[:, 0], result.theta[1:4, 1], rtol=0, atol=1e-9)


def test_closed_form_time_of_trace_on_the_product_law() -> None:
    result = SlowFlow(PRODUCT, constant=1.0).integrate(STARTS, [8.0], tolerance=1e-9)
    for time in (0.0, 0.013, 1.7, 5.0, 8.0):
        delta = imbalance(STARTS) * math.exp(-4 * CURVATURE * time)
        trace = CURVATURE * (delta.square() + 4 * ALPHA**2).sqrt()
        inside = trace.clamp(max=result.knots[1, 0])  # rounding at τ = 0
        inside = torch.maximum(inside, result.trace[-1])
        assert torch.allclose(time_of_trace(result, inside), torch.full((3,), time).double(), rtol=1e-6, atol=1e-9)


def test_property_time_of_trace_inverts_the_flow_and_reads_off_the_constant(
    pairs: tuple[PairModel, FlowResult],
) -> None:
    model, result = pairs
    for index, time in enumerate([0.1, 0.25, 1.0, 4.0], start=1):
        assert torch.allclose(time_of_trace(result, result.trace[index]), torch.full((3,), time).double(), rtol=1e-9)
    unit = SlowFlow(model, constant=1.0).integrate(result.theta[0], [0.2], tolerance=1e-8)
    constant = time_of_trace(unit, result.trace[2]) / 0.25
    assert torch.allclose(constant, torch.full_like(constant, QUARTER), rtol=1e-6)


def test_error_time_of_trace_outside_the_range() -> None:
    result = SlowFlow(PRODUCT, constant=1.0).integrate(STARTS, [1.0])
    with pytest.raises(ValueError, match="integrate to later times"):
        time_of_trace(result, 0.01)
    with pytest.raises(ValueError, match="start where it was larger"):
        time_of_trace(result, 1e3)
    still = SlowFlow(PRODUCT, constant=1.0).integrate(STARTS, [0.0])
    assert time_of_trace(still, still.trace[0]).tolist() == [0, 0, 0]


def test_closed_form_the_flattest_point_does_not_move() -> None:
    for model in (PRODUCT, PairModel(4, 6, ALPHA)):
        start = model.flattest()[None]
        result = SlowFlow(model, constant=QUARTER).integrate(start, [0.0, 10.0])
        assert (result.theta - start).abs().max() <= 1e-12


def test_error_rank_change_is_refused_with_time_and_eigenvalues() -> None:
    # z₃z₄ is out of reach to first order at the flattest point: one eigenvalue of H tends to zero along the flow
    model = PairModel(4, 8, ALPHA)
    start = random_minimiser(model, torch.Generator().manual_seed(0), 3, scale=0.7).theta[1:2]
    # σ₇/σ₁ starts at 0.15, rises to 0.24 and then falls below any tolerance
    flow = SlowFlow(model, constant=QUARTER, rank_tolerance=0.12)
    with pytest.raises(RankChangeError, match=r"rank H = 7 along the flow, got 6 at τ = .* eigenvalues of H \["):
        flow.integrate(start, [8.0], tolerance=1e-5)


def test_errors_say_what_to_do() -> None:
    for constant in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match="constant of the flow"):
            SlowFlow(PRODUCT, constant=constant)
    flow = SlowFlow(PRODUCT, constant=QUARTER)
    for times in ([], [1.0, 1.0], [-1.0], [math.inf]):
        with pytest.raises(ValueError, match="increasing"):
            flow.integrate(STARTS, times)
    for tolerance in (0.0, 0.9e-14, 1.0, -1.0):
        with pytest.raises(ValueError, match="tolerance"):
            flow.integrate(STARTS, [1.0], tolerance=tolerance)
    for step in (-1.0, 0.0, math.inf):
        with pytest.raises(ValueError, match="fixed step"):
            flow.integrate(STARTS, [1.0], step=step)
    with pytest.raises(NotOnManifoldError):
        flow.integrate(STARTS * 1.1, [1.0])
    with pytest.raises(FlowError, match="take a smaller fixed step"):  # its stages overflow
        SlowFlow(PRODUCT, constant=QUARTER).integrate(STARTS, [1e300], step=1e300)
    with pytest.raises(FlowError, match="raise max_steps"):
        flow.integrate(STARTS, [8.0], max_steps=3)


def test_property_relu_flow_decreases_the_trace_between_kinks() -> None:
    model = BracketModel(4, 8, ALPHA)
    start = random_minimiser(model, torch.Generator().manual_seed(1), 2, scale=0.5).theta
    result = SlowFlow(model, constant=QUARTER).integrate(start, [0.0, 0.01], tolerance=1e-6)
    assert (result.trace[1] < result.trace[0]).all()
