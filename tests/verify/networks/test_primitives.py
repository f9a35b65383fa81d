"""Closed forms, and the canary: derivatives of orders 1 to 3 against finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from verify.networks import Lstm, LstmConfig, Network, Transformer, TransformerConfig, primitives

# Loading torch's forward mode for the first time compiles a script of its own, which it now calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

EPS = 2.0**-52
EPSILON = 1e-5
Function = Callable[[Tensor], Tensor]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_reverse(f: Function, x: Tensor, v: Tensor) -> list[float]:
    """Derivatives of s ↦ f(x + s v) at 0 of orders 1 to 3, by reverse mode each time."""
    x = x.detach().requires_grad_()
    y, found = f(x), []
    for _ in range(3):
        (gradient,) = torch.autograd.grad(y, x, create_graph=True)
        y = (gradient * v).sum()
        found.append(y.item())
    return found


def by_forward(f: Function, x: Tensor, v: Tensor) -> list[float]:
    """The same by forward mode each time."""

    def directional(g: Function) -> Function:
        return lambda z: torch.func.jvp(g, (z,), (v,))[1]

    found = []
    for _ in range(3):
        f = directional(f)
        found.append(f(x).item())
    return found


STENCILS = ({1: 0.5, -1: -0.5}, {1: 1.0, 0: -2.0, -1: 1.0}, {2: 0.5, 1: -1.0, -1: 1.0, -2: -0.5})
"""Central differences of orders 1 to 3, of error O(h²)."""


def by_differences(f: Function, x: Tensor, v: Tensor, order: int, roundings: int) -> tuple[float, float]:
    """Return a derivative by Richardson extrapolation of central differences, and a bound on its error.

    D(h) = D + a h² + b h⁴ + …, so R(h) = (4 D(h) − D(2h))/3 has error O(h⁴), estimated from above by |R(h) − R(2h)|,
    which is 15 times it. Rounding: each value of f carries `roundings` · ε of the largest |f| of the stencil, and the
    weights of R sum to at most 5/3 Σ|w| / h^order. h balances ε/h^order against h⁴.
    """
    h = EPS ** (1 / (order + 4))

    def difference(step: float) -> tuple[float, float]:
        values = {place: f(x + place * step * v).item() for place in STENCILS[order - 1]}
        size = sum(abs(weight) for weight in STENCILS[order - 1].values()) * max(map(abs, values.values()))
        total = sum(weight * values[place] for place, weight in STENCILS[order - 1].items())
        return total / step**order, size / step**order

    (one, size), (two, _), (four, _) = difference(h), difference(2 * h), difference(4 * h)
    fine, coarse = (4 * one - two) / 3, (4 * two - four) / 3
    return fine, abs(fine - coarse) + 5 / 3 * roundings * EPS * size


def as_function(network: Network, contexts: Tensor) -> tuple[Function, Tensor, int]:
    """Return a loss of a network as a function of one vector, the vector, and the roundings on its longest path."""
    parameters = dict(network.named_parameters())
    sizes, shapes = [p.numel() for p in parameters.values()], [p.shape for p in parameters.values()]
    point = torch.cat([p.detach().reshape(-1) for p in parameters.values()])

    def loss(vector: Tensor) -> Tensor:
        parts = [part.reshape(shape) for part, shape in zip(torch.split(vector, sizes), shapes, strict=True)]
        log_prob = torch.func.functional_call(network, dict(zip(parameters, parts, strict=True)), (contexts,))
        result: Tensor = (log_prob * torch.arange(1.0, log_prob.shape[-1] + 1)).mean()
        return result

    return loss, point, 100 * network.config.layers * network.width


def networks() -> list[Network]:
    seed = [torch.Generator().manual_seed(3)]
    gelu = TransformerConfig(3, 3, width=4, padded=True, heads=2)
    relu = TransformerConfig(3, 3, width=4, padded=True, heads=2, activation="relu", tied=True)
    found = [Transformer(config, (), seed, torch.float64) for config in (gelu, relu)]
    with torch.no_grad():  # away from the kinks of relu, across which differences do not converge
        for name, parameter in found[1].named_parameters():
            if name.endswith("hidden.bias"):
                parameter[::2], parameter[1::2] = 3.0, -3.0
    return [*found, Lstm(LstmConfig(3, 3, width=4, padded=True), (), seed, torch.float64)]


@pytest.mark.parametrize("network", networks(), ids=["gelu", "relu, tied", "lstm"])
def test_finite_difference_canary_orders_1_to_3_of_a_network(network: Network) -> None:
    contexts = torch.tensor([[-1, 2, 0], [1, -1, -2], [0, 0, -1]])
    loss, point, roundings = as_function(network, contexts)
    direction = normal(len(point), seed=1)
    direction = direction / direction.norm()
    for found in (by_reverse(loss, point, direction), by_forward(loss, point, direction)):
        for order, value in enumerate(found, start=1):
            expected, bound = by_differences(loss, point, direction, order, roundings)
            assert abs(value - expected) <= bound
            assert bound < 0.02 * abs(expected), "too wide to notice a wrong derivative"


def layer_norm_loss(norm: Function) -> Function:
    weight = normal(6, seed=2)
    return lambda x: (norm(x) @ weight).square().sum()


def test_finite_difference_canary_of_layer_norm(record_property: Callable[[str, str], None]) -> None:
    """Ours agrees at all orders. The fused one fails on torch 2.13: if a version mends it, that is recorded as well."""
    ones, zeros = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    x, v = normal(4, 6), normal(4, 6, seed=1)
    v = v / v.norm()
    ours = layer_norm_loss(lambda z: primitives.layer_norm(z, ones, zeros, EPSILON))
    fused = layer_norm_loss(lambda z: functional.layer_norm(z, (6,), ones, zeros, EPSILON))
    checked = []
    for mode, derivatives in (("reverse", by_reverse), ("forward", by_forward)):
        right, theirs = derivatives(ours, x, v), derivatives(fused, x, v)
        for order in (1, 2, 3):
            expected, bound = by_differences(ours, x, v, order, 100)
            assert abs(right[order - 1] - expected) <= bound
            assert bound < 1e-3 * abs(expected)
            wrong = abs(theirs[order - 1] - right[order - 1]) / abs(right[order - 1])
            assert wrong < 1e-9 or wrong > 1e-2, "neither right nor plainly wrong"
            checked.append(wrong)
            record_property(
                f"fused layer_norm, {mode} mode, order {order}", "right" if wrong < 1e-9 else f"off {wrong:.0%}"
            )
    assert checked[0] < 1e-9, "the first derivative of the fused kernel is what `fast` relies on"


def test_closed_form_layer_norm_has_mean_beta_and_deviation_gamma() -> None:
    x = normal(3, 5, 64)
    y = primitives.layer_norm(
        x, torch.full((3, 64), 2.0, dtype=x.dtype), torch.full((3, 64), 1.0, dtype=x.dtype), EPSILON
    )
    variance = x.var(-1, correction=0)
    torch.testing.assert_close(
        y.mean(-1), torch.ones(3, 5, dtype=x.dtype), rtol=0, atol=64 * EPS * float(y.abs().max())
    )
    torch.testing.assert_close(y.var(-1, correction=0), 4 * variance / (variance + EPSILON), rtol=256 * EPS, atol=0)


def test_closed_form_attention_to_equal_keys_is_the_mean_of_what_is_inside() -> None:
    query, value = normal(2, 1, 2, 3), normal(2, 4, 2, 3, seed=1)
    inside = torch.tensor([[True, True, True, False], [True, False, False, False]])
    mixed = primitives.attention(query, torch.ones_like(value), value, inside)
    expected = torch.stack((value[0, :3].mean(0), value[1, 0])).reshape(2, 1, 6)
    torch.testing.assert_close(mixed, expected, rtol=16 * EPS, atol=16 * EPS)


def test_cross_library_attention_agrees_with_the_fused_kernel() -> None:
    query, key, value = (normal(3, 5, 2, 4, seed=seed) for seed in range(3))
    fused = functional.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    ours = primitives.attention(query, key, value)
    torch.testing.assert_close(
        ours, fused.transpose(1, 2).flatten(-2), rtol=0, atol=64 * EPS * float(value.abs().max())
    )


def test_closed_form_gelu_is_x_times_the_normal_distribution_function() -> None:
    x = normal(50)
    expected = [float(z) * math.erfc(-float(z) / math.sqrt(2)) / 2 for z in x]
    torch.testing.assert_close(
        primitives.activate(x, "gelu"), torch.tensor(expected, dtype=x.dtype), rtol=32 * EPS, atol=4 * EPS
    )


@pytest.mark.parametrize("stack", [(), (3,), (2, 3)])
def test_enumeration_linear_multiplies_each_member_by_itself(stack: tuple[int, ...]) -> None:
    x, weight, bias = normal(*stack, 5, 2, 4), normal(*stack, 4, 3, seed=1), normal(*stack, 3, seed=2)
    found = primitives.linear(x, weight, bias)
    for member in torch.cartesian_prod(*map(torch.arange, stack)).reshape(-1, len(stack)) if stack else [()]:
        at = tuple(int(i) for i in member)
        bound = 8 * EPS * float(x[at].abs().max() * weight[at].abs().max() * 4 + bias.abs().max())
        torch.testing.assert_close(found[at], x[at] @ weight[at] + bias[at], rtol=0, atol=bound)
