"""Noise channels on tokens and weights of mixtures: exact probability vectors, and how they act on conditionals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

from synthetic.enumeration import float_rows, log_rows

Channel = tuple[tuple[Fraction, ...], ...]
"""A matrix K with K[v][y] = Pr(y | v); rows sum to exactly one."""

ROUNDING = 1e-12
"""How far float64 probabilities may sum from one and still count as rounded, not as wrong."""

UNDERFLOW = -650.0
"""A logarithm below which the sum of products may have lost digits to subnormal numbers (log of 2⁻¹⁰²² is −708)."""


def exact_distribution(values: Sequence[Fraction | float | int], what: str) -> tuple[Fraction, ...]:
    """Return probabilities as Fractions that sum to exactly one: each as given, divided by their exact total.

    Raises:
        ValueError: if a value is negative, infinite or NaN, or the total is further than ROUNDING from one.
    """
    for place, value in enumerate(values):
        if not value >= 0 or value == math.inf:
            raise ValueError(f"expected probabilities in {what}, got {value} at place {place}; each is in [0, 1]")
    exact = tuple(Fraction(value) for value in values)
    total = sum(exact, Fraction(0))
    if abs(total - 1) > ROUNDING:
        raise ValueError(
            f"expected {what} to sum to one, got 1 + ({float(total - 1):.3g}); divide by the sum "
            f"{float(total)!r} if that is meant, or give Fractions"
        )
    return tuple(value / total for value in exact)


def exact_channel(rows: Sequence[Sequence[Fraction | float | int]], n_tokens: int) -> Channel:
    """Return a channel as Fractions, each row normalised exactly as in `exact_distribution`.

    Raises:
        ValueError: if the matrix is not c by c, or a row is no probability vector.
    """
    shape = [len(row) for row in rows]
    if shape != [n_tokens] * n_tokens:
        raise ValueError(
            f"expected a channel of {n_tokens} rows with {n_tokens} entries each, got rows of {shape} entries; "
            "row v holds Pr(y | v) for every token y of the vocabulary"
        )
    return tuple(exact_distribution(row, f"row {v} of the channel") for v, row in enumerate(rows))


def symmetric_channel(n_tokens: int, keep: Fraction | float | int) -> Channel:
    """Return the channel that keeps a token with probability `keep`, else draws one of the c − 1 others uniformly.

    Raises:
        ValueError: if `keep` is no probability, or below one where there is no other token.

    >>> symmetric_channel(3, Fraction(1, 2))[0]
    (Fraction(1, 2), Fraction(1, 4), Fraction(1, 4))
    """
    if not 0 <= keep <= 1 or (n_tokens == 1 and keep != 1):
        raise ValueError(
            f"expected a probability keep (1 if the vocabulary has one token), got {keep} for {n_tokens} tokens; "
            "a token that is not kept becomes another one"
        )
    exact = Fraction(keep)
    other = (1 - exact) / max(1, n_tokens - 1)
    return tuple(tuple(exact if v == y else other for y in range(n_tokens)) for v in range(n_tokens))


def compose(first: Channel, second: Channel) -> Channel:
    """Return the channel `first`, then `second`: the product of the two matrices. Exact."""
    columns = list(zip(*second, strict=True))
    return tuple(
        tuple(sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0)) for column in columns)
        for row in first
    )


@dataclass(frozen=True, eq=False)
class FloatChannel:
    """A channel rounded to float64: its probabilities and, separately, their logarithms."""

    prob: Float[Tensor, "token token"]
    log_prob: Float[Tensor, "token token"]

    @classmethod
    def of(cls, channel: Channel) -> FloatChannel:
        return cls(float_rows(channel), log_rows(channel))


def log_through(log_prob: Float[Tensor, "*batch token"], channel: FloatChannel) -> Float[Tensor, "*batch token"]:
    """Return log Σ_v p(v) K(v, y): the law of a token after the channel. Exact to float64 rounding.

    A matrix product of non-negative numbers, accurate to c units of rounding; rows that come near underflow are summed
    again in logarithms, one target token at a time.
    """
    rows = log_prob.reshape(-1, log_prob.shape[-1])
    log_channel = channel.log_prob.to(rows.device)
    out = (rows.exp() @ channel.prob.to(rows.device)).log()
    # An entry may be −∞ because nothing leads there; only the others need the second look.
    reached = (rows > -math.inf).to(torch.float64) @ (log_channel > -math.inf).to(torch.float64) > 0
    low = (reached & (out < UNDERFLOW)).any(1)
    for y in range(rows.shape[1]) if bool(low.any()) else ():
        out[low, y] = (rows[low] + log_channel[:, y]).logsumexp(1)
    return out.reshape(log_prob.shape)
