"""Probability vectors as rows of a matrix: their checks, explicit normalisation, and draws."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

EPS = torch.finfo(torch.float64).eps


class ProbabilityError(ValueError):
    """Numbers that are no probabilities: negative, not finite, or not summing to one."""


def check_shape(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `values` is a float64 tensor of the given shape, which must have no side of length 0.

    Raises:
        TypeError: if the dtype is not float64.
        ValueError: if the shape differs or is empty.
    """
    if values.dtype != torch.float64:
        raise TypeError(f"expected float64 in {name}, got {values.dtype}; convert with {name}.double() and renormalise")
    if tuple(values.shape) != shape or 0 in shape:
        raise ValueError(
            f"expected {name} of shape {shape} without a side of length 0, got {tuple(values.shape)}; "
            "transition is state × state, emission state × token, start one entry per state"
        )


def check_rows(name: str, rows: Float[Tensor, "row column"]) -> None:
    """Raise unless each row is a probability vector: finite, non-negative, of sum one up to 4 · columns · ε.

    That is what rounding the entries and adding them can cost; anything larger is a mistake, not rounding.

    Raises:
        ProbabilityError: naming the entry, or the row and its sum, and the remedy.
    """
    _check_weights(name, rows)
    total = rows.sum(1)
    gap = total - 1
    bad = gap.abs() > 4 * rows.shape[1] * EPS
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ProbabilityError(
            f"expected every row of {name} to sum to one, got {float(total[row]):.6g}, off by {float(gap[row]):+.3g}, "
            f"in row {row}; correct it, or build with normalised(...), which divides every row by its sum"
        )


def normalise_rows(name: str, weights: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Return each row of non-negative weights divided by its sum.

    Raises:
        ProbabilityError: if a weight is negative or not finite, or a row sums to zero or overflows.
    """
    weights = weights.to(torch.float64)
    _check_weights(name, weights)
    total = weights.sum(1, keepdim=True)
    bad = (total[:, 0] == 0) | total[:, 0].isinf()
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ProbabilityError(
            f"expected a positive finite sum in every row of {name}, got {float(total[row])} in row {row}; "
            "give the row a positive entry, and rescale large ones"
        )
    return weights / total


def _check_weights(name: str, rows: Float[Tensor, "row column"]) -> None:
    bad = ~((rows >= 0) & rows.isfinite())
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        raise ProbabilityError(
            f"expected finite entries >= 0 in {name}, got {float(rows[row, column])} in row {row}, column {column}; "
            "correct it"
        )


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
        """Return the sampler on a device."""
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
