"""Enumeration tests of the moments and the trace formula of the pair model."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from theory.claims.minima import pair_language
from theory.claims.minima.pair_language import Neurons, alpha, d, n, over_signs
from theory.kernel import CheckFailedError, Derivation


def rational(rng: np.random.Generator, *shape: int) -> np.ndarray:
    drawn = [Fraction(int(p), int(q)) for p, q in zip(rng.integers(-9, 10, 99), rng.integers(1, 7, 99), strict=True)]
    return np.array(drawn[: int(np.prod(shape))], dtype=object).reshape(shape)


@pytest.mark.parametrize(("dimension", "width"), [(2, 1), (3, 4), (5, 3)])
def test_enumeration_cost_and_coefficients_over_the_cube(dimension: int, width: int) -> None:
    rng = np.random.default_rng([20, dimension, width])
    heads, weights = rational(rng, width), rational(rng, width, dimension)
    cost = mean = pair = Fraction(0)
    for signs in itertools.product((-1, 1), repeat=dimension):
        z = np.array(signs, dtype=object)
        projections = weights @ z
        by_head = projections**2
        by_weight = 2 * (heads * projections)[:, None] * z[None, :]
        cost += (by_head**2).sum() + (by_weight**2).sum()
        mean += (heads * by_head).sum()
        pair += z[0] * z[1] * (heads * by_head).sum()
    derivation = pair_language.derive()
    values = {sp.IndexedBase("a", real=True)[j + 1]: v for j, v in enumerate(heads)}
    values |= {sp.IndexedBase("w", real=True)[j + 1, k + 1]: weights[j, k] for j, k in np.ndindex(width, dimension)}
    for step, total in (("cost", cost), ("mean", mean), ("pair", pair)):
        explicit = derivation[step].statement.rhs.subs({pair_language.m: width, d: dimension}).doit()
        exact = explicit.subs({symbol: sp.Rational(v.numerator, v.denominator) for symbol, v in values.items()})
        assert exact == sp.Rational(total.numerator, total.denominator * 2**dimension)


def test_mutant_without_the_cube_the_weight_gradient_has_another_size() -> None:
    derivation = Derivation("mutant")
    total, head, projection, z = sp.symbols("G a S z", real=True)
    with pytest.raises(CheckFailedError, match="remainder"):
        derivation.induction(
            "weight-gradient-square",
            sp.Eq(total, 4 * head**2 * projection**2 * n),
            "z² = 1 is not given",
            initial={n: sp.S.Zero, total: sp.S.Zero},
            update={n: n + 1, total: total + (2 * head * projection * z) ** 2},
        )


def test_mutant_without_saturation_the_residual_stays() -> None:
    t, p = sp.Symbol("t", real=True), sp.Symbol("p", positive=True)
    f = sp.Function("f", real=True)(t)
    loss = sp.log(1 + sp.exp(f)) - p * f
    stated = pair_language.derive()["curvature"].statement
    assert sp.simplify(stated.lhs - sp.diff(loss, t, 2)) == 0
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity("curvature", stated, "θ ∈ Γ is not given")


def test_closed_form_averages_over_signs() -> None:
    z1, z2, z3 = sp.symbols("z_1:4", real=True)
    assert over_signs(z1 * z2, z1, z2).doit() == 0
    assert over_signs((z1 + 2 * z2 + 3 * z3) ** 2, z1, z2, z3).doit() == 14


def test_closed_form_cost_of_one_neuron() -> None:
    family = Neurons(sp.IndexedBase("a", real=True), sp.IndexedBase("w", real=True), sp.S.One)
    shown = family.cost(sp.S.One).subs(d, 2).doit()
    first, second, head = family.w[1, 1], family.w[1, 2], family.a[1]
    square = first**2 + second**2
    assert sp.expand(shown - 3 * square**2 + 2 * first**4 + 2 * second**4 - 8 * head**2 * square) == 0
    assert alpha.is_positive
