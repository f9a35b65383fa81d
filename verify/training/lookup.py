"""Lookup tables: models without parameters whose excess loss is zero and whose features are whatever the table says.

The paper's lookup table is a model of minimal loss that has learnt nothing it could transfer. With the exact
conditionals of an enumerable language it needs no training.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic.enumeration import ImpossibleContextError
from synthetic.tokens import PAD, mask
from verify.training.tables import ContextTable

Representation = Literal["prob", "log-prob", "random"]
LOG_FLOOR = -20.0
"""Feature log p*(y|x) of a token that is impossible, or less probable than e^−20."""


class LookupTable(nn.Module):
    r"""A table of every context: p*(· | x) is the model's answer, and a code of the context its feature.

    Features: `prob` p*(· | x) itself, (token,); `log-prob` max(log p*, LOG_FLOOR), (token,); `random` an independent
    Gaussian vector N(0, I/width) of every context, which says which context it is and nothing else.

    Args:
        table: contexts with their conditionals.
        representation: prob, log-prob or random.
        width: features of a random code; the number of tokens otherwise.
        generator: draws the random codes.

    Attributes:
        width: features of a context.

    Raises:
        ValueError: the representation is unknown, or a random code lacks width or generator, or another has them.
    """

    def __init__(
        self,
        table: ContextTable,
        representation: Representation,
        *,
        width: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if representation not in {"prob", "log-prob", "random"}:
            raise ValueError(f"expected a representation prob, log-prob or random, got {representation!r}")
        if (width is None, generator is None) != ((representation != "random"),) * 2:
            raise ValueError(
                f"expected width and generator for a random code and for no other, got {representation!r}, width "
                f"{width}, generator {generator}"
            )
        self.table = table
        self.representation = representation
        self._log_prob: Tensor = table.conditional.log()
        if width is not None and generator is not None:
            shape = (len(table.contexts), width)
            self._codes = torch.randn(shape, generator=generator, dtype=torch.float64) / width**0.5
        else:
            self._codes = table.conditional if representation == "prob" else self._log_prob.clamp(min=LOG_FLOOR)
        self.width = self._codes.shape[1]

    def forward(self, contexts: Int64[Tensor, "example position"]) -> Float[Tensor, "example token"]:
        """Return log p*(y | x), −∞ for impossible tokens; errors as in `index`. Exact."""
        return self._log_prob[self.index(contexts)]

    def masked_state(self, contexts: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        """Return the code of each context; errors as in `index`."""
        code: Tensor = self._codes[self.index(contexts)]
        return code

    def states(self, sentences: Int64[Tensor, "example position"]) -> Float[Tensor, "example position feature"]:
        """Return for every position the code of x_{−t}, the sentence with that position masked; zero at padding.

        Errors as in `index`; positions that the language never masks have no code.
        """
        n, length = sentences.shape
        found = torch.zeros(n, length, self.width, dtype=torch.float64)
        for t in range(length):
            rows = (sentences[:, t] != PAD).nonzero()[:, 0]
            if len(rows):
                found[rows, t] = self.masked_state(mask(sentences[rows], torch.full_like(rows, t)))
        return found

    def index(self, contexts: Int64[Tensor, "example position"]) -> Int64[Tensor, " example"]:
        """Return the row of each context in the table.

        Raises:
            ImpossibleContextError: a context is not in the table, having probability zero.
        """
        size = len(self.table.contexts)
        distinct, group = torch.unique(torch.cat([self.table.contexts, contexts]), dim=0, return_inverse=True)
        row = torch.full((len(distinct),), -1)
        row[group[:size]] = torch.arange(size)
        found = row[group[size:]]
        if bool((found < 0).any()):
            bad = contexts[int((found < 0).nonzero()[0])]
            raise ImpossibleContextError(
                f"expected contexts of positive probability, got {bad.tolist()}, which is not in the table; mask "
                "one of the language's masked positions of a sampled sentence"
            )
        return found
