"""The fast path: the same function and gradient as the primitives, and no second derivative."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from verify.networks import Transformer, TransformerConfig
from verify.networks.first_order import SHORT

EPS = 2.0**-52
X = torch.tensor([[0, -1, 3, -2], [-1, 4, 1, 2], [2, 0, -1, -2]])


def network(stack: tuple[int, ...], padded: bool, length: int = 4) -> Transformer:
    generators = [torch.Generator().manual_seed(index) for index in range(2 if stack else 1)]
    config = TransformerConfig(5, length, width=8, heads=2, layers=3, padded=padded)
    found = Transformer(config, stack, generators, torch.float64)
    with torch.no_grad():  # gains and biases that are not one and zero
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generators[0], dtype=torch.float64))
    return found


def evaluated(model: Transformer, x: Tensor) -> list[Tensor]:
    log_prob = model(x)
    states = model.states(x)
    total = log_prob[..., 1].sum() + states.square().sum()
    return [log_prob.detach(), states.detach(), *torch.autograd.grad(total, list(model.parameters()))]


@pytest.mark.parametrize("length", [4, SHORT])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("stack", [(), (2,)])
def test_enumeration_same_function_and_gradient(stack: tuple[int, ...], padded: bool, length: int) -> None:
    model = network(stack, padded, length)
    x = X if padded else X.where(X != -2, 4)
    x = torch.nn.functional.pad(x, (0, length - 4), value=-2 if padded else 3)
    slow = evaluated(model, x)
    model.fast = True
    for reference, found in zip(slow, evaluated(model, x), strict=True):
        # Both are sums of at most 10³ roundings, of terms of the size of the largest entry.
        torch.testing.assert_close(found, reference, rtol=0, atol=1e4 * EPS * (1 + float(reference.abs().max())))


def test_mutant_a_second_derivative_is_refused() -> None:
    model = network((), padded=False)
    x = X.where(X != -2, 4)
    model.fast = True
    parameters = list(model.parameters())
    with pytest.raises(RuntimeError, match="set fast = False"):
        torch.autograd.grad(model(x)[:, 1].sum(), parameters, create_graph=True)
    named = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(own: dict[str, Tensor]) -> Tensor:
        result: Tensor = torch.func.functional_call(model, own, (x,)).sum()
        return result

    with pytest.raises(RuntimeError, match="setup_context"):
        torch.func.grad(loss)(named)
    model.fast = False
    torch.func.grad(loss)(named)


@pytest.mark.parametrize("fast", [False, True])
def test_property_products_in_bfloat16_give_the_gradient_to_its_rounding(fast: bool) -> None:
    """Parameters and gradients stay float32 under autocast, as on a device that trains in bfloat16."""
    model = network((2,), padded=False).float()
    model.fast = fast
    x = X.where(X != -2, 4)
    exact = evaluated(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        total = model(x)[..., 1].float().sum() + model.states(x).float().square().sum()
    rough = torch.autograd.grad(total, list(model.parameters()))
    for reference, found in zip(exact[2:], rough, strict=True):
        assert found.dtype == torch.float32
        # Each of some ten products in a row, and its two backward, rounds its factors to 2⁻⁹ of their size.
        assert float((found - reference).norm()) <= 30 * 2.0**-8 * float(reference.norm() + 1)
