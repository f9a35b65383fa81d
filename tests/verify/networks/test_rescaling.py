"""Property tests of the rescalings: what they keep, what they change, and by how much."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from verify.networks import Transformer, TransformerConfig
from verify.networks.rescaling import (
    Factors,
    hidden_factors,
    mix_values,
    norm_factors,
    query_factors,
    rescale,
    value_factors,
)

EPS = 2.0**-52
CONTEXTS = torch.tensor([[-1, 2, 0], [1, -1, -2], [0, 1, -1]])
ROUNDINGS = 1000
"""More than the roundings on any path through the network of these tests, twice, its rescaling included."""


def network(stack: tuple[int, ...] = (), activation: str = "relu", tied: bool = False) -> Transformer:
    generators = [torch.Generator().manual_seed(5 + index) for index in range(2 if stack else 1)]
    config = TransformerConfig(
        3, 3, width=4, layers=2, heads=2, mlp_ratio=2, activation=activation, padded=True, tied=tied
    )
    found = Transformer(config, stack, generators, torch.float64)
    with torch.no_grad():  # so that biases and gains matter
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generators[0], dtype=torch.float64))
    return found


def norm(name: str) -> Callable[[Transformer, Tensor], Factors]:
    return lambda model, factors: norm_factors(model, name, factors)


SCALINGS: dict[str, tuple[Callable[[Transformer, Tensor], Factors], int]] = {
    "attention norm": (norm("blocks.0.attention_norm"), 4),
    "mlp norm": (norm("blocks.1.mlp_norm"), 4),
    "final norm": (norm("norm"), 4),
    "queries and keys": (lambda model, factors: query_factors(model, 1, factors), 2),
    "values": (lambda model, factors: value_factors(model, 0, factors), 2),
    "hidden units": (lambda model, factors: hidden_factors(model, 0, factors), 8),
}
"""Each with the number of its factors."""


def gradients(model: Transformer) -> dict[str, Tensor]:
    """∇_θ log p(y | x) by parameter, of shape (context, token, *parameter)."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def log_prob(own: dict[str, Tensor]) -> Tensor:
        result: Tensor = torch.func.functional_call(model, own, (CONTEXTS,))
        return result

    found: dict[str, Tensor] = torch.func.jacrev(log_prob)(parameters)
    return found


def sensitivity(model: Transformer) -> float:
    """Largest Σ_i |θ_i ∂_i log p|: how far relative errors of the parameters, and of what is made of them, reach."""
    own = dict(model.named_parameters())
    parts = [(slope * own[name].detach()).abs().flatten(2).sum(-1) for name, slope in gradients(model).items()]
    return float(torch.stack(parts).sum(0).max())


def fisher_diagonal(model: Transformer) -> dict[str, Tensor]:
    """F_ii = E_x Σ_y p (∂_i log p)², x uniform on the contexts. Exact."""
    prob = model(CONTEXTS).exp().detach() / len(CONTEXTS)
    return {name: torch.einsum("xy,xy...->...", prob, slope.square()) for name, slope in gradients(model).items()}


def weighted(model: Transformer) -> float:
    """Σ θ_i² F_ii."""
    own = dict(model.named_parameters())
    return sum(float((own[name].detach().square() * entry).sum()) for name, entry in fisher_diagonal(model).items())


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("stack", [(), (2,)])
def test_closed_form_powers_of_two_change_no_bit(scaling: str, stack: tuple[int, ...]) -> None:
    """Multiplying by powers of two commutes with rounding, so the same function to the last bit."""
    factors_of, count = SCALINGS[scaling]
    model = network(stack)
    powers = torch.randint(-3, 4, (*stack, count), generator=torch.Generator().manual_seed(1)).double()
    scaled = rescale(model, factors_of(model, powers.exp2()))
    assert not torch.equal(
        torch.cat([p.reshape(-1) for p in scaled.parameters()]), torch.cat([p.reshape(-1) for p in model.parameters()])
    )
    assert torch.equal(scaled(CONTEXTS), model(CONTEXTS))
    assert torch.equal(scaled.states(CONTEXTS), model.states(CONTEXTS)) == (scaling != "final norm")


