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
        exponent: of each row.
        low: a lower bound of the row's positive values.
        sound: whether every number of the row is exact to float64 rounding relative, zeros included.
    """

    value: Float[Tensor, "row state"]
    exponent: Int64[Tensor, " row"]
    low: Float[Tensor, " row"]
    sound: Bool[Tensor, " row"]

    def __getitem__(self, rows: slice) -> Scaled:
        return Scaled(self.value[rows], self.exponent[rows], self.low[rows], self.sound[rows])

    @staticmethod
    def cat(parts: list[Scaled]) -> Scaled:
        """Return the concatenation of rows."""
        return Scaled(
            torch.cat([part.value for part in parts]),
            torch.cat([part.exponent for part in parts]),
            torch.cat([part.low for part in parts]),
            torch.cat([part.sound for part in parts]),
        )


class ScaledArithmetic:
    """Steps of the forward and backward recursions as matrix products in float64.

    Everything is a sum of products of non-negative numbers, so digits are lost by underflow alone. A result is sound
    if no product could underflow (by a bound on the positive entries), or if each sum is so large (`SAFE`) that the
    terms lost do not show; otherwise `sound` is False and the rows are computed again with `synthetic.wide`. The
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
        self.emission, self.start = emission, start
        self.transition = transition.contiguous()
        self.transposed = transition.T
        self.row_sums = emission.sum(1)
        scale, shift = _scale(emission.amax(0))
        factors = emission * scale
        ones = torch.ones(len(start), 1, dtype=torch.float64, device=start.device)
        self.factors = torch.cat([factors, ones], 1).T.contiguous()
        self.shifts = torch.nn.functional.pad(shift, (0, 1))
        self.factor_low = _lowest(self.factors).log2()
        self.emission_least = float(emission.min())
        self.emission_low = float(_lowest(emission).min().log2())
        # Where no entry of a message can be zero, its positive entries are all of them; otherwise no such bound.
        self.step_least = float(start.min() > 0) * float(transition.min()) * float(self.factors.amax(1).min())
        self.transition_low = float(_lowest(transition).min().log2())

    def first(self, n: int) -> Scaled:
        """Return the prediction of the first state, n times."""
        return self._fresh(self.start.expand(n, -1))

    def last(self, n: int) -> Scaled:
        """Return the backward message at the last token, n times: all one."""
        return self._fresh(torch.ones_like(self.start).expand(n, -1))

    def forward(self, predicted: Scaled, tokens: Int64[Tensor, " row"]) -> Scaled:
        """Return the prediction of the next state after the given tokens."""
        return self._step(predicted, tokens, self.transition)

    def backward(self, message: Scaled, tokens: Int64[Tensor, " row"]) -> Scaled:
        """Return the backward message one position earlier, before the given tokens."""
        return self._step(message, tokens, self.transposed)

    def reset(self, message: Scaled, rows: Bool[Tensor, " row"]) -> Scaled:
        """Return the message with the given rows all one again: the sentence ends there."""
        return Scaled(
            message.value.masked_fill(rows[:, None], 1.0),
            message.exponent.masked_fill(rows, 0),
            message.low.masked_fill(rows, 1.0),
            message.sound | rows,
        )

    def read_tokens(
        self, predicted: Scaled, message: Scaled, tokens: Int64[Tensor, " row"], out: Float[Tensor, "row token"]
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(token | the others) to `out`; return which rows are possible, and which sound."""
        joint = predicted.value * message.value
        mass = joint @ self.row_sums
        torch.mm(joint / mass[:, None], self.emission, out=out)
        sound = predicted.sound & message.sound
        # An everywhere positive emission matrix bounds the result from below, so that no look at it is needed.
        if not (self.emission_least >= RESCALE and bool((mass >= RESCALE).all())):
            sound &= _sound(out, mass, predicted.low.log2() + message.low.log2() + self.emission_low)
        return mass > 0, sound

    def read_states(
        self, predicted: Scaled, message: Scaled, tokens: Int64[Tensor, " row"], out: Float[Tensor, "row state"]
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(state | all tokens) to `out`; return which rows are possible, and which sound."""
        joint = predicted.value * message.value * self.factors[tokens]
        mass = joint.sum(1)
        torch.div(joint, mass[:, None], out=out)
        low = predicted.low.log2() + message.low.log2() + self.factor_low[tokens]
        return mass > 0, predicted.sound & message.sound & _sound(out, mass, low)

    def log_total(
        self, message: Scaled, tokens: Int64[Tensor, " row"]
    ) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
        """Return log Σ_s start(s) E(s, first token) message(s), and which rows are sound."""
        mass = (message.value * self.factors[tokens]) @ self.start
        exponent = message.exponent + self.shifts[tokens]
        low = message.low.log2() + self.factor_low[tokens] + _lowest(self.start[None]).log2()
        return mass.log() + exponent.double() * math.log(2), message.sound & ((mass >= SAFE) | (low >= SMALLEST))

    def _fresh(self, value: Float[Tensor, "row state"]) -> Scaled:
        zero = torch.zeros(len(value), dtype=torch.int64, device=value.device)
        return Scaled(value, zero, _lowest(value), zero == 0)

    def _step(self, v: Scaled, tokens: Int64[Tensor, " row"], matrix: Float[Tensor, "state state"]) -> Scaled:
        value = (v.value * self.factors.index_select(0, tokens)) @ matrix
        exponent = v.exponent + self.shifts[tokens]
        # Σ_s v(s) e(s) A(s, s') ≥ min v · max e · min A: while that is large, no look at the result is needed.
        bound = v.low * self.step_least
        if bool((bound >= RESCALE).all()):
            return Scaled(value, exponent, bound, v.sound)
        least = value.amin(1)
        if not bool((least < RESCALE).any()):
            return Scaled(value, exponent, least, v.sound)
        low = v.low.log2() + self.factor_low[tokens] + self.transition_low
        sound = v.sound & ((least >= SAFE) | (low >= SMALLEST))
        scale, shift = _scale(value.amax(1))
        value = value * scale[:, None]
        return Scaled(value, exponent + shift, _lowest(value), sound)


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
