"""Closed form, enumeration and mutant tests of the bound at an angle to the axis."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.claims.minima import bracket_angle
from theory.claims.minima.bracket_angle import growth, second, tangents, total
from theory.claims.minima.bracket_counterexamples import contexts
from theory.claims.minima.bracket_language import T, j
from theory.claims.minima.flattest_brackets import CLAIM
from theory.kernel import CheckFailedError, Derivation, Terms


def test_closed_form_on_the_axis_it_is_the_minimum() -> None:
    for length in (4, 6, 10):
        on_axis = CLAIM.predict("angle", T=length, alpha=0.7, tangent=0)
        assert on_axis == pytest.approx(CLAIM.predict(T=length, alpha=0.7), rel=1e-15)


@pytest.mark.parametrize("length", [2, 4, 6])
def test_enumeration_moments_of_contexts_and_tokens(length: int) -> None:
    rows = list(contexts(length, nested=False))
    count = len(rows)
    squares = Fraction(sum(z[0] ** 2 for z, _ in rows), count)
    pairs = Fraction(sum(z[0] * z[1] for z, _ in rows), count)
    assert squares == Fraction(length - 1, length)
    assert pairs == (1 - length * squares) / (length * (length - 1))
    assert Fraction(sum(token * z[0] for z, token in rows), count) == Fraction(-1, length)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), half=st.integers(1, 3))
def test_property_ratio_of_one_direction_is_the_predicted_one(seed: int, half: int) -> None:
    length = 2 * half
    z, y = (np.array(side) for side in zip(*contexts(length, nested=False), strict=True))
    w = np.random.default_rng(seed).normal(size=length)
    response = np.maximum(z @ w, 0)
    # the cheapest neuron of unit share of the margin, over the same for the axis
    ratio = math.sqrt((response > 0).mean() * (response**2).mean()) / abs((y * response).mean())
    tangent_squared = length * float(w @ w) / float(w.sum()) ** 2 - 1
    predicted = math.sqrt(1 + tangent_squared * (length**2 - length - 1) / (length - 1))
    # S = Σw_i loses digits by cancellation when the direction is nearly perpendicular to the axis
    cancelled = float(np.abs(w).sum()) / abs(float(w.sum()))
    assert ratio == pytest.approx(predicted, rel=1e-12 * cancelled)


def test_enumeration_a_direction_with_zero_pre_activations_is_below_the_bound() -> None:
    z, y = (np.array(side) for side in zip(*contexts(4, nested=False), strict=True))
    w = np.array([2, 1, 1, 1])
    response = np.maximum(z @ w, 0)
    ratio = math.sqrt((response > 0).mean() * (response**2).mean()) / abs((y * response).mean())
    assert 1 < ratio < math.sqrt(1 + (4 * 7 / 25 - 1) * 11 / 3)


def test_mutant_without_the_angle_the_variance_may_be_smaller() -> None:
    d = Derivation("mutant")
    d.assume("variance", sp.Eq(second[j], total[j] ** 2 / T**2 * (1 + growth * tangents[j] ** 2)), "E v²")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "tilted",
            sp.Ge(second[j], total[j] ** 2 / T**2 * (1 + growth * bracket_angle.tangent**2)),
            "θ ≥ φ is missing",
            Terms((growth * tangents[j] ** 2 * total[j] ** 2 / T**2,)),
            given=("variance",),
        )
