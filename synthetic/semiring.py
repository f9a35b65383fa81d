"""Sums and products of non-negative numbers: plain float64, or logarithms where plain numbers would underflow."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float64, Int64
from torch import Tensor


class Semiring(ABC):
    """How non-negative numbers are written; `zero` and `one` are the written forms of 0 and 1."""

    zero: ClassVar[float]
    one: ClassVar[float]

    @abstractmethod
    def write(self, numbers: Tensor) -> Tensor:
        """Return plain numbers in written form."""

    @abstractmethod
    def read(self, x: Tensor) -> Tensor:
        """Return the plain numbers of what is written."""

    @abstractmethod
    def log(self, x: Tensor) -> Tensor:
        """Return natural logarithms."""

    @abstractmethod
    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y."""

    @abstractmethod
    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x · y."""

    @abstractmethod
    def over(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x / y; NaN for 0 / 0."""

    @abstractmethod
    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        """Add x · y to `total` in place."""

    @abstractmethod
    def total(self, x: Tensor, axis: int = 0) -> Tensor:
        """Return Σ x along an axis, which is kept with size 1."""

    @abstractmethod
    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        """Return the matrix product over the first axis of x."""

    @abstractmethod
    def product(
        self, x: Float64[Tensor, "*batch inner"], matrix: Float64[Tensor, "inner out"]
    ) -> Float64[Tensor, "*batch out"]:
        """Return the matrix product over the last axis of x."""

    def shares(self, x: Tensor, axis: int = 0) -> Tensor:
        """Return x / Σ x along an axis; NaN where the sum is 0."""
        return self.over(x, self.total(x, axis))


class Linear(Semiring):
    """Numbers as they are."""

    zero: ClassVar[float] = 0.0
    one: ClassVar[float] = 1.0

    def write(self, numbers: Tensor) -> Tensor:
        return numbers

    def read(self, x: Tensor) -> Tensor:
        return x

    def log(self, x: Tensor) -> Tensor:
        return x.log()

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        return x * y

    def over(self, x: Tensor, y: Tensor) -> Tensor:
        return x / y

    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        total.addcmul_(x, y)

    def total(self, x: Tensor, axis: int = 0) -> Tensor:
        return x.sum(axis, keepdim=True)

    def product(
        self, x: Float64[Tensor, "*batch inner"], matrix: Float64[Tensor, "inner out"]
    ) -> Float64[Tensor, "*batch out"]:
        return x @ matrix

    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        return (matrix @ x.flatten(1)).reshape(-1, *x.shape[1:])


class Log(Semiring):
    """Numbers as their logarithms: slower by an order of magnitude, and exact to ε · |logarithm| only."""

    zero: ClassVar[float] = -math.inf
    one: ClassVar[float] = 0.0

    def write(self, numbers: Tensor) -> Tensor:
        return numbers.log()

    def read(self, x: Tensor) -> Tensor:
        return x.exp()

    def log(self, x: Tensor) -> Tensor:
        return x

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.logaddexp(x, y)

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y

    def over(self, x: Tensor, y: Tensor) -> Tensor:
        return x - y

    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        torch.logaddexp(total, x + y, out=total)

    def total(self, x: Tensor, axis: int = 0) -> Tensor:
        return x.logsumexp(axis, keepdim=True)

    def product(
        self, x: Float64[Tensor, "*batch inner"], matrix: Float64[Tensor, "inner out"]
    ) -> Float64[Tensor, "*batch out"]:
        return torch.stack([(x + column).logsumexp(-1) for column in matrix.T], -1)

    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        # One row of the matrix at a time: all products at once would not fit.
        shape = (-1,) + (1,) * (x.ndim - 1)
        return torch.stack([(row.reshape(shape) + x).logsumexp(0) for row in matrix])


Part = Callable[[type[Semiring], Int64[Tensor, " row"]], Tensor]
"""Computes and stores what is asked of some rows, and returns which of them left the range of plain numbers."""


def linear_then_log(rows: Int64[Tensor, " row"], part: Part, chunk: Callable[[type[Semiring]], int]) -> None:
    """Do `part` of all rows, so many at once, in plain numbers; then again in logarithms of those that need it."""
    for ring in (Linear, Log):
        if len(rows):
            rows = torch.cat([index[part(ring, index)] for index in torch.split(rows, max(1, chunk(ring)))])
