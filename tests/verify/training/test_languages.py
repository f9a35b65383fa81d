"""Stacks whose members have languages of their own: each is trained and measured as it would be alone."""

from dataclasses import replace

import pytest
import torch

from synthetic.hmm.random import sticky_hmm
from tests.verify.training.examples import EPS, small_network, stream
from verify.training.adversary import Adversary
from verify.training.batches import BatchStream
from verify.training.config import ConfigurationError, Training
from verify.training.excess import Reference, excess_loss
from verify.training.optimisers import SGD
from verify.training.tables import context_table
from verify.training.trainer import Trainer

LANGUAGES = [sticky_hmm(stream(seed), 2, 3, 4) for seed in (1, 2)]
SEEDS = [5, 6]
TRAINING = Training(rate=0.05, batch=8, optimiser=SGD(), precision="float64", prefetch=4)


@pytest.mark.parametrize("labels", ["sampled", "soft", "isotropic"])
@pytest.mark.parametrize("tables", [True, False], ids=["tables", "sampled sentences"])
def test_a_member_trains_as_it_would_alone(labels: str, tables: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not tables:
        monkeypatch.setattr("verify.training.tables.table_if_small", lambda language: None)
    config = replace(TRAINING, labels=labels)  # type: ignore[arg-type]
    network = small_network(LANGUAGES[0], SEEDS, torch.float64)
    together = Trainer(network, LANGUAGES, config, SEEDS)
    together.run(5)
    for member, (language, seed) in enumerate(zip(LANGUAGES, SEEDS, strict=True)):
        alone = Trainer(network.member(member), language, config, [seed])
        alone.run(5)
        # Products of stacked matrices may be summed in another order.
        assert torch.allclose(together.theta[member], alone.theta[0], rtol=0, atol=1e5 * EPS)


def test_an_adversary_acts_on_the_task_of_each_language() -> None:
    config = replace(TRAINING, adversary=Adversary(0.3, "hidden-state-at-2", fitted=8, validated=8))
    network = small_network(LANGUAGES[0], SEEDS, torch.float64)
    together = Trainer(network, LANGUAGES, config, SEEDS)
    together.run(3)
    for member, (language, seed) in enumerate(zip(LANGUAGES, SEEDS, strict=True)):
        alone = Trainer(network.member(member), language, config, [seed])
        alone.run(3)
        assert torch.allclose(together.theta[member], alone.theta[0], rtol=0, atol=1e6 * EPS)
    with pytest.raises(ConfigurationError, match="it has hidden-state-at-2"):
        Trainer(network, LANGUAGES, replace(config, adversary=Adversary(0.3, "root")), SEEDS)


def test_resuming_is_exact_with_several_languages() -> None:
    network = small_network(LANGUAGES[0], SEEDS, torch.float64)
    whole, first, second = (Trainer(network, LANGUAGES, TRAINING, SEEDS) for _ in range(3))
    whole.run(6)
    first.run(3)
    second.restore(*first.state())
    second.run(6)
    assert second.theta.equal(whole.theta)


def test_the_excess_of_each_member_is_that_on_its_own_contexts() -> None:
    shorter = sticky_hmm(stream(3), 2, 3, 4)
    references = [
        Reference.enumerated(context_table(LANGUAGES[0])),
        Reference.enumerated(context_table(LANGUAGES[1])),
    ]
    network = small_network(LANGUAGES[0], SEEDS, torch.float64)
    found = excess_loss(network, Reference.each(references))
    for member, reference in enumerate(references):
        alone = excess_loss(network.member(member), reference)
        assert float(abs(found.estimate[member] - alone.estimate)) <= 1e3 * EPS
        assert float(abs(found.share[member] - alone.share)) <= 1e4 * EPS
    uneven = [Reference.sampled(LANGUAGES[0], 20, stream(0)), Reference.sampled(shorter, 7, stream(0))]
    found = excess_loss(network, Reference.each(uneven))
    for member, reference in enumerate(uneven):
        alone = excess_loss(network.member(member), reference)
        assert float(abs(found.estimate[member] - alone.estimate)) <= 1e3 * EPS


@pytest.mark.parametrize(
    "references",
    [[], [Reference.enumerated(context_table(LANGUAGES[0])), Reference.sampled(LANGUAGES[1], 5, stream(0))]],
)
def test_references_of_several_kinds_are_refused(references: list[Reference]) -> None:
    with pytest.raises(ValueError, match="one per member"):
        Reference.each(references)


def test_neither_one_language_nor_one_per_member_is_refused() -> None:
    network = small_network(LANGUAGES[0], [1, 2, 3], torch.float64)
    with pytest.raises(ValueError, match="expected one language or 3"):
        Trainer(network, LANGUAGES, TRAINING, [1, 2, 3])
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        Trainer(network, sticky_hmm(stream(1), 2, 4, 4), TRAINING, [1, 2, 3])


def test_as_many_draws_as_members() -> None:
    def draw(n: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        return (torch.rand(n, generator=generator),)

    with pytest.raises(ValueError, match="each of 3 members, got 2"):
        BatchStream([draw, draw], [stream(0), stream(1), stream(2)], 4, 2)
