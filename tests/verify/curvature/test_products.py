"""Hessian-vector products, the canary that guards them, and batching that may be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.verify.curvature.examples import (
    CONTEXTS,
    EPS,
    Convolution,
    Fused,
    filled,
    hessian_by_autograd,
    mlp,
    off_gamma,
    on_gamma,
    seeded,
    transformer,
    vectors,
)
from verify.curvature import Examples, Labelled, SecondOrderError, trace
from verify.curvature.hutchinson import exact_trace, hutchinson
from verify.curvature.likelihood import Likelihood
from verify.curvature.products import CANARY_ROWS, HessianProducts, canary
from verify.curvature.pullback import pullbacks
from verify.networks import Lstm, LstmConfig


class _WrongTwice(torch.autograd.Function):
    """tanh with a right derivative, of which the derivative is wrong: the slope is taken for a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.slope = 1 - torch.tanh(x.detach()).square()
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        slope: Tensor = gradient * ctx.slope
        return slope


class WrongTwice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = _WrongTwice.apply(x)  # type: ignore[no-untyped-call]
        return found


def wrong() -> nn.Module:
    return filled(nn.Sequential(nn.Linear(3, 4), WrongTwice(), nn.Linear(4, 3), nn.LogSoftmax(-1)))


def normed(norm: nn.Module) -> nn.Module:
    return filled(nn.Sequential(nn.Linear(3, 4), norm, nn.GELU(), nn.Linear(4, 3), nn.LogSoftmax(-1)))


def test_closed_form_products_are_rows_of_the_hessian(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    population = off_gamma(model, vectors())
    H = hessian_by_autograd(model, population)
    v = torch.randn(7, len(H), generator=seeded(), dtype=torch.float64)
    for at_once in (7, 2, 1):
        monkeypatch.setattr("verify.curvature.products.ENTRIES", at_once * len(H))
        products = HessianProducts(Likelihood(model), population.whole())
        assert products.at_once == at_once
        torch.testing.assert_close(products(v), v @ H, rtol=0, atol=512 * EPS * float(H.norm() * v.norm()))


def test_property_chunks_of_any_size_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    likelihood = Likelihood(mlp())
    batch = off_gamma(likelihood.model, vectors()).whole()
    found = []
    for at_once in (likelihood.n_parameters, 5, 1):
        monkeypatch.setattr("verify.curvature.products.ENTRIES", at_once * likelihood.n_parameters)
        probes = hutchinson(likelihood, batch, 12, seeded())
        found.append((exact_trace(likelihood, batch), probes))
    largest = float(found[0][0].abs().max())
    for traces, probes in found[1:]:
        torch.testing.assert_close(traces, found[0][0], rtol=0, atol=512 * EPS * largest)
        assert probes.shape == (12, 4)


def test_closed_form_an_unused_parameter_has_rows_of_zeros() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(3, 3), nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return torch.log_softmax(self.used(x), -1)

    model = filled(Idle())
    population = off_gamma(model, vectors())
    products = HessianProducts(Likelihood(model), population.whole())
    n = Likelihood(model).n_parameters
    H = products(torch.eye(n, dtype=torch.float64))
    idle = list(Likelihood(model).parameters).index("idle")
    start = sum(value.numel() for value in list(model.parameters())[:idle])
    assert not H[start : start + 2].any()
    assert not H[:, start : start + 2].any()
    for method in ("exact", "fisher", "fisher-per-sample", "hutchinson"):
        found = trace(model, population, method, generator=seeded(), batches=32, blocks={"idle": "idle"})
        assert found.blocks["idle"].estimate == 0


def test_closed_form_a_loss_without_curvature_has_none() -> None:
    model = filled(nn.Linear(3, 3))
    flat = Likelihood(model, lambda m, x: m(x) * 0 - math.log(3))
    products = HessianProducts(flat, Labelled(vectors(), targets=torch.zeros(5, dtype=torch.int64)))
    assert not products(torch.ones(2, 12, dtype=torch.float64)).any()


RIGHT: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, vectors()),
    "layer norm": (lambda: normed(nn.LayerNorm(4)), vectors()),
    "rms norm": (lambda: normed(nn.RMSNorm(4)), vectors()),
    "group norm": (lambda: filled(Convolution()), vectors()),
    "fused attention": (lambda: filled(Fused()), CONTEXTS),
    "transformer": (transformer, CONTEXTS),
    "lstm": (lambda: filled(Lstm(LstmConfig(3, 3, width=4, layers=1))), CONTEXTS),
}


