"""Fine-tuning: what it learns, members of a stack as they are alone, errors."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from synthetic.closed_form import PairLanguage
from tests.verify.downstream.networks import Mixer, stream
from verify.downstream import FineTuning, fine_tune
from verify.downstream.fine_tune import FineTuned
from verify.runs import DivergedRunError

SETTINGS = FineTuning(steps=20, batch=8, learning_rate=1e-2)


def tables(members: int) -> tuple[Tensor, Tensor]:
    """Sentences of two tokens for every member, and labels of its own: the parity of the tokens before position k."""
    inputs = torch.randint(0, 2, (members, 24, 5), generator=stream(0))
    labels = torch.stack([inputs[k, :, : k + 1].sum(-1) % 2 for k in range(members)])
    return inputs, labels


def member(network: Mixer, index: int) -> Mixer:
    own = Mixer(2, 5, 4, (), 0).double()
    with torch.no_grad():
        for mine, stacked in zip(own.parameters(), network.parameters(), strict=True):
            mine.copy_(stacked[index])
    return own


def tuned(network: Mixer, inputs: Tensor, labels: Tensor, generators: Any) -> FineTuned:
    return fine_tune(network, inputs, labels, inputs, labels, 2, generators, SETTINGS)


def test_a_member_learns_its_own_task_from_its_own_batches() -> None:
    inputs, labels = tables(3)
    network = Mixer(2, 5, 4, (3,), 1).double()
    found = tuned(network, inputs, labels, [stream(k) for k in range(3)])
    for k in range(3):
        alone = tuned(member(network, k), inputs[k], labels[k], stream(k))
        # Equal numbers in another order of summation, 20 steps of it.
        torch.testing.assert_close(found.losses[:, k], alone.losses, rtol=1e-8, atol=0)
        assert found.accuracy[k] == alone.accuracy


def test_one_task_for_all_is_the_same_task_given_to_each() -> None:
    inputs, labels = (part[:1] for part in tables(1))
    network = Mixer(2, 5, 4, (2,), 1).double()
    shared = tuned(network, inputs[0], labels[0], stream(5))
    each = tuned(network, inputs.expand(2, -1, -1), labels.expand(2, -1), [stream(5), stream(5)])
    torch.testing.assert_close(each.losses, shared.losses, rtol=1e-8, atol=0)


def test_mutant_labels_of_another_member_are_another_task() -> None:
    inputs, labels = tables(2)
    network = Mixer(2, 5, 4, (2,), 1).double()
    found, mixed = (tuned(network, inputs, y, [stream(0), stream(1)]) for y in (labels, labels.flip(0)))
    assert bool((found.losses[-1] != mixed.losses[-1]).all())


@pytest.mark.parametrize("given", [1, 3])
def test_generators_that_do_not_fit_the_tasks_are_refused(given: int) -> None:
    inputs, labels = tables(2)
    with pytest.raises(ValueError, match=rf"expected 2 generators .* got {given}; give one"):
        tuned(Mixer(2, 5, 4, (2,), 1).double(), inputs, labels, [stream(k) for k in range(given)])


def test_fine_tuning_learns_what_no_head_can_and_leaves_the_network_alone() -> None:
    task = PairLanguage(4, 1.5).downstream["pair-product"]
    samples = task.sample(128, stream(0)), task.sample(256, stream(1))
    (train, y), (test, z) = ((drawn.inputs, (drawn.labels > 0).long()) for drawn in samples)
    network = Mixer(2, 5, 8, (2,), 1)
    before = [parameter.clone() for parameter in network.parameters()]
    settings = FineTuning(steps=150, batch=32, learning_rate=2e-2, head_learning_rate=2e-2)
    found = fine_tune(network, train, y, test, z, 2, stream(2), settings)
    assert found.accuracy.min() > 0.95
    assert found.losses.shape == (150, 2)
    # ln 2 at the start, where the head is 0: rounding of float32.
    torch.testing.assert_close(found.losses[0], torch.full((2,), math.log(2)))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert torch.equal(found.losses, fine_tune(network, train, y, test, z, 2, stream(2), settings).losses)
    assert fine_tune(network, train, y, test, z, 2, stream(2), FineTuning(steps=0)).losses.shape == (0, 2)


def test_errors() -> None:
    with pytest.raises(ValueError, match="expected steps >= 0"):
        FineTuning(batch=0)
    inputs, labels = tables(1)
    network = Mixer(2, 5, 4, (1,), 1)
    with torch.no_grad():
        network.mixing.fill_(math.nan)
    with pytest.raises(DivergedRunError, match="at step 0; use a smaller learning rate"):
        tuned(network, inputs, labels, [stream(0)])
