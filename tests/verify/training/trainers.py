"""The trainer that the tests of the loop, of resuming and of divergence vary."""

from __future__ import annotations

from typing import Any

from tests.verify.training.examples import small_language, small_network
from verify.training import SGD, Trainer, Training, context_table

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
SEEDS = [5, 6, 7]
PLAIN = Training(0.1, 4, optimiser=SGD(), record_every=4, prefetch=3)


def trainer(config: Training = PLAIN, seeds: list[int] | int = SEEDS, **options: Any) -> Trainer:
    listed = [seeds] if isinstance(seeds, int) else seeds
    return Trainer(small_network(LANGUAGE, seeds), LANGUAGE, config, listed, **{"table": TABLE, **options})
