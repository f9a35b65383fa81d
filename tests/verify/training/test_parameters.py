"""Property: θ is the network; moving one moves the other, and nothing else."""

from __future__ import annotations

import pytest
import torch

from tests.verify.training.examples import small_language, small_network, stream
from verify.networks import Transformer, TransformerConfig
from verify.training import FlatParameters, network_at
from verify.training.parameters import members_of, per_member

LANGUAGE = small_language()
CONTEXTS = LANGUAGE.enumerate_contexts().contexts


@pytest.mark.parametrize("seeds", [3, [3, 4]])
def test_property_theta_moves_the_copy_and_not_the_network(seeds: int | list[int]) -> None:
    network = small_network(LANGUAGE, seeds)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    flat = FlatParameters(network, torch.float64, "cpu")
    assert torch.equal(flat.network(CONTEXTS), network.copy().double()(CONTEXTS))
    flat.theta.mul_(2)
    for own, old, given in zip(flat.network.parameters(), before, network.parameters(), strict=True):
        assert torch.equal(own, 2 * old.double())
        assert torch.equal(given, old)
    assert torch.equal(network_at(network, flat.theta, dtype=torch.float64)(CONTEXTS), flat.network(CONTEXTS))


def test_property_gradients_come_in_the_order_of_the_parameters() -> None:
    network = small_network(LANGUAGE, [3, 4], torch.float64)
    flat = FlatParameters(network, torch.float64, "cpu")
    found = flat.gradient(flat.network(CONTEXTS)[..., 0].sum())
    reference = torch.autograd.grad(network(CONTEXTS)[..., 0].sum(), list(network.parameters()))
    assert torch.equal(found, torch.cat([part.reshape(2, -1) for part in reference], 1))
    at_states = flat.gradient(flat.network.states(CONTEXTS).sum())
    head = sum(parameter[0].numel() for parameter in network.unembedding.parameters())
    assert at_states.shape == flat.theta.shape
    assert not bool(at_states[:, -head:].any()), "the head has no part in the states"


def test_property_shared_parameters_stay_shared() -> None:
    config = TransformerConfig(3, 4, width=4, layers=1, heads=1, tied=True)
    network = Transformer(config, (2,), [stream(0), stream(1)])
    network.register_parameter("again", network.token)
    flat = FlatParameters(network, torch.float32, "cpu")
    assert flat.network.get_parameter("again") is flat.network.get_parameter("token")
    assert flat.theta.shape[1] == network.n_parameters()


def test_one_number_or_one_per_member() -> None:
    like = torch.zeros(3, 5, dtype=torch.float64)
    assert per_member(2.0, 3, what="rate", like=like).tolist() == [2.0] * 3
    assert per_member((1.0, 2.0, 3.0), 3, what="rate", like=like).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="expected one rate or 3, one per seed"):
        per_member((1.0, 2.0), 3, what="rate", like=like)


def test_errors() -> None:
    config = TransformerConfig(3, 4, width=4, layers=1, heads=1)
    square = Transformer(config, (2, 2))
    for refuse in (members_of, lambda network: FlatParameters(network, torch.float32, "cpu")):
        with pytest.raises(ValueError, match="flatten the seeds to one axis"):
            refuse(square)
    stray = Transformer(config, (2,))
    stray.register_parameter("stray", torch.nn.Parameter(torch.zeros(3)))
    with pytest.raises(ValueError, match=r"got stray of shape \(3,\); give it one entry per seed"):
        FlatParameters(stray, torch.float32, "cpu")
    with pytest.raises(ValueError, match="give the rows of the same kind of network"):
        network_at(small_network(LANGUAGE, [0, 1]), torch.zeros(2, 3), dtype=torch.float64)
