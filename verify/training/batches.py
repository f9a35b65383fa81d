"""Endless batches for every seed of a stack, many steps drawn at once, resumable to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from verify.streams import stream_seed

Draw = Callable[[int, torch.Generator], tuple[Tensor, ...]]
"""Draws n independent examples: tensors whose first axis is the example."""


def generators(seeds: Sequence[int], purpose: str, device: torch.device | str = "cpu") -> list[torch.Generator]:
    """Return one generator per seed for one purpose; a member's stream depends on its own seed alone."""
    return [torch.Generator(device).manual_seed(stream_seed(seed, "training", purpose)) for seed in seeds]


def generator_states(generators: Sequence[torch.Generator]) -> Tensor:
    """Return the states of generators, uint8 of shape (member, byte)."""
    return torch.stack([generator.get_state() for generator in generators])


def restore_generators(generators: Sequence[torch.Generator], states: Tensor) -> None:
    """Put generators into states that `generator_states` returned.

    Raises:
        ValueError: there is not one row per generator.
    """
    if states.ndim != 2 or len(states) != len(generators):
        raise ValueError(
            f"expected the states of {len(generators)} generators, one row each, got shape {tuple(states.shape)}; "
            "restore with the seeds of the run that was saved"
        )
    for generator, state in zip(generators, states.cpu(), strict=True):
        # torch 2.13 reads past the end of a state that is a view of a larger tensor, and crashes.
        generator.set_state(state.clone())


class BatchStream:
    """Batches of fresh examples, one independent stream per member of a stack.

    A block of `prefetch` steps is drawn per call of `draw`, which spreads the cost of a call over many steps. The
    state is that of the generators before the current block, and the place inside it: a restored stream draws the
    block again. Source: ours.

    Attributes:
        draws: draws n examples from a generator, one for each member; a single one serves all.
        generators: one per member.
        batch: examples per step and member.
        prefetch: steps per block; part of what decides the stream.

    Raises:
        ValueError: batch or prefetch is not positive, there is no member, or there are neither one nor as many draws.
    """

    def __init__(
        self, draws: Draw | Sequence[Draw], generators: Sequence[torch.Generator], batch: int, prefetch: int
    ) -> None:
        if batch < 1 or prefetch < 1 or not generators:
            raise ValueError(
                f"expected batch >= 1, prefetch >= 1 and at least one member, got batch {batch}, prefetch {prefetch} "
                f"and {len(generators)} members; give one generator per seed"
            )
        self.draws = [draws] * len(generators) if callable(draws) else list(draws)
        if len(self.draws) != len(generators):
            raise ValueError(
                f"expected one draw for each of {len(generators)} members, got {len(self.draws)}; give one per seed"
            )
        self.generators = list(generators)
        self.batch = batch
        self.prefetch = prefetch
        self._block: tuple[Tensor, ...] = ()
        self._before = torch.empty(0)
        self._place = prefetch

    def next(self) -> tuple[Tensor, ...]:
        """Return the next batch: tensors of shape (member, example, ...)."""
        if self._place == self.prefetch:
            self._before = generator_states(self.generators)
            self._block, self._place = self._drawn(), 0
        rows = tuple(part[:, self._place] for part in self._block)
        self._place += 1
        return rows

    def state(self) -> tuple[Tensor, int]:
        """Return the states of the generators before the block, (member, byte), and the place in the block."""
        used_up = self._place == self.prefetch
        return generator_states(self.generators) if used_up else self._before.clone(), self._place

    def restore(self, states: Tensor, place: int) -> None:
        """Go on where `state` was taken.

        Raises:
            ValueError: the place is outside a block, or the number of members differs.
        """
        if not 0 <= place <= self.prefetch:
            raise ValueError(
                f"expected a place in 0..{self.prefetch} of a block, got {place}; restore with the batch and prefetch "
                "of the run that was saved"
            )
        restore_generators(self.generators, states)
        self._before = states.cpu().clone()
        self._place = place
        if place < self.prefetch:
            self._block = self._drawn()

    def _drawn(self) -> tuple[Tensor, ...]:
        n = self.prefetch * self.batch
        rows = [draw(n, generator) for draw, generator in zip(self.draws, self.generators, strict=True)]
        stacked = (torch.stack(parts) for parts in zip(*rows, strict=True))
        return tuple(part.reshape(len(rows), self.prefetch, self.batch, *part.shape[2:]) for part in stacked)
