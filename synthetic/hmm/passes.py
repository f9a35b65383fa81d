"""Forward and backward passes of a hidden Markov model over batches: conditionals, posteriors, likelihoods.

With e_t(s) = E(s, x_t), or one where x_t is masked, the prediction and the backward message are

    f_1 = start,  f_{t+1} = (f_t ∘ e_t) A,      b_ℓ = 1,  b_{t−1} = A (e_t ∘ b_t),      ℓ the sentence's length,

so that P(x_{−t}, v) = Σ_s f_t(s) b_t(s) E(s, v) and P(x, s_t = s) = f_t(s) b_t(s) e_t(s). They are computed in scaled
float64; sentences in which a digit might have been lost to underflow are computed again in wide numbers. A batch is
cut into chunks of rows, which the threads share out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.hmm.scaled import NEW_MEMORY, Room, ScaledArithmetic
from synthetic.hmm.threads import balanced, on_threads
from synthetic.hmm.wide import WideArithmetic
from synthetic.tokens import PAD

Reading = Literal["tokens", "states"]
"""What is read off the messages at a position: the law of its token given the others, or of its state given all."""

CHUNK = 2**20
"""Numbers a chunk of rows keeps: few enough for the caches, yet rows enough that steps are products more than calls."""

FEWEST = 2**15
"""Numbers of a message below which a chunk is not cut: starting the threads takes longer than they save."""


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes of one model on one device.

    Attributes:
        transition: A(s, s') = Pr(next state s' | state s).
        emission: E(s, v) = Pr(token v | state s).
        start: law of the first state.
        padded: whether sentences may end in PAD.
    """

    transition: Float[Tensor, "state state"]
    emission: Float[Tensor, "state token"]
    start: Float[Tensor, " state"]
    padded: bool

    @cached_property
    def scaled(self) -> ScaledArithmetic:
        """The fast arithmetic."""
        return ScaledArithmetic(self.transition, self.emission, self.start)

    def wide(self, *, logarithmic: bool) -> WideArithmetic:
        """The arithmetic without underflow."""
        return WideArithmetic(self.transition, self.emission, self.start, logarithmic=logarithmic)

    def every_position(
        self, rows: Int64[Tensor, "row position"], reading: Reading, *, logarithmic: bool
    ) -> tuple[Float[Tensor, "row position outcome"], Bool[Tensor, "row position"]]:
        """Return the reading at every position, and where it is defined; rows of padding are 0 (−∞) and defined."""
        out = self.start.new_empty((*rows.shape, self._outcomes(reading)))
        possible, scaled = torch.ones_like(rows, dtype=torch.bool), self.scaled

        def work(chunk: slice) -> None:
            tokens, part = rows[chunk], out[chunk]
            defined, sound = self._sweep(scaled, tokens, reading, part)
            if logarithmic:
                part.log_()
            for bad in self._lost(sound):
                again = torch.empty_like(part[bad])
                defined[bad], _ = self._sweep(self.wide(logarithmic=logarithmic), tokens[bad], reading, again)
                part[bad] = again
            if self.padded:
                part.masked_fill_((tokens == PAD)[:, :, None], -torch.inf if logarithmic else 0.0)
            possible[chunk] = defined

        self._each(len(rows), rows.shape[1] * len(self.start), work)
        return out, possible

    def one_position(
        self,
        rows: Int64[Tensor, "row position"],
        positions: Int64[Tensor, " row"],
        reading: Reading,
        *,
        logarithmic: bool,
    ) -> tuple[Float[Tensor, "row outcome"], Bool[Tensor, " row"]]:
        """Return the reading at one position of each row, and where it is defined."""
        out = self.start.new_empty((len(rows), self._outcomes(reading)))
        possible, scaled = torch.ones_like(positions, dtype=torch.bool), self.scaled
        # In the order of the positions, those whose message has arrived are always at one end of the batch.
        order = positions.argsort(stable=True)

        def work(chunk: slice) -> None:
            index = order[chunk]
            tokens, at = rows[index], positions[index]
            part = out.new_empty((len(index), out.shape[1]))
            defined, sound = self._meet(scaled, tokens, at, reading, part)
            if logarithmic:
                part.log_()
            for bad in self._lost(sound):
                again = torch.empty_like(part[bad])
                wide = self.wide(logarithmic=logarithmic)
                defined[bad], _ = self._meet(wide, tokens[bad], at[bad], reading, again)
                part[bad] = again
            out[index], possible[index] = part, defined

        self._each(len(rows), 4 * len(self.start) + out.shape[1], work)
        return out, possible

    def log_prob(self, rows: Int64[Tensor, "row position"]) -> Float[Tensor, " row"]:
        """Return log Σ_s start(s) e_1(s) b_1(s), the log-probability given the length."""
        out, scaled = self.start.new_empty(len(rows)), self.scaled

        def work(chunk: slice) -> None:
            tokens = rows[chunk]
            total, sound = self._total(scaled, tokens)
            for bad in self._lost(sound):
                total[bad], _ = self._total(self.wide(logarithmic=True), tokens[bad])
            out[chunk] = total

        self._each(len(rows), len(self.start), work)
        return out

    def _each(self, rows: int, numbers: int, work: Callable[[slice], None]) -> None:
        """Do the work on chunks of so many numbers a row: on the threads of the CPU, at least one each, or in turn."""
        share = -(-rows // torch.get_num_threads()) if self.start.device.type == "cpu" else rows
        most = max(1, FEWEST // len(self.start), min(CHUNK // numbers, share))
        on_threads(work, list(balanced(rows, most)), self.start.device)

    def _sweep(
        self, arithmetic: Any, rows: Int64[Tensor, "row position"], reading: Reading, out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One pass forward that is kept, and one backward that reads off every position."""
        tokens, pad = self._factors(rows), rows == PAD
        read: Callable[..., tuple[Tensor, Tensor]] = getattr(arithmetic, f"read_{reading}")
        scratch, *memory = self.start.new_empty(rows.shape[1] + 1, len(rows), len(self.start))
        predicted = [arithmetic.first(len(rows))]
        for t in range(rows.shape[1] - 1):
            predicted.append(arithmetic.forward(predicted[t], tokens[t], Room(memory[t], scratch)))
        message, room = arithmetic.last(len(rows)), Room(memory[-1], scratch)
        found = []
        for t in reversed(range(rows.shape[1])):
            found.append(read(predicted.pop(), message, tokens[t], out[:, t], room))
            if t > 0:
                message = self._back(arithmetic, message, tokens[t], pad[:, t], room)
        possible, sound = (torch.stack(part[::-1], 1) | pad for part in zip(*found, strict=True))
        return possible, sound.all(1)

    def _meet(
        self, arithmetic: Any, rows: Int64[Tensor, "row position"], at: Tensor, reading: Reading, out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Messages from both ends to the position of each row, rows in increasing order of it."""
        tokens, pad = self._factors(rows), rows == PAD
        counts = torch.bincount(at, minlength=rows.shape[1]).tolist()
        memory, scratch = self.start.new_empty(2, len(rows), len(self.start))
        moving, arrived, done = arithmetic.first(len(rows)), [], 0
        for t, count in enumerate(counts):
            arrived.append(moving[:count])
            moving, done = moving[count:], done + count
            if done == len(rows):
                break
            moving = arithmetic.forward(moving, tokens[t, done:], Room(memory[done:], scratch[done:]))
        kind = type(moving)
        predicted = kind.cat(arrived)
        moving, parts, left = arithmetic.last(len(rows)), [], len(rows)
        for t in reversed(range(len(counts))):
            parts.append(moving[left - counts[t] :])
            left -= counts[t]
            if left == 0:
                break
            room = Room(memory[:left], scratch[:left])
            moving = self._back(arithmetic, moving[:left], tokens[t, :left], pad[:left, t], room)
        read: Callable[..., tuple[Tensor, Tensor]] = getattr(arithmetic, f"read_{reading}")
        here = tokens.gather(0, at[None])[0]
        return read(predicted, kind.cat(parts[::-1]), here, out, Room(scratch=scratch))

    def _total(self, arithmetic: Any, rows: Int64[Tensor, "row position"]) -> tuple[Tensor, Tensor]:
        tokens, pad = self._factors(rows), rows == PAD
        message = arithmetic.last(len(rows))
        for t in reversed(range(1, rows.shape[1])):
            message = self._back(arithmetic, message, tokens[t], pad[:, t])
        total: tuple[Tensor, Tensor] = arithmetic.log_total(message, tokens)
        return total

    def _back(self, arithmetic: Any, message: Any, tokens: Tensor, pad: Tensor, room: Room = NEW_MEMORY) -> Any:
        earlier = arithmetic.backward(message, tokens, room)
        return arithmetic.reset(earlier, pad) if self.padded else earlier

    def _factors(self, rows: Int64[Tensor, "row position"]) -> Int64[Tensor, "position row"]:
        """Return the row of each token in the tables of factors; that of ones for MASK and PAD."""
        return torch.where(rows < 0, self.emission.shape[1], rows).T.contiguous()

    def _outcomes(self, reading: Reading) -> int:
        return self.emission.shape[1] if reading == "tokens" else len(self.start)

    def _lost(self, sound: Bool[Tensor, " row"]) -> Iterator[Int64[Tensor, " row"]]:
        """Yield the rows to be computed again, in pieces."""
        bad = (~sound).nonzero()[:, 0]
        for piece in balanced(len(bad), max(1, CHUNK // (len(self.start) * max(self.emission.shape)))):
            yield bad[piece]
