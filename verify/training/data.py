"""Fresh masked examples of any language for every seed of a stack, with the exact conditionals where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic import Language
from verify.training.batches import BatchStream, Draw, generators
from verify.training.tables import ContextTable

BLOCK_ENTRIES = 2**21
"""Numbers of one member's block above which fewer steps are drawn at once."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples of the masked-token task for every member.

    Attributes:
        contexts: x_{−t}.
        targets: y ~ p*(· | x_{−t}).
        conditional: p*(y | x_{−t}), in the dtype of training; None unless asked for.
    """

    contexts: Int64[Tensor, "*stack example position"]
    targets: Int64[Tensor, "*stack example"]
    conditional: Float[Tensor, "*stack example token"] | None


class ExampleStream:
    """An endless stream of `Batch`es of fresh examples, one independent stream per seed.

    With tables, an example is an index into them, and p* is looked up; else the language draws sentences and, if
    `conditional`, works p* out for a block of steps at once. Members may have languages of their own. Contexts and
    targets are the same whether p* is asked for or not, so that runs on sampled and on soft labels see the same
    examples. Source: ours.

    Args:
        language: one for all members, or one per member, of the same tokens and length.
        table: their contexts, if all are small enough (`table_if_small`).
        seeds: one per member of the stack.
        stack: () for a single seed, or (R,).
        batch: examples per step and member.
        conditional: whether batches carry p*.
        prefetch: steps drawn at once; fewer when a block would hold more than BLOCK_ENTRIES numbers.
        dtype: of p*.
        device: of the batches.
    """

    def __init__(
        self,
        language: Language | Sequence[Language],
        table: ContextTable | Sequence[ContextTable] | None,
        seeds: Sequence[int],
        *,
        stack: tuple[int, ...],
        batch: int,
        conditional: bool = False,
        prefetch: int = 64,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self._stack = stack
        self._device = torch.device(device)
        self._dtype = dtype
        self._contexts: Tensor | None = None
        self._conditional: Tensor | None = None
        languages = [language] if isinstance(language, Language) else list(language)
        draws: list[Draw] = []
        if table is not None:
            tables = [table] if isinstance(table, ContextTable) else list(table)
            self._contexts = torch.cat([own.contexts for own in tables]).to(device)
            if conditional:
                self._conditional = torch.cat([own.conditional for own in tables]).to(device, dtype)
            draws = _table_draws(tables)
            width = 2
        else:
            draws = [language_draw(own, dtype if conditional else None) for own in languages]
            # The same with and without p*, or the examples would differ.
            width = languages[0].length + 1 + languages[0].n_tokens
        steps = max(1, min(prefetch, BLOCK_ENTRIES // (batch * width)))
        own = draws if len(draws) > 1 else draws[0]
        self._rows = BatchStream(own, generators(seeds, "examples"), batch, steps)

    def next(self) -> Batch:
        """Return the next batch."""
        first, targets, *rest = (self._shaped(part) for part in self._rows.next())
        if self._contexts is None:
            return Batch(first, targets, rest[0] if rest else None)
        conditional = None if self._conditional is None else self._conditional[first]
        return Batch(self._contexts[first], targets, conditional)

    def state(self) -> tuple[Tensor, int]:
        """Return where the stream stands, as `BatchStream.state` does."""
        return self._rows.state()

    def restore(self, states: Tensor, place: int) -> None:
        """Go on where `state` was taken; errors as in `BatchStream.restore`."""
        self._rows.restore(states, place)

    def _shaped(self, part: Tensor) -> Tensor:
        return part.reshape(*self._stack, *part.shape[1:]).to(self._device)


def _table_draws(tables: Sequence[ContextTable]) -> list[Draw]:
    """Return the draws of tables that lie one after the other: (row, target)."""

    def shifted(table: ContextTable, first: int) -> Draw:
        def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
            index, target = table.draw(n, generator)
            return index + first, target

        return draw

    ends = accumulate(len(table.contexts) for table in tables)
    return [shifted(table, end - len(table.contexts)) for table, end in zip(tables, ends, strict=True)]


def language_draw(language: Language, dtype: torch.dtype | None) -> Draw:
    """Return a draw of (contexts, targets) from the language, followed by p* in `dtype` if that is given."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        sample = language.sample_masked(n, generator)
        if dtype is None:
            return sample.contexts, sample.targets
        return sample.contexts, sample.targets, language.masked_conditional(sample.contexts).to(dtype)

    return draw
