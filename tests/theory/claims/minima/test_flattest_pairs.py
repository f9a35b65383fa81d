"""Closed form, enumeration, search and mutant tests of the flattest minimum of the pair language."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import minimize

from theory.claims.minima import even_split, pair_class
from theory.claims.minima.flattest_pairs import CLAIM
from theory.claims.minima.pair_class import ACROSS, ALONG, HEAD, MINUS, PLUS, PRICE
from theory.claims.minima.pair_language import d
from theory.kernel import CheckFailedError, Derivation, Terms


def slope(alpha: float) -> float:
    return 1 / (2 + math.exp(alpha) + math.exp(-alpha))


def cost(heads: np.ndarray, weights: np.ndarray) -> float:
    """Sum over neurons of 3‖w‖⁴ − 2‖w‖₄⁴ + 4 d a²‖w‖²."""
    norm = (weights**2).sum(1)
    return float((3 * norm**2 - 2 * (weights**4).sum(1) + 4 * weights.shape[1] * heads**2 * norm).sum())


def flattest(dimension: int, width: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    heads, weights = np.zeros(width), np.zeros((width, dimension))
    plus = (width + 1) // 2
    for members, sign in ((slice(0, plus), 1), (slice(plus, width), -1)):
        count = len(range(*members.indices(width)))
        kappa = (dimension**2 * alpha / 2 / count) ** (1 / 3)
        heads[members] = sign * kappa / dimension
        weights[members, 0] = kappa / math.sqrt(2 * dimension)
        weights[members, 1] = sign * weights[members, 0]
    return heads, weights


def test_closed_form_status_and_seen_value() -> None:
    assert CLAIM.status == "derived"
    assert CLAIM.predict(d=4, m=12, alpha=1.5) == pytest.approx(1.6912147903249424, rel=1e-15)
    loose = [step.name for step in CLAIM.derivation.hypotheses if step not in CLAIM.derivation.inherited]
    assert loose == ["gamma-mean", "gamma-pair", "all-neurons"]


@pytest.mark.parametrize(("dimension", "width"), [(2, 2), (2, 3), (3, 5), (4, 12), (7, 9)])
@pytest.mark.parametrize("alpha", [0.3, 2.7])
def test_closed_form_is_the_trace_of_the_exhibited_network(dimension: int, width: int, alpha: float) -> None:
    heads, weights = flattest(dimension, width, alpha)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * dimension, indexing="ij")).reshape(dimension, -1).T
    function = ((signs @ weights.T) ** 2) @ heads
    eps = np.finfo(float).eps
    np.testing.assert_allclose(function, alpha * signs[:, 0] * signs[:, 1], atol=64 * width * alpha * eps)
    predicted = CLAIM.predict(d=dimension, m=width, alpha=alpha)
    assert slope(alpha) * cost(heads, weights) == pytest.approx(predicted, rel=64 * eps)


def test_enumeration_dual_gap_on_rational_points() -> None:
    """The functional inequality on a grid of exact rationals that contains its case of equality."""
    tight = 0
    grid = [Fraction(k, 4) for k in range(-8, 9)]
    for a in grid:
        for x in (Fraction(k, 4) for k in range(1, 9)):
            for t in range(-4, 5):
                g = x * t / 4
                gap = x**2 + g**2 + 4 * 2 * a**2 * x - 2 * 2 * a * (3 * x + g) + Fraction(2 * 2**4, 4)
                assert gap >= 0
                tight += gap == 0
    assert tight == 1  # κ = d = 2: g = x = κ²/d = 2 and a = κ/d = 1


@pytest.mark.parametrize(("dimension", "width"), [(2, 2), (2, 3), (2, 5), (3, 3)])
def test_search_finds_the_bound_and_nothing_below(dimension: int, width: int) -> None:
    alpha = 1.3
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * dimension, indexing="ij")).reshape(dimension, -1).T
    target = alpha * signs[:, 0] * signs[:, 1]
    half = signs[signs[:, 0] > 0], target[signs[:, 0] > 0]  # f is even: half of the cube is enough

    def split(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return theta[:width], theta[width:].reshape(width, dimension)

    def misfit(theta: np.ndarray) -> np.ndarray:
        heads, weights = split(theta)
        return np.asarray(((half[0] @ weights.T) ** 2) @ heads - half[1])

    rng = np.random.default_rng([21, dimension, width])
    bound = CLAIM.predict(d=dimension, m=width, alpha=alpha) / slope(alpha)
    found = []
    for _ in range(12):
        start = rng.normal(size=width * (dimension + 1))
        result = minimize(
            lambda theta: cost(*split(theta)),
            start,
            constraints={"type": "eq", "fun": misfit},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 400},
        )
        # A misfit δ of f moves its mean and its z₁z₂-coefficient by δ at most, and the bound by (1 + 4/3) δ/α.
        if np.abs(misfit(result.x)).max() < 1e-8:
            assert result.fun >= bound * (1 - 4 * 1e-8)
            found.append(result.fun / bound)
    assert min(found) == pytest.approx(1, abs=1e-6)


def test_closed_form_odd_width_is_not_the_even_formula() -> None:
    even = 6 * slope(1.5) * 4 ** (2 / 3) * 0.75 ** (4 / 3) * 2 * 2.5 ** (-1 / 3)
    assert CLAIM.predict(d=4, m=5, alpha=1.5) > even * 1.004
    values = [CLAIM.predict(d=3, m=width, alpha=1.0) for width in range(2, 40)]
    assert all(earlier > later for earlier, later in pairwise(values))


def test_closed_form_even_split_beats_every_split() -> None:
    for width in range(2, 25):
        best = min(k ** (-1 / 3) + (width - k) ** (-1 / 3) for k in range(1, width))
        half = width // 2
        stated = even_split.derive().conclusion.statement.rhs.subs({even_split.r: half, even_split.odd: width % 2})
        assert best == pytest.approx(float(stated), rel=1e-14)


@pytest.mark.parametrize("sign", [ALONG, ACROSS])
def test_mutant_without_a_bound_on_the_overlap_the_dual_is_rejected(sign: sp.Symbol) -> None:
    free = {sign: sp.Symbol("q", real=True)}
    terms = [term.subs(free) for term in pair_class.dual_certificate().terms]
    statement = pair_class.derive(PLUS)["dual"].statement.subs(free)
    with pytest.raises(CheckFailedError, match="not evident"):
        Derivation("mutant").inequality("dual", statement, "x ± g of any sign", Terms(tuple(terms)))


@pytest.mark.parametrize("power", [3, 5])
def test_mutant_another_power_of_the_price_is_rejected(power: int) -> None:
    left, right = pair_class.derive(PLUS)["dual"].statement.args
    other = sp.Ge(left, right.subs(PRICE**4, PRICE**power))
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").inequality("dual", other, "another price", pair_class.dual_certificate())


def test_closed_form_the_dual_is_an_equation_for_the_flattest_neuron_alone() -> None:
    statement = pair_class.derive(PLUS)["dual"].statement
    best = {ALONG: 2 * PRICE**2 / d, ACROSS: 0, HEAD: PRICE / d}
    assert sp.expand((statement.lhs - statement.rhs).subs(best)) == 0
    factors = pair_class.derive(PLUS)["dual"].equality
    assert all(sp.expand(factor.subs(best)) == 0 for factor in factors)
    assert {ACROSS, ALONG - 2 * PRICE**2 / d} <= set(factors)


def test_mutant_secant_without_whole_numbers_is_rejected() -> None:
    k, r = sp.symbols("k r", positive=True)
    real = {even_split.k: k, even_split.r: r}
    statement = even_split.derive()["secant k"].statement.subs(real)
    certificate = Terms(((k - r) * (k - r - 1),))
    with pytest.raises(CheckFailedError, match="not evident"):
        Derivation("mutant").inequality("secant", statement, "k may be any real", certificate)


@pytest.mark.parametrize("dropped", ["gamma-mean", "gamma-pair"])
def test_mutant_a_constraint_of_gamma_is_needed(dropped: str) -> None:
    derivation = Derivation("mutant")
    for side in (PLUS, MINUS):
        derivation.lemma(f"cap {side.label}", pair_class.derive(side), f"cap {side.label}")
    source = CLAIM.derivation
    kept = next(name for name in ("gamma-mean", "gamma-pair") if name != dropped)
    derivation.assume(kept, source[kept].statement, "the other constraint is dropped")
    with pytest.raises(CheckFailedError, match="remainder"):
        derivation.inequality(
            "both-needed",
            source["both-needed"].statement,
            "neither class is empty",
            Terms(using={"cap plus": sp.S.One, "cap minus": sp.S.One}),
            given=(kept,),
        )


def test_closed_form_equality_names_the_two_features() -> None:
    for side, sign in ((PLUS, 1), (MINUS, -1)):
        factors = pair_class.derive(side)[f"class {side.label}"].equality
        family = side.family
        gap = family.power_sum(2) - sign * family.overlap()
        assert gap in factors  # ‖w‖² = ±2w₁w₂: w₁ = ±w₂ and every other coordinate is 0
    assert sp.expand((even_split.k - even_split.r) * (even_split.k - even_split.r - 1)) in [
        sp.expand(factor) for factor in even_split.derive().conclusion.equality
    ]
