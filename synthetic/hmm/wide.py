"""Non-negative numbers whose exponents do not run out: float64 mantissas with int64 exponents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.hmm.scaled import NEW_MEMORY, Room

_ZERO = -(2**60)
"""Exponent of the number 0: below any other, and a product of two zeros does not overflow."""

_POWERS = torch.tensor([math.ldexp(1.0, -k) for k in range(1076)], dtype=torch.float64)
"""2^{−k}; the last one is 0."""


@dataclass(frozen=True, eq=False)
class Wide:
    """The numbers m·2^e with m in [½, 1), or m = 0.

    Sums and products are exact to float64 rounding relative, at any size, and vanish only if the exact result does:
    what the logarithmic scale promises, without its loss of digits at large logarithms. Source: ours.

    >>> tiny = Wide.of(torch.tensor([1e-300, 0.0], dtype=torch.float64))
    >>> power = tiny * tiny * tiny
    >>> power.ratio((tiny * tiny).sum(0)).tolist()
    [1e-300, 0.0]
    """

    mantissa: Float[Tensor, "*shape"]
    exponent: Int64[Tensor, "*shape"]

    @staticmethod
    def of(values: Tensor, exponent: Tensor | int = 0) -> Wide:
        """Return values·2^exponent."""
        mantissa, shift = torch.frexp(values)
        return Wide(mantissa, torch.where(mantissa == 0, _ZERO, shift.to(torch.int64) + exponent))

    def __getitem__(self, key: object) -> Wide:
        return Wide(self.mantissa[key], self.exponent[key])  # type: ignore[index] # whatever a tensor takes

    @staticmethod
    def cat(parts: list[Wide]) -> Wide:
        """Return the concatenation along the first axis."""
        return Wide(torch.cat([part.mantissa for part in parts]), torch.cat([part.exponent for part in parts]))

    def __mul__(self, other: Wide) -> Wide:
        return Wide.of(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def sum(self, axis: int) -> Wide:
        """Return the sum over an axis."""
        top = self.exponent.amax(axis, keepdim=True)
        return Wide.of((self.mantissa * _power(self.exponent - top)).sum(axis), top.squeeze(axis))

    def matmul(self, matrix: Wide) -> Wide:
        """Return the product of a matrix of rows with another matrix."""
        return (self[:, :, None] * matrix[None]).sum(1)

    def ratio(self, larger: Wide) -> Tensor:
        """Return self/larger in float64 for self ≤ larger; NaN for 0/0."""
        return self.mantissa / larger.mantissa * _power(self.exponent - larger.exponent)

    def log_ratio(self, larger: Wide) -> Tensor:
        """Return log(self/larger), −∞ for self = 0; exact to rounding of max(1, |log|)."""
        return (self.mantissa / larger.mantissa).log() + (self.exponent - larger.exponent).double() * math.log(2)


def _power(exponent: Tensor) -> Tensor:
    """Return 2^exponent for exponents ≤ 0."""
    return _POWERS.to(exponent.device)[(-exponent).clamp(max=len(_POWERS) - 1)]


class WideArithmetic:
    """The steps of `ScaledArithmetic` in wide numbers; every result is sound, zero only if exactly so, in new memory.

    Costs rows · states · max(states, tokens) numbers of memory per step. Source: ours.
    """

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        *,
        logarithmic: bool,
    ) -> None:
        """Prepare the tables; results are written as logarithms on request."""
        ones = torch.ones(len(start), 1, dtype=torch.float64, device=start.device)
        self.start, self.emission = Wide.of(start), Wide.of(emission)
        self.transition, self.transposed = Wide.of(transition), Wide.of(transition.T)
        self.factors = Wide.of(torch.cat([emission, ones], 1).T)
        self.logarithmic = logarithmic

    def first(self, n: int) -> Wide:
        """Return the prediction of the first state, n times."""
        return Wide(self.start.mantissa.expand(n, -1), self.start.exponent.expand(n, -1))

    def last(self, n: int) -> Wide:
        """Return the backward message at the last token, n times: all one."""
        return Wide.of(torch.ones_like(self.start.mantissa).expand(n, -1))

    def forward(self, predicted: Wide, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Wide:
        """Return the prediction of the next state after the given tokens."""
        return (predicted * self.factors[tokens]).matmul(self.transition)

    def backward(self, message: Wide, tokens: Int64[Tensor, " row"], room: Room = NEW_MEMORY) -> Wide:
        """Return the backward message one position earlier, before the given tokens."""
        return (message * self.factors[tokens]).matmul(self.transposed)

    def reset(self, message: Wide, rows: Bool[Tensor, " row"]) -> Wide:
        """Return the message with the given rows all one again: the sentence ends there."""
        one = self.last(1)
        return Wide(
            torch.where(rows[:, None], one.mantissa, message.mantissa),
            torch.where(rows[:, None], one.exponent, message.exponent),
        )

    def read_tokens(
        self,
        predicted: Wide,
        message: Wide,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row token"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(token | the others) to `out`; return which rows are possible, and which sound."""
        return self._read((predicted * message).matmul(self.emission), out)

    def read_states(
        self,
        predicted: Wide,
        message: Wide,
        tokens: Int64[Tensor, " row"],
        out: Float[Tensor, "row state"],
        room: Room = NEW_MEMORY,
    ) -> tuple[Bool[Tensor, " row"], Bool[Tensor, " row"]]:
        """Write Pr(state | all tokens) to `out`; return which rows are possible, and which sound."""
        return self._read(predicted * message * self.factors[tokens], out)

    def log_total(
        self, message: Wide, tokens: Int64[Tensor, "position row"]
    ) -> tuple[Float[Tensor, " row"], Bool[Tensor, " row"]]:
        """Return log Σ_s start(s) E(s, first token) message(s), and which rows are sound; of all the row's tokens."""
        mass = (message * self.factors[tokens[0]] * self.start[None]).sum(1)
        sound = torch.ones_like(tokens[0], dtype=torch.bool)
        return mass.mantissa.log() + mass.exponent.double() * math.log(2), sound

    def _read(self, joint: Wide, out: Float[Tensor, "row column"]) -> tuple[Tensor, Tensor]:
        mass = joint.sum(1)
        out.copy_(joint.log_ratio(mass[:, None]) if self.logarithmic else joint.ratio(mass[:, None]))
        return mass.mantissa > 0, torch.ones_like(mass.mantissa, dtype=torch.bool)
