"""The loop: as torch.optim would do it, and member by member as each would alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.verify.training.examples import EPS, small_network
from tests.verify.training.trainers import LANGUAGE, PLAIN, SEEDS, TABLE, trainer
from verify.networks import Transformer, TransformerConfig
from verify.training import SGD, Adversary, ConfigurationError, Trainer, Training
from verify.training.data import ExampleStream
from verify.training.labels import cross_entropy


def test_cross_library_the_whole_loop() -> None:
    """A falling rate, momentum and the curve, against torch.optim on the same examples."""
    seed, steps, rate = 5, 12, 0.2
    config = Training(rate, 4, optimiser=SGD(0.9), decay=10, precision="float64", record_every=3)
    found = trainer(config, seed)
    found.run(steps)
    reference = small_network(LANGUAGE, seed).double()
    examples = ExampleStream(LANGUAGE, TABLE, [seed], stack=(), batch=4)
    optimiser = torch.optim.SGD(reference.parameters(), lr=rate, momentum=0.9)
    factors = torch.optim.lr_scheduler.LambdaLR(optimiser, config.factor)
    losses = []
    for _ in range(steps):
        batch = examples.next()
        loss = cross_entropy(reference(batch.contexts), batch.targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        factors.step()
        losses.append(float(loss.detach()))
    # A gradient errs by at most 10⁴ roundings; errors of a step grow by less than 1 + rate/(1 − momentum) · 1 a step.
    bound = 1e4 * EPS * steps * 3**steps
    assert bound < 1e-4
    for own, other in zip(found.network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=bound)
    torch.testing.assert_close(
        found.curve[:, 0], torch.tensor(losses, dtype=torch.float64).reshape(-1, 3).mean(1), rtol=0, atol=bound
    )


@pytest.mark.parametrize("labels", ["sampled", "isotropic"])
def test_property_members_train_as_they_would_alone(labels: Any) -> None:
    """To rounding: a product of three matrices at once adds up in another order than one at a time."""
    steps = 8
    config = replace(PLAIN, labels=labels, precision="float64", rate=(0.1, 0.05, 0.2))
    together = trainer(config)
    together.run(steps)
    for member, seed in enumerate(SEEDS):
        assert isinstance(config.rate, tuple)
        for kind in (seed, [seed]):
            alone = trainer(replace(config, rate=config.rate[member]), kind)
            alone.run(steps)
            # A gradient errs by at most 10⁴ roundings, and errors grow by less than a factor two a step.
            bound = 1e4 * EPS * steps * 2**steps
            torch.testing.assert_close(together.theta[member], alone.theta[0], rtol=0, atol=bound)
            torch.testing.assert_close(together.curve[:, member], alone.curve[:, 0], rtol=0, atol=bound)


def test_property_the_given_network_is_left_alone_and_snapshots_are_copies() -> None:
    network = small_network(LANGUAGE, SEEDS)
    before = network.token.detach().clone()
    found = Trainer(network, LANGUAGE, PLAIN, SEEDS, table=TABLE)
    found.run(3)
    assert torch.equal(network.token, before)
    snapshot = found.snapshot()
    own = snapshot.get_parameter("token").detach().clone()
    assert own.dtype == torch.float64
    assert torch.equal(own, found.network.get_parameter("token").double())
    found.run(4)
    assert torch.equal(snapshot.get_parameter("token"), own)


def test_construction_errors() -> None:
    for seeds in ([5, 6], [5, 6, 6]):
        with pytest.raises(ValueError, match="expected 3 different seeds"):
            Trainer(small_network(LANGUAGE, SEEDS), LANGUAGE, PLAIN, seeds)
    with pytest.raises(ValueError, match="flatten the seeds to one axis"):
        Trainer(Transformer(TransformerConfig(3, 4), (2, 2)), LANGUAGE, PLAIN, [1, 2, 3, 4])
    with pytest.raises(ValueError, match="expected one learning rate or 3"):
        trainer(replace(PLAIN, rate=(0.1, 0.2)))
    with pytest.raises(ConfigurationError, match="expected a CUDA device"):
        trainer(replace(PLAIN, precision="bfloat16"))
    with pytest.raises(ConfigurationError, match="expected an adversary on a task of the language, got 'none'"):
        trainer(replace(PLAIN, adversary=Adversary(1.0, "none")))
