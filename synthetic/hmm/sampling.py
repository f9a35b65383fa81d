"""Sampling from hidden Markov models, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.tokens import PAD

SAMPLE_CHUNK = 2**19
"""Tokens drawn at a time; part of what a seed means."""


@dataclass(frozen=True, eq=False)
class RowSampler:
    """Draws from the rows of a stochastic matrix by inversion; make one with `of`.

    With F the row's cumulative sums and u uniform on [0, 1), the outcome is #{k : F(k) ≤ u}, found by bisection. An
    outcome of probability zero has F(k) = F(k−1) and is never drawn; the law is exact up to float64 rounding of F and
    the 53 bits of u. Source: ours.
    """

    cumulative: Float[Tensor, " entry"]
    width: int

    @staticmethod
    def of(rows: Float[Tensor, "row column"]) -> RowSampler:
        """Prepare the cumulative sums, each row padded to a power of two with entries that no u reaches."""
        cumulative = rows.cumsum(1)
        # The quotient is exactly 1 from the last positive entry on, so that u < 1 never passes it.
        cumulative /= cumulative[:, -1:].clone()
        width = 1 << (rows.shape[1] - 1).bit_length()
        padded = torch.nn.functional.pad(cumulative, (0, width - rows.shape[1]), value=2.0)
        return RowSampler(padded.flatten(), width)

    def to(self, device: torch.device) -> RowSampler:
        return RowSampler(self.cumulative.to(device), self.width)

    def draw(self, rows: Int64[Tensor, " draw"], uniform: Float[Tensor, " draw"]) -> Int64[Tensor, " draw"]:
        """Return one outcome of each given row from its own uniform number."""
        base = rows * self.width
        index = base.clone()
        step = self.width // 2
        while step:
            index += (self.cumulative[index + (step - 1)] <= uniform) * step
            step //= 2
        return index - base


@dataclass(frozen=True, eq=False)
class HMMSampler:
    """Draws of states, tokens and lengths, each by inversion of its cumulative sums; make one with `of`."""

    transition: RowSampler
    emission: RowSampler
    start: RowSampler
    lengths: RowSampler
    length: int
    padded: bool

    @staticmethod
    def of(
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        lengths: int | Float[Tensor, " length"],
    ) -> HMMSampler:
        """Prepare the cumulative sums of a model's rows."""
        padded = isinstance(lengths, Tensor)
        law = lengths if isinstance(lengths, Tensor) else torch.ones_like(start[:1])
        move, emit, begin, end = (RowSampler.of(rows) for rows in (transition, emission, start[None], law[None]))
        return HMMSampler(move, emit, begin, end, len(law) if padded else int(lengths), padded)

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences on the generator's device, and put them on another."""
        most = max(1, SAMPLE_CHUNK // self.length)
        sizes = [most] * (n // most) + [n % most]
        return torch.cat([self._draw(size, generator).to(device) for size in sizes])

    def _draw(self, n: int, generator: torch.Generator) -> Int64[Tensor, "sentence position"]:
        device = generator.device
        move, emit, begin, end = (
            part.to(device) for part in (self.transition, self.emission, self.start, self.lengths)
        )
        uniform = torch.rand((2 * self.length + 1, n), generator=generator, device=device, dtype=torch.float64)
        states = begin.draw(torch.zeros(n, dtype=torch.int64, device=device), uniform[0])
        tokens = [emit.draw(states, uniform[1])]
        for t in range(1, self.length):
            states = move.draw(states, uniform[2 * t])
            tokens.append(emit.draw(states, uniform[2 * t + 1]))
        sentences = torch.stack(tokens, 1)
        if self.padded:
            last = end.draw(torch.zeros_like(states), uniform[-1])
            sentences[torch.arange(self.length, device=device) > last[:, None]] = PAD
        return sentences
