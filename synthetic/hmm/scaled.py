"""The messages of a hidden Markov model in float64 with row scales, and a proof that no underflow touched them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

SAFE = 2.0**-900
"""A sum of at most 2^20 terms that is larger than this loses less than a rounding error to terms that underflow."""

RESCALE = 2.0**-450
"""A row with a smaller entry is looked at: scaled, and its digits accounted for."""

SMALLEST = -1020
"""Products larger than 2^SMALLEST keep all their digits (float64 has normal numbers down to 2^{−1022})."""


@dataclass(frozen=True, eq=False)
class Scaled:
    """Rows of non-negative numbers value·2^exponent, with what is known of their digits.

    Attributes:
        value: the scaled numbers.
        exponent: of each row; without the powers of two in the factors of the tokens.
        known: a lower bound of the row's positive values, over `since`.
        sound: whether every number of the row is exact to float64 rounding relative, zeros included.
        floor: a lower bound of `low`, known without a look at the rows.
        since: what the steps since `known` have made of the bound, at worst.
        next: the values one step on by each token, where the rows are those a recursion begins with, all alike.
    """

    value: Float[Tensor, "row state"]
    exponent: Int64[Tensor, " row"]
    known: Float[Tensor, " row"]
    sound: Bool[Tensor, " row"]
    floor: float
    since: float = 1.0
    next: Float[Tensor, "token state"] | None = None

    @property
    def low(self) -> Float[Tensor, " row"]:
        """A lower bound of the row's positive values."""
        return self.known * self.since

    def __getitem__(self, rows: slice) -> Scaled:
        part = self.value[rows], self.exponent[rows], self.known[rows], self.sound[rows]
        return Scaled(*part, self.floor, self.since, self.next)

    @staticmethod
    def cat(parts: list[Scaled]) -> Scaled:
        """Return the concatenation of rows."""
        return Scaled(
            torch.cat([part.value for part in parts]),
            torch.cat([part.exponent for part in parts]),
            torch.cat([part.low for part in parts]),
            torch.cat([part.sound for part in parts]),
            min(part.floor for part in parts),
        )


@dataclass(frozen=True, eq=False)
class Room:
    """Memory that a step may use, so that a pass keeps to what the caches hold; new memory where there is none.

    Attributes:
        result: where the values of the result go.
        scratch: of the same shape; holds nothing from one step to the next.
    """

    result: Float[Tensor, "row state"] | None = None
    scratch: Float[Tensor, "row state"] | None = None


NEW_MEMORY = Room()
"""No room: what a step needs is allocated."""


