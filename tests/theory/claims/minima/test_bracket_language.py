"""Closed form, exact finite difference, property and mutant tests of the gradient bound of the bracket net."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.claims.minima.bracket_counterexamples import contexts
from theory.claims.minima.bracket_language import (
    D,
    alpha,
    b,
    c,
    gradient_bound,
    h,
    j,
    r,
    s,
)
from theory.kernel import CheckFailedError, Derivation, Terms

Weights = list[Fraction]


def output(a: Weights, w: list[Weights], beta: Weights, z: tuple[int, ...]) -> Fraction:
    return sum(
        (a_j * max(Fraction(0), sum(x * y for x, y in zip(w_j, z, strict=True)) + beta_j))
        for a_j, w_j, beta_j in zip(a, w, beta, strict=True)
    ) or Fraction(0)


def net(random: Random, width: int, length: int) -> tuple[Weights, list[Weights], Weights]:
    def draw() -> Fraction:
        return Fraction(random.randint(-99, 99), 7)

    # An odd multiple of 1/14 as bias keeps every pre-activation at least 1/14 away from the kink.
    biases = [Fraction(2 * random.randint(-9, 9) + 1, 14) for _ in range(width)]
    return [draw() for _ in range(width)], [[draw() for _ in range(length)] for _ in range(width)], biases


def test_closed_form_equality_forces_full_response_and_the_right_sign() -> None:
    assert set(gradient_bound()["mean"].equality) == {
        s[j, c] * (r[j, c] - b[j] * sp.sqrt(D)),
        b[j] * h[j, c] * r[j, c],
    }


@pytest.mark.parametrize("length", [4, 6])
def test_finite_difference_squared_gradient_is_exact_in_fractions(length: int) -> None:
    # f is piecewise linear in each parameter alone, so a difference quotient within one piece is the derivative.
    random = Random(length)
    step = Fraction(1, 10**4)
    a, w, beta = net(random, 3, length)
    for z, _ in contexts(length, nested=False):
        base = output(a, w, beta, z)
        squares = Fraction(0)
        flat = [*a, *beta, *(x for row in w for x in row)]
        for k in range(len(flat)):
            moved = [x + step * (k == place) for place, x in enumerate(flat)]
            rows = [moved[6 + length * row : 6 + length * (row + 1)] for row in range(3)]
            squares += ((output(moved[:3], rows, moved[3:6], z) - base) / step) ** 2
        closed = Fraction(0)
        for a_j, w_j, beta_j in zip(a, w, beta, strict=True):
            v = sum(x * y for x, y in zip(w_j, z, strict=True)) + beta_j
            closed += max(Fraction(0), v) ** 2 + a_j**2 * length * (v > 0)
        assert squares == closed


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), half=st.integers(1, 4), width=st.integers(1, 6), biased=st.booleans())
def test_property_squared_gradient_is_at_least_twice_the_output_on_every_context(
    seed: int, half: int, width: int, biased: bool
) -> None:
    random = Random(seed)
    length = 2 * half
    a, w, beta = net(random, width, length)
    if not biased:
        beta = [Fraction(0)] * width
    z, _ = random.choice(list(contexts(length, nested=False)))
    squares = Fraction(0)
    for a_j, w_j, beta_j in zip(a, w, beta, strict=True):
        v = sum(x * y for x, y in zip(w_j, z, strict=True)) + beta_j
        squares += max(Fraction(0), v) ** 2 + a_j**2 * (length - 1 + biased) * (v > 0)
    # |∇f|² ≥ 2√D |f|, squared: exact in fractions
    assert squares**2 >= 4 * (length - 1 + biased) * output(a, w, beta, z) ** 2


@pytest.mark.parametrize("length", [2, 4, 6, 8])
@pytest.mark.parametrize("nested", [False, True])
def test_enumeration_contexts_are_distinct_and_counted(length: int, nested: bool) -> None:
    listed = list(contexts(length, nested=nested))
    half = length // 2
    words = math.comb(length, half) // (half + 1 if nested else 1)
    assert len(set(listed)) == len(listed) == length * words
    assert all(token == -sum(z) and sum(x * x for x in z) == length - 1 for z, token in listed)


def test_mutant_without_the_gate_a_closed_neuron_would_have_to_pay() -> None:
    root = sp.sqrt(D)
    d = Derivation("mutant")
    d.inequality(
        "square",
        gradient_bound()["square"].statement,
        "the square",
        Terms((s[j, c] * (r[j, c] - b[j] * root) ** 2,)),
    )
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "am-gm",
            gradient_bound()["am-gm"].statement,
            "r = s r is missing",
            Terms(using={"square": sp.S.One}),
        )


def test_mutant_a_neuron_of_the_wrong_sign_does_not_add_more() -> None:
    with pytest.raises(CheckFailedError, match="sign"):
        Derivation("mutant").inequality(
            "sign",
            sp.Ge((1 - 2 * h[j, c]) * b[j] * r[j, c], b[j] * r[j, c]),
            "turned round",
            Terms((-2 * h[j, c] * b[j] * r[j, c],)),
        )


def test_mutant_the_bound_does_not_hold_for_another_margin_without_its_hypothesis() -> None:
    d = Derivation("mutant")
    d.lemma("gradient", gradient_bound())
    with pytest.raises(CheckFailedError, match="not given"):
        d.instance("other", "gradient", {alpha: sp.S(2)}, "margin 2 was not assumed")
