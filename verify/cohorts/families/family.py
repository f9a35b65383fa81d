"""What a family of random languages is: a law of languages of one shape, with a task and an architecture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from synthetic import DownstreamTask, Language
from verify.networks import Network, build
from verify.training import ContextTable, table_if_small

LEARNABLE = 0.1
"""Least learnable gap H(E p*) − L*, in nats, of a language of a family: below it there is next to nothing to learn."""

ATTEMPTS = 1000


@dataclass(frozen=True)
class Family:
    """A law of random languages of one shape.

    A language is drawn again until it uses all its tokens and its learnable gap is at least `LEARNABLE` (where it can
    be written out; a larger language is taken as it is).

    Attributes:
        name: of the family.
        construct: seed ↦ language, before anything is rejected.
        n_tokens: c of every language.
        task: name of the downstream task.
        padded: whether sentences differ in length.
        network: the architecture that is trained on it.
        positions: how transformers are told positions.
    """

    name: str
    construct: Callable[[np.random.Generator], Language]
    n_tokens: int
    task: str
    padded: bool
    network: Literal["transformer", "lstm"] = "transformer"
    positions: Literal["learned", "fixed", "none"] = "learned"

    def draw(self, seed: int) -> tuple[Language, ContextTable | None]:
        """Return a language of the family with its contexts, or None where they are too many to write out.

        Raises:
            ValueError: no language in 1000 draws has the tokens and the gap.
        """
        generator = np.random.default_rng(seed)
        for _ in range(ATTEMPTS):
            language = self.construct(generator)
            if language.n_tokens != self.n_tokens:
                continue
            table = table_if_small(language)
            if table is None or table.unigram_entropy - table.entropy_floor >= LEARNABLE:
                return language, table
        raise ValueError(
            f"expected a language of {self.n_tokens} tokens with a learnable gap of {LEARNABLE} nats among {ATTEMPTS} "
            f"of family {self.name}, got none; its construction is too nearly uniform"
        )

    def task_of(self, language: Language) -> DownstreamTask:
        return language.downstream[self.task]

    def networks(
        self,
        length: int,
        *,
        width: int,
        layers: int,
        heads: int,
        generators: Sequence[torch.Generator],
        initial_scale: float = 1.0,
    ) -> Network:
        """Return a stack of networks before training, one per generator, for languages of the family.

        Width counts the features of a final state, of both directions together in an LSTM, which has no heads.
        """
        config: dict[str, Any] = {
            "kind": self.network,
            "n_tokens": self.n_tokens,
            "length": length,
            "width": width,
            "layers": layers,
            "padded": self.padded,
            "initial_scale": initial_scale,
        }
        if self.network == "transformer":
            config |= {"heads": heads, "mlp_ratio": 2, "positions": self.positions}
        return build(config, (len(generators),), generators)