class ScaledArithmetic:
    """Steps of the forward and backward recursions as matrix products in float64.

    Everything is a sum of products of non-negative numbers, so digits are lost by underflow alone. A result is sound
    if no product could underflow (by a bound on the positive entries), or if each sum is so large (`SAFE`) that the
    terms lost do not show; otherwise `sound` is False and the rows are computed again with `synthetic.hmm.wide`. The
    columns of the emission matrix are scaled by powers of two, as are the rows of messages: no rounding. Source: ours.

    Token number c stands for a masked or absent token: its factor is one in every state.
    """

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
    ) -> None:
        """Prepare the tables."""
        self.start = start
        # A product of rows with a matrix is fastest when both lie in memory along the axis summed over.
        self.transition, self.transposed, self.emission = map(_by_columns, (transition, transition.T, emission))
        self.row_sums = emission.sum(1)
        self.true = torch.ones(1, dtype=torch.bool, device=start.device)
        scale, shift = _scale(emission.amax(0))
        factors = emission * scale
        ones = torch.ones(len(start), 1, dtype=torch.float64, device=start.device)
        self.factors = torch.cat([factors, ones], 1).T.contiguous()
        self.shifts = torch.nn.functional.pad(shift, (0, 1))
        # The first step of a recursion is a look into a table: of all tokens there are fewer than rows.
        self.second, self.last_but_one = (self.factors * start) @ self.transition, self.factors @ self.transposed
        self.factor_low = _lowest(self.factors).log2()
        self.emission_least = float(emission.min())
        self.emission_low = float(_lowest(emission).min().log2())
        # Where no entry of a message can be zero, its positive entries are all of them; otherwise no such bound.
        self.step_least = float(start.min() > 0) * float(transition.min()) * float(self.factors.amax(1).min())
        self.transition_low = float(_lowest(transition).min().log2())

    def first(self, n: int) -> Scaled:
        """Return the prediction of the first state, n times."""
        return self._fresh(self.start, self.second, n)

    def last(self, n: int) -> Scaled:
        """Return the backward message at the last token, n times: all one."""
        return self._fresh(torch.ones_like(self.start), self.last_but_one, n)

    def forward(self, predicted: Scaled, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Scaled:
        """Return the prediction of the next state after the given tokens."""
        return self._step(predicted, tokens, self.transition, room)

    def backward(self, message: Scaled, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Scaled:
        """Return the backward message one position earlier, before the given tokens; `room` may hold the message."""
        return self._step(message, tokens, self.transposed, room)

    def reset(self, message: Scaled, rows: Bool[Tensor, " row"]) -> Scaled:
        """Return the message with the given rows all one again: the sentence ends there."""
        return Scaled(
            message.value.masked_fill(rows[:, None], 1.0),
            message.exponent.masked_fill(rows, 0),
            message.low.masked_fill(rows, 1.0),
            message.sound | rows,
            min(message.floor, 1.0),
        )

    def read_tokens(
        self,
        predicted: Scaled,
        message: Scaled,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row token"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(token | the others) to `out`; return which rows are possible, and which sound."""
        joint = torch.mul(predicted.value, message.value, out=room.scratch)
        mass = joint @ self.row_sums
        torch.mm(joint.div_(mass[:, None]), self.emission, out=out)
        sound = predicted.sound & message.sound
        # Where mass and every entry of the emission matrix are large, so is the result: no look at it is needed.
        if self.emission_least >= RESCALE and predicted.floor * message.floor >= RESCALE:
            return self.true.expand(len(out)), sound
        if self.emission_least < RESCALE or not bool((mass >= RESCALE).all()):
            sound &= _sound(out, mass, predicted.low.log2() + message.low.log2() + self.emission_low)
        return mass > 0, sound

    def read_states(
        self,
        predicted: Scaled,
        message: Scaled,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row state"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(state | all tokens) to `out`; return which rows are possible, and which sound."""
        joint = self._weighted(predicted, tokens, room).mul_(message.value)
        mass = joint.sum(1)
        torch.div(joint, mass[:, None], out=out)
        low = predicted.low.log2() + message.low.log2() + self.factor_low[tokens]
        return mass > 0, predicted.sound & message.sound & _sound(out, mass, low)

    def log_total(
        self, message: Scaled, tokens: Int64[Tensor, "position row"]
    ) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
        """Return log Σ_s start(s) E(s, first token) message(s), and which rows are sound; of all the row's tokens."""
        mass = self._weighted(message, tokens[0], NEW_MEMORY) @ self.start
        exponent = message.exponent + self.shifts[tokens].sum(0)
        low = message.low.log2() + self.factor_low[tokens[0]] + _lowest(self.start[None]).log2()
        return mass.log() + exponent.double() * math.log(2), message.sound & ((mass >= SAFE) | (low >= SMALLEST))

    def _fresh(self, value: Float[Tensor, " state"], after: Float[Tensor, "token state"], n: int) -> Scaled:
        low = _lowest(value[None])
        zero = torch.zeros(n, dtype=torch.int64, device=value.device)
        return Scaled(value.expand(n, -1), zero, low.expand(n), zero == 0, float(low), next=after)

    def _weighted(self, v: Scaled, tokens: Int64[Tensor, " row"], room: Room) -> Float[Tensor, "row state"]:
        """Return v ∘ e, in the scratch memory if there is any."""
        return torch.index_select(self.factors, 0, tokens, out=room.scratch).mul_(v.value)

    def _step(
        self, v: Scaled, tokens: Int64[Tensor, " row"], matrix: Float[Tensor, "state state"], room: Room
    ) -> Scaled:
        if v.next is not None:
            value = torch.index_select(v.next, 0, tokens, out=room.result)
        else:
            value = torch.mm(self._weighted(v, tokens, room), matrix, out=room.result)
        # Σ_s v(s) e(s) A(s, s') ≥ min v · max e · min A: while that is large, no look at the result is needed.
        floor = v.floor * self.step_least
        if floor >= RESCALE:
            return Scaled(value, v.exponent, v.known, v.sound, floor, v.since * self.step_least)
        least = value.amin(1)
        floor = _least(least)
        if floor >= RESCALE:
            return Scaled(value, v.exponent, least, v.sound, floor)
        low = v.low.log2() + self.factor_low[tokens] + self.transition_low
        sound = v.sound & ((least >= SAFE) | (low >= SMALLEST))
        scale, shift = _scale(value.amax(1))
        value = value * scale[:, None]
        low = _lowest(value)
        return Scaled(value, v.exponent + shift, low, sound, _least(low))


def _by_columns(matrix: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Return the same matrix, laid out column by column."""
    return matrix.T.contiguous().T


def _least(numbers: Float[Tensor, " row"]) -> float:
    """Return the least number; of none, one."""
    return float(numbers.amin()) if len(numbers) else 1.0


def _scale(top: Float[Tensor, " row"]) -> tuple[Float[Tensor, " row"], Int64[Tensor, " row"]]:
    """Return the power of two 2^{−k} that takes each number to [½, 1), and k; 1 and 0 for what is next to nothing."""
    mantissa, shift = torch.frexp(top)
    usable = top >= 2.0**-1000
    return torch.where(usable, mantissa / top, 1.0), torch.where(usable, shift.to(torch.int64), 0)


def _lowest(rows: Float[Tensor, "row column"]) -> Float[Tensor, " row"]:
    """Return the least positive entry of each row; +∞ where there is none."""
    return torch.where(rows > 0, rows, math.inf).amin(1)


def _sound(out: Float[Tensor, "row column"], mass: Float[Tensor, " row"], low: Float[Tensor, " row"]) -> Tensor:
    """Whether the quotients `out` by `mass` are exact: large against what was lost, or nothing could get lost."""
    return (out.amin(1) * mass.clamp(max=1.0) >= SAFE) | (low - mass.log2().clamp(min=0.0) >= SMALLEST)
