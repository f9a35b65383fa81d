"""A sign kept with probability σ(α): its exact rational form, its entropy, and the check of α."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

DIGITS = 50
"""Significant digits of the rational value of σ(−|α|)."""

# Anything below 10^-9999 counts as zero, far under the 5e-324 of float64, so that the integers stay small.
_DECIMAL = decimal.Context(prec=DIGITS + 5, Emin=-9999, Emax=9999)


def check_alpha(alpha: float | int) -> None:
    """Raise unless α is a finite number.

    Raises:
        ValueError: naming the value.
    """
    if not math.isfinite(alpha):
        raise ValueError(
            f"expected a finite noise parameter alpha, got {alpha}; a sign is kept with probability sigmoid(alpha)"
        )


def sigmoid_exact(alpha: float | int) -> Fraction:
    """Return a Fraction r within 10⁻⁵⁰ relative of both σ(α) and, as 1 − r, of σ(−α).

    Computed from σ(−|α|) = e/(1 + e), e = exp(−|α|), in decimal arithmetic: an oracle that shares no code with the
    float64 sigmoid, and whose two probabilities sum to exactly one. Beyond |α| ≈ 23,000 the rarer sign gets 0.

    >>> float(sigmoid_exact(0.0)), sigmoid_exact(2.0) + sigmoid_exact(-2.0)
    (0.5, Fraction(1, 1))
    """
    e = Fraction(_DECIMAL.exp(decimal.Decimal(-abs(alpha))))
    minority = e / (1 + e)
    return minority if alpha < 0 else 1 - minority


def sign_entropy(alpha: float | int) -> float:
    """Return the entropy in nats of a sign that is +1 with probability σ(α).

    H = log(1 + e^{−|α|}) + |α| σ(−|α|), a sum of positive terms, so accurate to a few units of rounding at any α.

    >>> sign_entropy(0.0) == math.log(2)
    True
    """
    e = math.exp(-abs(alpha))
    return math.log1p(e) + abs(alpha) * (e / (1 + e))
