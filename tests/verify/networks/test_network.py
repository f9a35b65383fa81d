"""The interface: shapes, stacks, configurations and errors, the same for every architecture."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from synthetic import MASK, PAD
from verify.networks import (
    Lstm,
    LstmConfig,
    Network,
    NetworkConfig,
    Transformer,
    TransformerConfig,
    build,
)
from verify.networks.transformer import POSITIONS, Norm, sinusoids

EPS = 2.0**-52
CONFIGS: list[NetworkConfig] = [
    TransformerConfig(5, 4, width=8, heads=2, mlp_ratio=2),
    TransformerConfig(5, 4, width=8, heads=4, tied=True, padded=True, activation="relu"),
    LstmConfig(5, 4, width=6),
    LstmConfig(5, 4, width=6, layers=1, padded=True),
    TransformerConfig(5, 4, width=8, heads=2, mlp_ratio=2, positions="fixed"),
    TransformerConfig(5, 4, width=8, heads=2, mlp_ratio=2, positions="none", padded=True),
]
IDS = ["transformer", "transformer, tied, padded", "lstm", "lstm, padded", "fixed places", "no places, padded"]


def seeds(n: int, first: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(first + index) for index in range(n)]


def stack(config: NetworkConfig, n: int) -> Network:
    """Networks none of whose biases is 0 and none of whose gains 1, so that each of them matters."""
    found, generator = build(config.to_json(), (n,), seeds(n)).double(), torch.Generator().manual_seed(99)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return found


def with_positions(positions: str) -> Network:
    return stack(TransformerConfig(5, 4, width=8, heads=2, mlp_ratio=2, positions=positions), 1).member(0)


def contexts(config: NetworkConfig, *batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(config.n_tokens, (*batch, config.length), generator=generator)
    if config.padded:
        tokens[..., ::2, -1] = PAD
    at = torch.randint(config.length - 1, batch, generator=generator)
    return tokens.scatter(-1, at[..., None], MASK)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_property_shapes_and_normalisation(config: NetworkConfig) -> None:
    network, x = stack(config, 3), contexts(config, 6)
    log_prob = network(x)
    assert log_prob.shape == (3, 6, 5)
    assert network.states(x).shape == (3, 6, 4, config.width)
    torch.testing.assert_close(log_prob.exp().sum(-1), torch.ones(3, 6, dtype=torch.float64), rtol=0, atol=32 * EPS)
    assert network(contexts(config, 3, 6)).shape == (3, 6, 5)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_enumeration_masked_state_is_the_state_at_the_mask(config: NetworkConfig) -> None:
    network, x = stack(config, 3), contexts(config, 6)
    states, position = network.states(x), (x == MASK).int().argmax(-1)
    expected = states[:, torch.arange(6), position]
    bound = 1000 * config.width * EPS * float(states.detach().abs().max())  # roundings of a path, twice
    torch.testing.assert_close(network.masked_state(x), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_enumeration_a_member_is_the_network_alone(config: NetworkConfig) -> None:
    """Same function and gradients as in the stack, and the same initial values whatever stands beside it."""
    network, x = stack(config, 3), contexts(config, 3, 6)
    initial = build(config.to_json(), (3,), seeds(3)).double()
    gradients = torch.autograd.grad(network(x)[..., 1].mean(-1).sum(), list(network.parameters()))
    for index in range(3):
        alone = network.member(index)
        assert alone.stack == ()
        built = build(config.to_json(), (), seeds(1, index)).double()
        loss = alone(x[index])[..., 1].mean()
        torch.testing.assert_close(alone(x[index]), network(x)[index], rtol=0, atol=1000 * config.width * EPS)
        own = torch.autograd.grad(loss, list(alone.parameters()))
        for stacked, single in zip(gradients, own, strict=True):
            scale = 1000 * config.width * EPS * (1 + float(single.abs().max()))
            torch.testing.assert_close(stacked[index], single, rtol=0, atol=scale)
        for stacked, single in zip(initial.parameters(), built.parameters(), strict=True):
            assert torch.equal(stacked[index], single)


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_property_a_member_is_a_copy(config: NetworkConfig) -> None:
    network = stack(config, 2)
    before = [parameter.clone() for parameter in network.parameters()]
    with torch.no_grad():
        for changed in (network.member(1), network.copy()):
            for parameter in changed.parameters():
                parameter.add_(1)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_property_torch_func_vmap_over_members_and_examples(config: NetworkConfig) -> None:
    network, x = stack(config, 3), contexts(config, 6)
    alone = network.member(0)
    parameters = dict(network.named_parameters())
    bound = 1000 * config.width * EPS
    mapped = torch.func.vmap(lambda own: torch.func.functional_call(alone, own, (x,)))(parameters)
    torch.testing.assert_close(mapped, network(x), rtol=0, atol=bound)

    def loss(own: dict[str, Tensor], context: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(alone, own, (context[None],))[0, 2]
        return result

    own = {name: parameter.detach() for name, parameter in alone.named_parameters()}
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(own, x)
    mean = torch.autograd.grad(alone(x)[:, 2].mean(), list(alone.parameters()))
    for found, expected in zip(each.values(), mean, strict=True):
        atol = bound * (1 + float(expected.abs().max()))
        torch.testing.assert_close(found.mean(0), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("config", [config for config in CONFIGS if config.padded], ids=IDS[1::2])
def test_property_what_is_padded_is_not_seen(config: NetworkConfig) -> None:
    """Sentences of length 3 in a network of 4 positions: the same as in one of 3 with the same parameters."""
    network = stack(config, 1).member(0)
    short = build({**config.to_json(), "length": 3, "padded": False}).double()
    own = {name: p[:3] if name == "position" else p for name, p in network.state_dict().items()}
    short.load_state_dict(own)
    x = torch.tensor([[0, MASK, 3, PAD], [MASK, 4, 1, PAD]])
    torch.testing.assert_close(network(x), short(x[:, :3]), rtol=0, atol=1000 * config.width * EPS)
    assert bool((network.states(x)[:, 3] == 0).all())


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_property_every_token_of_the_context_is_seen(config: NetworkConfig) -> None:
    network = stack(config, 1).member(0)
    for place in (0, 2):
        x = torch.tensor([[2, MASK, 2, 2], [2, MASK, 2, 2]])
        x[1, place] = 3
        first, second = network(x)
        assert (first - second).abs().max().item() > 1e-6


@pytest.mark.parametrize("config", CONFIGS, ids=IDS)
def test_property_configurations_survive_json(config: NetworkConfig) -> None:
    read: dict[str, Any] = json.loads(json.dumps(config.to_json()))
    assert type(config).from_json(read) == config
    assert build(read).config == config


def test_closed_form_initial_deviations() -> None:
    config = TransformerConfig(40, 40, width=64, layers=2, heads=4, initial_scale=0.5)
    network = Transformer(config, (), seeds(1))
    weights = network.state_dict()
    for name, deviation in (
        ("token", 0.5),
        ("blocks.0.qkv.weight", 0.5 / 8),
        ("blocks.1.out.weight", 0.5 / 8 / 2),
        ("blocks.0.output.weight", 0.5 / 16 / 2),
        ("unembedding.weight", 0.5 / 8),
    ):
        n = weights[name].numel()
        # A sample deviation is off by 1/√(2n) relatively; five of these are passed once in a million draws.
        assert float(weights[name].std()) == pytest.approx(deviation, rel=5 / (2 * n) ** 0.5), name
    assert float(weights["blocks.0.qkv.bias"].abs().max()) == 0


def test_closed_form_fixed_encodings_are_sines_and_cosines_and_no_parameters() -> None:
    found = sinusoids(3, 5)
    angle = 2 * 1e4 ** (-2 / 5)
    torch.testing.assert_close(
        found[2, :4], torch.tensor([math.sin(2), math.cos(2), math.sin(angle), math.cos(angle)]).double()
    )
    names = {kind: {name for name, _ in with_positions(kind).named_parameters()} for kind in POSITIONS}
    assert names["learned"] - {"position"} == names["fixed"] == names["none"] == names["learned"] & names["fixed"]


@pytest.mark.parametrize("positions", POSITIONS)
def test_property_only_a_network_without_encodings_does_not_see_the_order(positions: str) -> None:
    network = with_positions(positions)
    apart = network(torch.tensor([[MASK, 0, 1, 2]])) - network(torch.tensor([[1, 2, MASK, 0]]))
    assert (float(apart.detach().abs().max()) < 1000 * 8 * EPS) == (positions == "none")


def test_closed_form_initial_values_of_an_lstm() -> None:
    network = Lstm(LstmConfig(40, 40, width=128, layers=2, initial_scale=0.5), (), seeds(1))
    half, seen = 64, set()
    for name, weight in network.state_dict().items():
        if name.endswith("bias"):
            expected = torch.zeros_like(weight)
            if name != "head_bias":
                expected[..., half : 2 * half] = 1  # of the forget gates, second of the four
            assert weight.equal(expected), name
            continue
        # Embeddings as they are; inputs of both directions and of the head are of the whole width, states of half.
        deviation = 0.5 if name == "token" else 0.5 / weight.shape[-2] ** 0.5
        seen.add(weight.shape[-2])
        for own in weight.reshape(-1, *weight.shape[-2:]):
            assert float(own.std()) == pytest.approx(deviation, rel=5 / (2 * own.numel()) ** 0.5), name
            assert float(own.mean()) == pytest.approx(0, abs=5 * deviation / own.numel() ** 0.5), name
    assert seen == {41, 2 * half, half}


@pytest.mark.parametrize("fast", [False, True])
def test_closed_form_a_variance_of_a_hundred_thousandth_is_halved_by_the_epsilon_of_the_normalisation(
    fast: bool,
) -> None:
    """x of mean 0 and variance ε = 1e-5 has variance ½ when normalised, as in torch.nn.LayerNorm."""
    x = torch.tensor([[1.0, -1.0] * 4], dtype=torch.float64) * 1e-5**0.5
    own = Norm((), 8, torch.float64)(x, fast=fast)
    torch.testing.assert_close(own, x / (2e-5) ** 0.5, rtol=64 * EPS, atol=0)
    torch.testing.assert_close(own, torch.nn.LayerNorm(8, dtype=torch.float64)(x), rtol=64 * EPS, atol=0)


@pytest.mark.parametrize(
    ("tokens", "match"),
    [
        ([[0, MASK, 5, 1]], "got 5 at row 0"),
        ([[0, MASK, PAD, PAD]], "PAD|got -2"),
        ([[0, 1, 2, 3]], "exactly one position"),
        ([[0, MASK, MASK, 3]], "exactly one position"),
        ([[0, MASK, 3]], "shape"),
    ],
)
@pytest.mark.parametrize("index", [0, 2])
def test_error_bad_contexts_are_explained(index: int, tokens: list[list[int]], match: str) -> None:
    config = CONFIGS[index]
    for network in (stack(config, 2), stack(config, 1).member(0)):
        with pytest.raises(ValueError, match=match):
            network(torch.tensor(tokens))


def test_error_in_the_data_of_a_later_member_is_not_read_as_another_members_row() -> None:
    x = contexts(CONFIGS[0], 2, 3)
    x[1, 0, 3] = PAD
    with pytest.raises(ValueError, match="got -2 at row 3"):
        stack(CONFIGS[0], 2)(x)


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"kind": "mamba"}, "kind"),
        ({"width": 7}, "heads a divisor of width"),
        ({"width": 8.0}, "width of type int"),
        ({"heads": True}, "heads of type int"),
        ({"depth": 3}, "depth"),
        ({"activation": "tanh"}, "activation"),
        ({"positions": "rotary"}, "positions one of"),
        ({"initial_scale": -1.0}, "initial_scale"),
        ({"layers": 0}, "layers"),
    ],
)
def test_error_configurations(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build({**CONFIGS[0].to_json(), **changed})


def test_error_others() -> None:
    with pytest.raises(ValueError, match="width even"):
        LstmConfig(5, 4, width=5)
    with pytest.raises(ValueError, match="kind 'lstm'"):
        LstmConfig.from_json(CONFIGS[0].to_json())
    with pytest.raises(ValueError, match=r"missing|n_tokens"):
        LstmConfig.from_json({"kind": "lstm"})
    with pytest.raises(ValueError, match="2 generators"):
        Lstm(LstmConfig(5, 4), (2,), seeds(3))
    with pytest.raises(ValueError, match="positive sizes"):
        Lstm(LstmConfig(5, 4), (0,))
    for wrong in (2, -1):
        with pytest.raises(IndexError, match="index into a stack"):
            stack(CONFIGS[0], 2).member(wrong)
