"""Closed form against explicit leave-one-out refits, and errors."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from verify.downstream import fit_ridge
from verify.downstream.ridge import RELATIVE_PENALTIES


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal_equations(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Ridge with a free intercept, from the normal equations of the augmented design."""
    design = torch.cat([torch.ones(len(x), 1, dtype=x.dtype), x], 1)
    ridge = penalty * torch.eye(design.shape[1], dtype=x.dtype)
    ridge[0, 0] = 0
    solution = torch.linalg.solve(design.mT @ design + ridge, design.mT @ y)
    return solution[1:], solution[0]


@pytest.mark.parametrize(("n", "width"), [(2, 1), (3, 8), (9, 8), (8, 8), (10, 8), (30, 4), (12, 40)])
def test_enumeration_leave_one_out_errors_are_those_of_refits(n: int, width: int) -> None:
    generator = stream(n)
    x = torch.randn(n, width, generator=generator, dtype=torch.float64) + 3
    y = torch.randn(n, 2, generator=generator, dtype=torch.float64) - 1
    fit = fit_ridge(x, y, (1e-3, 1e-1, 1.0, 10.0))
    centred = x - x.mean(0)
    scale = float(torch.linalg.svdvals(centred).square().sum()) / min(n - 1, width)
    torch.testing.assert_close(fit.penalties, scale * torch.tensor([1e-3, 1e-1, 1.0, 10.0], dtype=torch.float64))
    # The oracle solves systems of condition up to about n·width·10³·9 (the mean 3 is not removed there).
    tolerance = 1e5 * n * width * torch.finfo(torch.float64).eps
    for penalty, found in zip(fit.penalties.tolist(), fit.loo_error.tolist(), strict=True):
        errors = []
        for i in range(n):
            others = [j for j in range(n) if j != i]
            weight, intercept = normal_equations(x[others], y[others], penalty)
            errors.append(y[i] - x[i] @ weight - intercept)
        assert found == pytest.approx(float(torch.stack(errors).square().mean()), rel=tolerance)
    weight, intercept = normal_equations(x, y, float(fit.penalty))
    torch.testing.assert_close(fit.weight, weight, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fit.intercept, intercept, rtol=tolerance, atol=tolerance)
    best = int(fit.loo_error.argmin())
    assert float(fit.penalty) >= float(fit.penalties[best])
    assert float(fit.loo_error[fit.penalties == fit.penalty]) <= float(fit.loo_error[best]) * (1 + 1e-7)


def test_property_a_stack_is_its_members() -> None:
    x = torch.randn(2, 3, 12, 5, generator=stream(0))
    y = torch.randn(12, 2, generator=stream(1))
    together = fit_ridge(x, y)
    for i, j in itertools.product(range(2), range(3)):
        alone = fit_ridge(x[i, j], y)
        assert float(alone.penalty) == pytest.approx(float(together.penalty[i, j]), rel=1e-12)
        torch.testing.assert_close(alone.weight, together.weight[i, j], rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(alone.predict(x[i, j]), together.predict(x)[i, j], rtol=1e-6, atol=1e-9)
        # The same examples for all heads of a member: sums of 5 products and an intercept, twice, in any order.
        inputs, weight, intercept = x[i, 0].double(), together.weight[i, j], together.intercept[i, j]
        rounding = 16 * torch.finfo(torch.float64).eps * (inputs.abs() @ weight.abs() + intercept.abs())
        shared = together.predict(x[:, :1])[i, j]
        assert bool(((inputs @ weight + intercept - shared).abs() <= rounding).all())


def test_property_scale_and_shift_of_the_features_change_no_prediction() -> None:
    x, y = torch.randn(20, 6, generator=stream(2)).double(), torch.randn(20, 1, generator=stream(3)).double()
    first = fit_ridge(x, y).predict(x)
    torch.testing.assert_close(fit_ridge(8 * x, y).predict(8 * x), first, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(fit_ridge(x + 5, y).predict(x + 5), first, rtol=1e-9, atol=1e-9)


def test_closed_form_useless_features_get_the_largest_penalty_and_noiseless_ones_the_least() -> None:
    constant = fit_ridge(torch.ones(10, 3), torch.arange(10.0)[:, None])
    assert float(constant.penalty) == max(RELATIVE_PENALTIES)
    assert constant.weight.abs().max() == 0
    x = torch.randn(40, 3, generator=stream(4)).double()
    exact = fit_ridge(x, x @ torch.ones(3, 1).double())
    assert float(exact.penalty) == pytest.approx(float(exact.penalties[0]))
    torch.testing.assert_close(exact.weight, torch.ones(3, 1).double(), rtol=1e-6, atol=0)
    single = fit_ridge(torch.ones(1, 3), torch.tensor([[2.0]]))
    assert single.predict(torch.zeros(1, 3)).item() == 2


@pytest.mark.parametrize(
    ("x", "y", "penalties", "message"),
    [
        (torch.ones(2, 2), torch.ones(2, 1), (0.0, 1.0), "expected positive finite penalties"),
        (torch.ones(2, 2), torch.ones(2, 1), (), "expected positive finite penalties"),
        (torch.ones(0, 2), torch.ones(0, 1), (1.0,), "at least one example"),
        (torch.tensor([[1.0], [math.nan]]), torch.ones(2, 1), (1.0,), r"finite features, got 1 .* index \[1, 0\]"),
        (torch.ones(2, 1), torch.tensor([[math.inf], [0.0]]), (1.0,), "finite targets"),
    ],
)
def test_wrong_input_is_an_error_with_its_remedy(
    x: Tensor, y: Tensor, penalties: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_ridge(x, y, penalties)
