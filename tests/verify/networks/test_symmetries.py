"""Property tests of the symmetries: the function stays, gradients turn as they should, every group is its own."""

from __future__ import annotations

import pytest
import torch

from tests.verify.networks.test_rescaling import CONTEXTS, EPS, ROUNDINGS, network, sensitivity
from verify.networks import Lstm, LstmConfig, Transformer
from verify.networks.rescaling import mix_values, query_factors, rescale
from verify.networks.symmetries import moved, sum_of_products, symmetries


def elements(model: Transformer, seed: int = 0) -> dict[str, torch.Tensor]:
    """An A of every group: orthogonal times diagonal with entries in [1/2, 2]; positive where it is a number."""
    generator = torch.Generator().manual_seed(seed)
    own = {name: value.detach() for name, value in model.named_parameters()}
    found = {}
    for kind in symmetries(model):
        shape = kind.moments(own).shape[1:]
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        turned = torch.linalg.qr(drawn)[0] if shape[-1] > 1 else torch.ones_like(drawn)
        found[kind.name] = turned * drawn.diagonal(dim1=-2, dim2=-1).clamp(-1, 1).exp2().unsqueeze(-2)
    return found


@pytest.mark.parametrize("stack", [(), (2,)])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_property_the_function_stays(stack: tuple[int, ...], activation: str) -> None:
    model = network(stack, activation)
    own = elements(model)
    assert set(own) == {
        "norm",
        *(f"blocks.{k} {kind}" for k in (0, 1) for kind in ("queries", "values")),
        *(f"blocks.{k} hidden" for k in (0, 1) if activation == "relu"),
    }
    other = moved(model, own)
    for name, parameter in model.named_parameters():
        untouched = name in {"token", "position", "unembedding.bias"} or name.endswith(("out.bias", "output.bias"))
        if untouched:
            assert torch.equal(parameter, other.get_parameter(name))
    bound = ROUNDINGS * EPS * 16  # A has a condition number of 4 at most, twice
    bound *= 1 + max(sensitivity(one) for one in ([model] if not stack else [model.member(0), model.member(1)]))
    torch.testing.assert_close(other(CONTEXTS), model(CONTEXTS), rtol=0, atol=bound)


def test_closed_form_gradients_turn_by_the_inverse_and_by_the_matrix() -> None:
    model = network()
    own = elements(model)
    kinds = {kind.name: kind for kind in symmetries(model)}
    moments = []
    for each in (model, moved(model, own)):
        each(CONTEXTS)[:, 0].sum().backward()
        gradients = {name: parameter.grad for name, parameter in each.named_parameters() if parameter.grad is not None}
        moments.append({name: kind.moments(gradients) for name, kind in kinds.items()})
    for name, (first, second) in moments[0].items():
        inverse, matrix = torch.linalg.inv(own[name]), own[name]
        turned = torch.stack([inverse @ first @ inverse.mT, matrix.mT @ second @ matrix])
        torch.testing.assert_close(moments[1][name], turned, rtol=1e-9, atol=1e-9)


def test_closed_form_special_cases_are_the_rescalings() -> None:
    model = network()
    eye = torch.eye(2, dtype=torch.float64)
    factors = torch.tensor([2.0, 0.5], dtype=torch.float64)
    values = elements(model)["blocks.0 values"]
    scaled = moved(model, {"blocks.1 queries": factors[:, None, None] * eye})
    pairs = (
        (scaled, rescale(model, query_factors(model, 1, factors))),
        (moved(model, {"blocks.0 values": values}), mix_values(model, 0, values)),
    )
    for one, other in pairs:
        for first, second in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(first, second, rtol=16 * EPS, atol=16 * EPS)


def test_property_a_member_of_a_stack_moves_as_it_does_alone() -> None:
    model = network((2,))
    own = elements(model)
    alone = moved(model.member(1), {name: element[1] for name, element in own.items()})
    together = moved(model, own).member(1)
    for first, second in zip(alone.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=16 * EPS, atol=16 * EPS)


def test_closed_form_sums_of_products_run_over_all_views() -> None:
    views = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0]])]
    assert torch.equal(sum_of_products(views), torch.tensor([[35.0, 44.0], [44.0, 56.0]]))


def test_mutant_one_side_alone_is_noticed() -> None:
    model = network()
    wrong = moved(model, {"blocks.0 queries": elements(model)["blocks.0 queries"]})
    with torch.no_grad():
        keys = slice(4, 8)
        wrong.get_parameter("blocks.0.qkv.weight")[:, keys] = model.get_parameter("blocks.0.qkv.weight")[:, keys]
    assert float((wrong(CONTEXTS) - model(CONTEXTS)).detach().abs().max()) > 1e-4


def test_a_tied_head_and_an_lstm_have_fewer() -> None:
    assert "norm" not in {kind.name for kind in symmetries(network(tied=True))}
    assert symmetries(Lstm(LstmConfig(3, 3, width=4, layers=1), (), [torch.Generator().manual_seed(0)])) == ()


def test_a_symmetry_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"expected symmetries among blocks\.0 queries, .* got blocks\.7 queries"):
        moved(network(), {"blocks.7 queries": torch.eye(2)[None]})