@pytest.mark.parametrize("scaling", SCALINGS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_property_function_stays_and_the_trace_is_predicted(scaling: str, data: st.DataObject) -> None:
    factors_of, count = SCALINGS[scaling]
    model = network()
    factors = torch.tensor(data.draw(st.lists(st.floats(0.2, 5), min_size=count, max_size=count)), dtype=torch.float64)
    scaled = rescale(model, factors_of(model, factors))
    bound = ROUNDINGS * EPS * (1 + sensitivity(model))
    torch.testing.assert_close(scaled(CONTEXTS), model(CONTEXTS), rtol=0, atol=bound)
    # Derivatives of the first order have their own condition numbers; one sensitivity more covers them here.
    loose = bound * (1 + sensitivity(model))
    assert weighted(scaled) == pytest.approx(weighted(model), rel=loose)
    given = factors_of(model, factors)
    diagonal = fisher_diagonal(model).items()
    predicted = sum(float((entry / given[name] ** 2 if name in given else entry).sum()) for name, entry in diagonal)
    assert float(sum(entry.sum() for entry in fisher_diagonal(scaled).values())) == pytest.approx(predicted, rel=loose)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_property_invertible_matrices_keep_the_function_and_not_the_trace(seed: int) -> None:
    model = network()
    matrices = torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrices = matrices + 2 * torch.eye(2, dtype=torch.float64) * matrices.det().sign()[:, None, None]
    mixed = mix_values(model, 1, matrices)
    bound = ROUNDINGS * EPS * (1 + sensitivity(model)) * float(torch.linalg.cond(matrices).max())
    torch.testing.assert_close(mixed(CONTEXTS), model(CONTEXTS), rtol=0, atol=bound)
    torch.testing.assert_close(mixed.states(CONTEXTS), model.states(CONTEXTS), rtol=0, atol=bound * 100)
    before, after = (sum(float(e.sum()) for e in fisher_diagonal(net).values()) for net in (model, mixed))
    assert abs(after / before - 1) > 1e-9


def test_closed_form_scalar_matrices_are_the_diagonal_rescaling() -> None:
    model = network((2,))
    factors = torch.tensor([[2.0, 0.5], [4.0, 1.0]], dtype=torch.float64)
    matrices = factors[..., None, None] * torch.eye(2, dtype=torch.float64)
    mixed, scaled = mix_values(model, 0, matrices), rescale(model, value_factors(model, 0, factors))
    for first, second in zip(mixed.parameters(), scaled.parameters(), strict=True):
        assert torch.equal(first, second)


def test_mutant_half_a_rescaling_is_noticed() -> None:
    """Without what divides, the function changes far beyond the tolerance used above."""
    model = network()
    for scaling, (factors_of, count) in SCALINGS.items():
        factors = factors_of(model, torch.full((count,), 2.0, dtype=torch.float64))
        whole = {name: factor for name, factor in factors.items() if bool((factor >= 1).all())}
        if scaling == "queries and keys":
            whole = {name: factor.clamp(min=1.0) for name, factor in factors.items()}
        moved = (rescale(model, whole)(CONTEXTS) - model(CONTEXTS)).abs().max()
        assert moved.item() > 1e-4, scaling


def test_mutant_gelu_and_negative_factors_would_change_the_function() -> None:
    model = network(activation="gelu")
    relu = network()
    factors = torch.full((8,), 2.0, dtype=torch.float64)
    wrongly = rescale(model, hidden_factors(relu, 0, factors))
    assert (wrongly(CONTEXTS) - model(CONTEXTS)).abs().max().item() > 1e-4
    with pytest.raises(ValueError, match="activation 'relu'"):
        hidden_factors(model, 0, factors)
    with pytest.raises(ValueError, match="positive factors"):
        hidden_factors(relu, 0, -factors)


def test_error_factors_that_do_not_fit() -> None:
    model = network()
    four = torch.ones(4, dtype=torch.float64)
    with pytest.raises(ValueError, match="normalisation among"):
        norm_factors(model, "blocks.2.mlp_norm", four)
    with pytest.raises(ValueError, match="untied head"):
        norm_factors(network(tied=True), "norm", four)
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        norm_factors(model, "norm", torch.ones(3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        query_factors(model, 0, four)
    with pytest.raises(ValueError, match=r"shape \(2, 2, 2\)"):
        mix_values(model, 0, torch.eye(4, dtype=torch.float64)[None])
    with pytest.raises(ValueError, match="not 0"):
        rescale(model, {"norm.gain": torch.zeros(4, dtype=torch.float64)})
