"""Networks of the pair language in exact arithmetic: what the models of its derivations are made of.

Everything is computed from weights and contexts, by enumerating the cube and by differences, and by no formula of the
theorems.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from typing import Any

import sympy as sp

Context = tuple[int, ...]
Number = Any
"""A Fraction, or an exact constant of sympy."""


@dataclass(frozen=True)
class Network:
    """f(z) = Σ_j a_j (w_j·z)² on the cube {±1}^d.

    Attributes:
        heads: a_j.
        weights: w_{j,i}.
    """

    heads: Sequence[Number]
    weights: Sequence[Sequence[Number]]

    @cached_property
    def cube(self) -> tuple[Context, ...]:
        """All contexts."""
        return tuple(itertools.product((1, -1), repeat=len(self.weights[0])))

    def output(self, z: Context) -> Number:
        """f(z)."""
        pairs = zip(self.heads, self.weights, strict=True)
        return sum((a * dot(w, z) ** 2 for a, w in pairs), Fraction(0))

    def mean(self, function: Callable[[Context], Number]) -> Number:
        """Average over the contexts."""
        return sum((function(z) for z in self.cube), Fraction(0)) / len(self.cube)

    def along(self, z: Context) -> Iterator[tuple[Number, Number]]:
        """Coefficients of t and t² in f(z; θ + te), for every coordinate e of θ: f is quadratic in each of them."""
        here = self.output(z)
        for up, down in zip(self._moved(1), self._moved(-1), strict=True):
            right, left = up.output(z), down.output(z)
            yield (right - left) / 2, (right + left) / 2 - here

    def _moved(self, step: int) -> Iterator[Network]:
        for j, row in enumerate(self.weights):
            yield Network([a + step * (k == j) for k, a in enumerate(self.heads)], self.weights)
            for i in range(len(row)):
                rows = [[x + step * ((k, n) == (j, i)) for n, x in enumerate(w)] for k, w in enumerate(self.weights)]
                yield Network(self.heads, rows)

    def squared_gradient(self) -> Number:
        """E ‖∇f‖²."""
        return self.mean(lambda z: sum((slope**2 for slope, _ in self.along(z)), Fraction(0)))

    def trace(self, alpha: Number) -> sp.Expr:
        """Tr H of the mean cross-entropy, labels being 1 with probability σ(α z₁z₂); θ need not be on Γ."""

        def at(z: Context) -> Number:
            second, moves = _second_derivative(self.output(z), alpha * z[0] * z[1]), list(self.along(z))
            parts = (value * sum(s**i * b**k for s, b in moves) for (i, k), value in second.terms())
            return sum(parts, sp.S.Zero)

        return sp.sympify(self.mean(at))


@cache
def _second_derivative(output: Number, target: Number) -> sp.Poly:
    """∂²/∂t² of the cross-entropy at f = output + st + bt², at t = 0, in s and b."""
    t, slope, bend = sp.symbols("t s b", real=True)
    moved = output + slope * t + bend * t**2
    loss = sp.log(1 + sp.exp(moved)) - moved / (1 + sp.exp(-target))
    return sp.Poly(sp.diff(loss, t, 2).subs(t, 0), slope, bend)


def dot(w: Sequence[Number], z: Sequence[int]) -> Number:
    """w·z."""
    return sum((x * s for x, s in zip(w, z, strict=True)), Fraction(0))


def on_gamma(alpha: Fraction, diagonal: Sequence[int], *extra: tuple[Fraction, Sequence[int]]) -> Network:
    """Return the network Σ_j a_j w_j w_jᵀ = (α/2)(e₁e₂ᵀ + e₂e₁ᵀ) + diag, a matrix whose trace is 0: a point of Γ.

    Neurons `extra` are chosen, and the others are the columns of LDLᵀ of what they leave.
    """
    rest = [[Fraction(x if i == k else 0) for k in range(len(diagonal))] for i, x in enumerate(diagonal)]
    rest[0][1] = rest[1][0] = alpha / 2
    heads, weights = [a for a, _ in extra], [list(map(Fraction, w)) for _, w in extra]

    def subtract(a: Fraction, w: Sequence[Any]) -> None:
        for i, k in itertools.product(range(len(w)), repeat=2):
            rest[i][k] -= a * w[i] * w[k]

    for a, w in extra:
        subtract(a, w)
    for i in range(len(diagonal)):
        heads.append(rest[i][i])
        weights.append([x / heads[-1] for x in rest[i]])
        subtract(heads[-1], weights[-1])
    return Network(heads, weights)
