"""Finite languages written out in full: their sentences, their contexts, and the sizes at which that is refused."""

from __future__ import annotations

import decimal
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.tokens import PAD

ENUMERATION_LIMIT = 2**20
"""Rows (candidate sentences, or candidate contexts) above which a language refuses to be written out as tensors."""

EXACT_ENUMERATION_LIMIT = 2**16
"""Candidate sentences above which a language refuses to be written out with Fractions."""


Sentence = tuple[int, ...]

# Eighty digits keep a quotient of fewer than 20 digits before the point exact to 60 after it.
_QUOTIENT = decimal.Context(prec=80)
_EXP = decimal.Context(prec=60, Emin=-9999, Emax=9999)


class EnumerationTooLargeError(ValueError):
    """The language has more candidate sentences than may be written out."""


class EmptyLanguageError(ValueError):
    """No sentence of the language has positive probability."""


class ImpossibleContextError(ValueError):
    """A context of probability zero, on which no conditional is defined."""


@dataclass(frozen=True, eq=False)
class Enumeration:
    """Every sentence of positive probability; exact to float64 rounding."""

    sentences: Int64[Tensor, "sentence position"]
    prob: Float[Tensor, " sentence"]


@dataclass(frozen=True, eq=False)
class ContextEnumeration:
    """Every context x_{−t}, t among the masked positions, with its probability; exact to float64 rounding."""

    contexts: Int64[Tensor, "context position"]
    prob: Float[Tensor, " context"]


def check_size(rows: int, limit: int, what: str) -> None:
    """Raise if `rows` exceeds `limit`.

    Raises:
        EnumerationTooLargeError: naming the size, the limit and what to use instead.
    """
    if rows > limit:
        size = str(rows) if rows < 10**15 else f"about 10^{math.floor(math.log10(rows))}"
        raise EnumerationTooLargeError(
            f"expected at most {limit} {what} to enumerate, got {size}; "
            "use sample(n, generator), sample_masked(n, generator) or estimate_entropy_floor(n, generator) instead"
        )


def n_strings(n_tokens: int, length: int, *, padded: bool) -> int:
    """Return the number of token strings: c^T, or Σ_{ℓ=1..T} c^ℓ when shorter ones count as well."""
    return sum(n_tokens**size for size in range(1 if padded else length, length + 1))


def all_strings(n_tokens: int, length: int, *, padded: bool) -> Int64[Tensor, "sentence position"]:
    """Return every token string in lexicographic order, shorter ones (if `padded`) first and padded on the right.

    >>> all_strings(2, 2, padded=False).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    blocks = []
    for size in range(1 if padded else length, length + 1):
        place = torch.tensor([n_tokens**k for k in reversed(range(size))], dtype=torch.int64)
        rows = torch.arange(n_tokens**size)[:, None] // place % n_tokens
        blocks.append(torch.nn.functional.pad(rows, (0, length - size), value=PAD))
    return torch.cat(blocks)


def log_fraction(value: Fraction) -> float:
    """Return log of a non-negative Fraction, also where its float64 value would underflow; log 0 = −∞.

    Accurate to a few units of rounding of max(1, |log value|).
    """
    if value == 0:
        return -math.inf
    if 2 * value >= 1:
        return math.log1p(float(value - 1))
    # Dividing in integers first keeps the two large logarithms from cancelling.
    shift = value.denominator.bit_length() - value.numerator.bit_length()
    return math.log(float(value * 2**shift)) - shift * math.log(2)


def normalised_exponentials(exponents: Mapping[Sentence, Fraction]) -> dict[Sentence, Fraction]:
    """Return exp(value) / Σ exp(value) for every key, each exponential to 60 digits; the Fractions sum to one.

    What is below 10⁻⁹⁹⁹⁹ of the largest counts as zero.

    >>> law = normalised_exponentials({(0,): Fraction(1), (1,): Fraction(0)})
    >>> float(law[0,] / law[1,])
    2.718281828459045
    """
    top = max(exponents.values())
    weights = {value: _exp(value - top) for value in set(exponents.values())}
    total = sum(weights[value] for value in exponents.values())
    return {key: weights[value] / total for key, value in exponents.items()}


def _exp(value: Fraction) -> Fraction:
    return Fraction(_EXP.exp(_QUOTIENT.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))))


def float_rows(rows: Sequence[Sequence[Fraction]]) -> Float[Tensor, "row column"]:
    """Return a matrix of Fractions correctly rounded to float64."""
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)


def log_rows(rows: Sequence[Sequence[Fraction]]) -> Float[Tensor, "row column"]:
    """Return the logarithms of a matrix of non-negative Fractions in float64."""
    return torch.tensor([[log_fraction(value) for value in row] for row in rows], dtype=torch.float64)