@pytest.mark.parametrize("name", RIGHT)
def test_finite_difference_the_canary_lets_right_derivatives_pass(name: str) -> None:
    make, inputs = RIGHT[name]
    model = make()
    before = [value.clone() for value in model.parameters()]
    for population in (on_gamma(model, inputs), off_gamma(model, inputs)):
        for seed in range(3):
            assert canary(Likelihood(model), population.draw(8, seeded(seed)), seeded(seed)) < 1e-5
        single = Likelihood(model.float())
        batch = population.draw(4, seeded())
        if isinstance(batch.inputs, Tensor) and batch.inputs.is_floating_point():
            batch.inputs = batch.inputs.float()
        assert canary(single, batch, seeded()) < 1e-5  # on a float64 copy
        model.double()
    assert all(torch.equal(a.float(), b.float()) for a, b in zip(before, model.parameters(), strict=True))


def test_mutant_a_wrong_second_derivative_is_refused() -> None:
    model = wrong()
    population = off_gamma(model, vectors())
    right = filled(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.LogSoftmax(-1)))
    inputs = vectors()
    torch.testing.assert_close(model(inputs), right(inputs), rtol=0, atol=0)
    message = (
        "differences of gradients, got .* relative disagreement in '0.weight'; an operation of the model has a wrong"
    )
    for method in ("exact", "hutchinson"):
        with pytest.raises(SecondOrderError, match=message):
            trace(model, population, method, generator=seeded())
    for method in ("fisher", "gauss-newton"):  # need first derivatives alone
        assert trace(model, population, method, generator=seeded()) == trace(
            right, population, method, generator=seeded()
        )


def test_mutant_a_wrong_derivative_of_one_small_tensor_is_seen() -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large, self.small = nn.Linear(3, 3), nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            return torch.log_softmax(self.large(x) + 0.1 * WrongTwice()(self.small + x), -1)

    model = filled(Small())
    population = off_gamma(model, vectors())
    with pytest.raises(SecondOrderError, match="in 'small'"):
        trace(model, population, "hutchinson", generator=seeded())


def test_a_missing_second_derivative_is_refused() -> None:
    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(4, 3)

        def forward(self, contexts: Tensor) -> Tensor:
            return torch.log_softmax(torch.tanh(self.bag(contexts + 1)), -1)

    fast = transformer()
    fast.fast = True
    for model, reason in ((filled(Bag()), "embedding_bag"), (fast, "create_graph=True")):
        population = on_gamma(model, CONTEXTS)
        with pytest.raises(SecondOrderError, match=rf"can be differentiated twice, got: .*{reason}.*from primitives"):
            trace(model, population, "hutchinson", generator=seeded())
        assert trace(model, population, "fisher", generator=seeded(), batches=32).estimate > 0


