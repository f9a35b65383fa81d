"""Contexts of the bracket language, and relu networks on them: what the models of its derivations are made of.

Everything is computed from weights and contexts, and by no formula of the theorems.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, product
from typing import Any

from theory.claims.minima._pair_networks import dot

Context = tuple[int, ...]
Number = Any
"""A Fraction, or an exact constant of sympy."""


def contexts(length: int, *, nested: bool) -> Iterator[tuple[Context, int]]:
    """Yield every context z with its token y: balanced words of {±1}^length, or the nested ones, one token masked.

    Exact; length·C(length, length/2) contexts, or length·Catalan(length/2).
    """
    for word in product((1, -1), repeat=length):
        depths = tuple(accumulate(word))
        if depths[-1] == 0 and not (nested and min(depths) < 0):
            for mask in range(length):
                yield (*word[:mask], 0, *word[mask + 1 :]), word[mask]


@dataclass(frozen=True)
class Network:
    """f(z) = Σ_j a_j relu(w_j·z + β_j).

    Attributes:
        heads: a_j.
        weights: w_{j,i}.
        bias: β_j; 0 if left out.
    """

    heads: Sequence[Number]
    weights: Sequence[Sequence[Number]]
    bias: Sequence[Number] = ()

    def before(self, z: Context) -> list[Number]:
        """Pre-activations w_j·z + β_j."""
        bias = self.bias or [0] * len(self.heads)
        return [dot(w, z) + beta for w, beta in zip(self.weights, bias, strict=True)]

    def responses(self, z: Context) -> list[Number]:
        """relu(w_j·z + β_j)."""
        return [v if v > 0 else Fraction(0) for v in self.before(z)]

    def gates(self, z: Context) -> list[int]:
        """1{w_j·z + β_j > 0}."""
        return [1 if v > 0 else 0 for v in self.before(z)]

    def output(self, z: Context) -> Number:
        """f(z)."""
        return dot(self.heads, self.responses(z))

    def wrong(self, token: int) -> list[int]:
        """Which neurons count against a token: their heads have not its sign."""
        return [0 if (1 if a > 0 else -1) == token else 1 for a in self.heads]


def on_gamma(alpha: Number, last: Number, *chosen: tuple[Number, Sequence[Number]], length: int = 4) -> Network:
    """Return neurons (a, w) and (−a, −w) for which Σ a w = −α(1, …, 1): f = −α Σz = αy.

    All pairs are chosen except for one, whose head is ± `last`.
    """
    rest = [(-alpha - sum((a * w[i] for a, w in chosen), Fraction(0))) / last for i in range(length)]
    pairs = [*chosen, (last, rest)]
    both = [(sign * a, [sign * x for x in w]) for a, w in pairs for sign in (1, -1)]
    return Network(*zip(*both, strict=True))


def mirrored(row: Sequence[Number], image: Sequence[Number], head: Number) -> Network:
    """Return four neurons of heads ± `head`, in a direction and its mirror image at the axis."""
    signed = [(sign * head, [sign * x for x in w]) for w in (row, image) for sign in (1, -1)]
    return Network(*zip(*signed, strict=True))


def biased(*classes: Sequence[Number]) -> Network:
    """Return flattest neurons with a bias at T = 4, for the κ of each of the two classes: they respond with κ or 0."""
    signed = [(sign, kappa) for sign, kappas in zip((1, -1), classes, strict=True) for kappa in kappas]
    half = [Fraction(kappa) / 2 for _, kappa in signed]
    weights = [[-sign * x] * 4 for (sign, _), x in zip(signed, half, strict=True)]
    return Network([sign * x for (sign, _), x in zip(signed, half, strict=True)], weights, half)
