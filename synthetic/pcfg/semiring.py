"""Sums and products of a chart: plain float64 numbers, or their logarithms where plain numbers would underflow."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor


class Semiring(ABC):
    """How a chart writes non-negative numbers; `zero` and `one` are the written forms of 0 and 1."""

    zero: ClassVar[float]
    one: ClassVar[float]

    @abstractmethod
    def write(self, numbers: Tensor) -> Tensor:
        """Return numbers in written form."""

    @abstractmethod
    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        """Add x · y to `total` in place."""

    @abstractmethod
    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y."""

    @abstractmethod
    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x · y."""

    @abstractmethod
    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        """Return the matrix product over the first axis of x."""

    @abstractmethod
    def log(self, x: Tensor) -> Tensor:
        """Return natural logarithms."""

    @abstractmethod
    def log_shares(self, x: Float64[Tensor, "part *rest"]) -> Float64[Tensor, "part *rest"]:
        """Return log(x / Σ x) along the first axis; NaN where the sum is 0."""


class Linear(Semiring):
    """Numbers as they are."""

    zero: ClassVar[float] = 0.0
    one: ClassVar[float] = 1.0

    def write(self, numbers: Tensor) -> Tensor:
        """Return the numbers."""
        return numbers

    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        """Add x · y to `total` in place."""
        total.addcmul_(x, y)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x + y."""
        return x + y

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x · y."""
        return x * y

    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        """Return the matrix product over the first axis of x."""
        return (matrix @ x.flatten(1)).reshape(-1, *x.shape[1:])

    def log(self, x: Tensor) -> Tensor:
        """Return natural logarithms."""
        return x.log()

    def log_shares(self, x: Float64[Tensor, "part *rest"]) -> Float64[Tensor, "part *rest"]:
        """Return log(x / Σ x) along the first axis; NaN where the sum is 0."""
        return (x / x.sum(0)).log_()


class Log(Semiring):
    """Numbers as their logarithms: slower by an order of magnitude, and exact to ε · |logarithm| only."""

    zero: ClassVar[float] = -math.inf
    one: ClassVar[float] = 0.0

    def write(self, numbers: Tensor) -> Tensor:
        """Return logarithms."""
        return numbers.log()

    def multiply_add(self, total: Tensor, x: Tensor, y: Tensor) -> None:
        """Add x · y to `total` in place."""
        torch.logaddexp(total, x + y, out=total)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log(eˣ + eʸ)."""
        return torch.logaddexp(x, y)

    def times(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log x + log y."""
        return x + y

    def apply(
        self, matrix: Float64[Tensor, "out inner"], x: Float64[Tensor, "inner *rest"]
    ) -> Float64[Tensor, "out *rest"]:
        """Return the matrix product over the first axis of x, one row of the matrix at a time."""
        shape = (-1,) + (1,) * (x.ndim - 1)
        return torch.stack([(row.reshape(shape) + x).logsumexp(0) for row in matrix])

    def log(self, x: Tensor) -> Tensor:
        """Return x, which is the logarithm."""
        return x

    def log_shares(self, x: Float64[Tensor, "part *rest"]) -> Float64[Tensor, "part *rest"]:
        """Return x − log Σ eˣ along the first axis; NaN where the sum is 0."""
        return x - x.logsumexp(0)