def test_finite_difference_third_derivatives_of_the_house_transformer() -> None:
    """What the gradient of tr H needs: ∂³L[v, v, v] by autograd three times against differences of vᵀHv."""
    model = transformer()
    population = off_gamma(model, CONTEXTS)
    likelihood = Likelihood(model)
    parameters = list(likelihood.parameters.values())
    v = torch.randn(likelihood.n_parameters, generator=seeded(4), dtype=torch.float64)
    parts = likelihood.split(v)
    log_p = likelihood.rows(population.inputs)
    value = -(population.prob @ (population.conditional * log_p).sum(-1))
    for _ in range(3):
        slope: tuple[Tensor | None, ...] = torch.autograd.grad(value, parameters, create_graph=True, allow_unused=True)
        value = torch.stack(
            [(a * b).sum() for a, b in zip(slope, parts, strict=True) if a is not None and a.requires_grad]
        ).sum()

    def move(shift: float) -> None:
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.add_(shift * part)

    def curvature(shift: float) -> float:
        move(shift)
        found = float(HessianProducts(likelihood, population.whole())(v[None])[0] @ v)
        move(-shift)
        return found

    h = EPS ** (1 / 3)
    near, far = ((curvature(k * h) - curvature(-k * h)) / (2 * k * h) for k in (1, 2))
    # truncation from two steps; rounding: ε of a curvature made of some hundred products, over h
    bound = abs(near - far) + 1024 * EPS * abs(curvature(0.0)) / h
    assert abs(float(value.detach()) - near) <= bound
    assert bound < 1e-3 * abs(near)


def test_property_the_canary_takes_few_rows_and_all_where_rows_are_not_examples() -> None:
    taken: list[int] = []

    def log_prob(model: nn.Module, inputs: Tensor) -> Tensor:
        taken.append(len(inputs))
        rows: Tensor = model(inputs)
        return rows

    def two_each(model: nn.Module, inputs: Tensor) -> Tensor:
        return log_prob(model, inputs).repeat_interleave(2, 0)

    n = CANARY_ROWS + 5
    targets = torch.arange(n) % 3
    canary(Likelihood(mlp(), log_prob), Labelled(vectors(n), targets=targets), seeded())
    canary(Likelihood(mlp(), two_each), Labelled(vectors(n), targets=targets.repeat_interleave(2)), seeded())
    assert set(taken[: len(taken) // 2]) == {CANARY_ROWS}
    assert set(taken[len(taken) // 2 :]) == {n}


def test_property_inputs_by_name() -> None:
    data = Examples({"x": vectors().float(), "scale": torch.arange(1, 6)}, torch.tensor([0, 1, 2, 0, 1]))
    model = mlp().float()

    def log_prob(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        rows: Tensor = model(inputs["x"] * inputs["scale"][:, None])
        return rows

    named = trace(model, data, "hutchinson", log_prob=log_prob, generator=seeded(), batches=32)
    assert named.estimate != 0
    per_sample = trace(model, data, "fisher-per-sample", log_prob=log_prob, generator=seeded(), batches=32)
    assert per_sample.estimate > 0


def test_mutant_a_wrong_batch_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(1.0, 4.0, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    v = torch.randn(5, 3, generator=seeded(), dtype=torch.float64)
    for batch in ([3 * v.flip(0), None], [3 * v, torch.zeros(5, 2)], [3 * v + math.nan, None], None):
        monkeypatch.setattr("verify.curvature.pullback._batched", lambda *_, batch=batch: batch)
        found, none = pullbacks([3 * x], [x, unused], [v])
        assert found is not None
        assert none is None
        assert torch.equal(found, 3 * v)


def test_property_the_gradient_of_group_norm_is_multiplied_one_by_one() -> None:
    model = filled(Convolution())
    parameters = list(model.parameters())
    gradient = torch.autograd.grad(model(vectors())[:, 0].sum(), parameters, create_graph=True)
    v = [torch.randn(3, *part.shape, generator=seeded(i), dtype=torch.float64) for i, part in enumerate(gradient)]
    with pytest.raises(RuntimeError):  # should torch learn to batch it, this test may go
        torch.autograd.grad(gradient, parameters, v, is_grads_batched=True, retain_graph=True, allow_unused=True)
    found = pullbacks(gradient, parameters, v)
    for k in range(3):
        one: tuple[Tensor | None, ...] = torch.autograd.grad(
            gradient, parameters, [part[k] for part in v], retain_graph=True, allow_unused=True
        )
        for rows, row in zip(found, one, strict=True):
            assert (rows is None) == (row is None)
            assert rows is None or row is None or torch.equal(rows[k], row)
