"""Heads on features of the cube {±1}^d, exactly: what the models of `transfer_bound` measure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

Point = tuple[int, ...]


def cube(d: int) -> list[Point]:
    """All points."""
    return list(itertools.product((-1, 1), repeat=d))


def pair_products(z: Point) -> list[int]:
    """Return z_i z_j for all i < j."""
    return [first * second for first, second in itertools.combinations(z, 2)]


def relu_units(z: Point) -> list[int]:
    """Two units that treat the coordinates differently."""
    return [max(2 * z[0] + z[1], 0), max(z[1] - 3 * z[2] + 1, 0)]


def average(first: Sequence[sp.Expr], second: Sequence[sp.Expr]) -> sp.Expr:
    """Mean product of two functions."""
    return sp.Add(*(a * b for a, b in zip(first, second, strict=True))) / len(first)


@dataclass(frozen=True)
class Draw:
    """A head for z₁z₂ on features whose coordinates, and whose labelled contexts, are permuted.

    Attributes:
        basis: the kernel functions of the contexts, orthonormalised; 0 where they depend on earlier ones.
        weights: coefficients of the prediction of the ridge head in that basis.
    """

    basis: list[list[sp.Expr]]
    weights: list[sp.Expr]

    @classmethod
    def of(
        cls,
        features: Callable[[Point], list[int]],
        contexts: Sequence[Point],
        order: Sequence[int],
        penalty: sp.Rational,
    ) -> Draw:
        """Fit the head on contexts whose coordinates are in that order; its features put them back."""
        d = len(order)
        at = sp.Matrix([features(tuple(z[order.index(place)] for place in range(d))) for z in cube(d)])
        seen = sp.Matrix([features(z) for z in contexts])
        labels = sp.Matrix([z[order[0]] * z[order[1]] for z in contexts])
        kernel = at * seen.T
        prediction = list(kernel * (seen * seen.T + penalty * sp.eye(len(contexts))).inv() * labels)
        orthogonal: list[list[sp.Expr]] = []
        for column in range(len(contexts)):
            rest = list(kernel[:, column])
            for member in filter(any, orthogonal):
                along = average(rest, member) / average(member, member)
                rest = [a - along * b for a, b in zip(rest, member, strict=True)]
            orthogonal.append(rest)
        basis = [[a / sp.sqrt(average(rest, rest)) if any(rest) else a for a in rest] for rest in orthogonal]
        return cls(basis, [average(prediction, member) for member in basis])
