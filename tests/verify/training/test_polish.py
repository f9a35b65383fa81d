"""Polishing keeps the raw checkpoint beside the polished one and takes noise out of it."""

from __future__ import annotations

import pytest
import torch

from tests.verify.training.examples import small_language, small_network
from verify.training.config import Training
from verify.training.diverged import AllDivergedError
from verify.training.excess import Reference, excess_loss
from verify.training.optimisers import SGD, AdamW
from verify.training.polish import polish
from verify.training.tables import context_table
from verify.training.trainer import Trainer

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
REFERENCE = Reference.enumerated(TABLE)
SEEDS = [0, 1]


@pytest.mark.parametrize("optimiser", [None, SGD(0.9)])
def test_property_both_ends_are_reported_and_the_excess_is_lower(optimiser: SGD | None) -> None:
    trainer = Trainer(small_network(LANGUAGE, SEEDS), LANGUAGE, Training(0.03, 8), SEEDS, table=TABLE)
    trainer.run(100)
    checkpoint = trainer.snapshot(dtype=torch.float32)
    before = [parameter.detach().clone() for parameter in checkpoint.parameters()]
    found = polish(
        checkpoint, LANGUAGE, REFERENCE, steps=200, rate=(0.02, 0.01), seeds=[10, 11], batch=32, optimiser=optimiser
    )
    for raw, old, given in zip(found.raw.parameters(), before, checkpoint.parameters(), strict=True):
        assert torch.equal(given, old)
        assert torch.equal(raw, old.double())
    assert torch.equal(found.raw_excess.estimate, excess_loss(checkpoint, REFERENCE).estimate)
    assert torch.equal(found.polished_excess.estimate, excess_loss(found.polished, REFERENCE).estimate)
    assert bool((found.polished_excess.estimate < found.raw_excess.estimate).all())
    flat = [torch.cat([p.detach().reshape(2, -1) for p in end.parameters()], 1) for end in (found.raw, found.polished)]
    torch.testing.assert_close(found.moved, (flat[1] - flat[0]).norm(dim=1), rtol=1e-12, atol=0)
    assert (found.training.labels, found.training.rate, found.steps, found.seeds) == (
        "soft",
        (0.02, 0.01),
        200,
        (10, 11),
    )
    assert found.training.optimiser == (optimiser or AdamW())
    assert found.training.schedule.factor(found.steps) == 0


def test_a_polish_that_diverges_says_so() -> None:
    with pytest.raises(AllDivergedError, match="lower the learning rate"):
        polish(small_network(LANGUAGE, 0), LANGUAGE, REFERENCE, steps=9, rate=1e9, seeds=[5], optimiser=SGD())
