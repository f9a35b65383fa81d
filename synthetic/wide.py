"""Non-negative numbers whose exponents do not run out: float64 mantissas with int64 exponents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

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
