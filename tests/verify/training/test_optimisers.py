"""Cross-library: SGD and AdamW step for step as torch.optim; mutants that must not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from verify.training import SGD, AdamW

STEPS, RATES = 40, (0.05, 0.002)


def ours(optimiser: SGD | AdamW, start: Tensor, gradients: Tensor) -> Tensor:
    theta = start.clone()
    state = optimiser.start(theta)
    rate = torch.tensor(RATES, dtype=theta.dtype)[:, None]
    for gradient in gradients:
        optimiser.step(theta, gradient.clone(), state, rate)
    return theta


def theirs(make: Callable[..., Any], start: Tensor, gradients: Tensor) -> Tensor:
    ends = []
    for row, rate in enumerate(RATES):
        theta = torch.nn.Parameter(start[row].clone())
        reference = make([theta], lr=rate)
        for gradient in gradients:
            theta.grad = gradient[row].clone()
            reference.step()
        ends.append(theta.detach())
    return torch.stack(ends)


def drawn(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Gradients whose scale moves by e^±3, so that both moments matter."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 37, generator=generator, dtype=dtype)
    scale = torch.randn(STEPS, 1, 1, generator=generator, dtype=dtype).exp()
    return start, scale * torch.randn(STEPS, 2, 37, generator=generator, dtype=dtype)


def rounding(theta: Tensor, momentum: float = 0.0) -> float:
    """At most 16 roundings a step of numbers below max |θ| or its moves, remembered for 1/(1 − momentum) steps."""
    return 16 * STEPS / (1 - momentum) * torch.finfo(theta.dtype).eps * max(1.0, float(theta.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_cross_library_sgd(dtype: torch.dtype, momentum: float) -> None:
    start, gradients = drawn(dtype)
    found = ours(SGD(momentum), start, gradients)

    def make(parameters: list[Tensor], lr: float) -> torch.optim.SGD:
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum)

    expected = theirs(make, start, gradients)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, momentum))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("beta1", "beta2", "epsilon"), [(0.9, 0.999, 1e-8), (0.0, 0.9, 1e-3), (0.5, 0.0, 1e-6)])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_cross_library_adamw(dtype: torch.dtype, beta1: float, beta2: float, epsilon: float, decay: float) -> None:
    start, gradients = drawn(dtype)
    found = ours(AdamW(beta1, beta2, epsilon, decay), start, gradients)

    def make(parameters: list[Tensor], lr: float) -> torch.optim.AdamW:
        return torch.optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), eps=epsilon, weight_decay=decay)

    expected = theirs(make, start, gradients)
    torch.testing.assert_close(found, expected, rtol=0, atol=rounding(expected, beta1))


def test_mutant_adam_with_coupled_decay_is_not_adamw() -> None:
    start, gradients = drawn(torch.float64)
    found = ours(AdamW(weight_decay=0.3), start, gradients)

    def make(parameters: list[Tensor], lr: float) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=lr, weight_decay=0.3)

    coupled = theirs(make, start, gradients)
    assert float((found - coupled).abs().max()) > 1e6 * rounding(coupled, 0.9)


def test_momentum_keeps_a_buffer_only_where_it_has_one() -> None:
    theta = torch.ones(2, 3)
    assert SGD().start(theta) == {}
    assert set(SGD(0.5).start(theta)) == {"buffer"}
    assert set(AdamW().start(theta)) == {"mean", "square", "count"}


@pytest.mark.parametrize("values", [{"momentum": 1.0}, {"momentum": -0.1}])
def test_sgd_refuses(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= momentum < 1"):
        SGD(**values)


@pytest.mark.parametrize("values", [{"beta1": 1.0}, {"beta2": -0.1}, {"epsilon": 0.0}, {"weight_decay": -1.0}])
def test_adamw_refuses(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 <= beta1, beta2 < 1"):
        AdamW(**values)
