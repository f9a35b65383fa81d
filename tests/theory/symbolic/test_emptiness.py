"""Closed form and property: conditions of Γ that contradict each other are refused, those with a solution are not."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.kernel import logistic
from theory.symbolic import SymbolicModel, SymbolicModelError
from theory.symbolic.emptiness import contradiction
from theory.symbolic.examples import alpha, bracket_model, pair_model, product_model

u, v, w, z = sp.symbols("u v w z", real=True)
bare = sp.Symbol("bare")
THIRD = sp.Rational(1, 3)


def softmax(*scores: int) -> tuple[sp.Expr, ...]:
    total = sum(sp.exp(s) for s in scores)
    return tuple(sp.exp(s) / total for s in scores)


def model(scores: Any, conditional: Any, **options: Any) -> SymbolicModel:
    options = {"parameters": (u, v, w), "contexts": ({},), **options}
    return SymbolicModel("mine", scores=scores, conditional=conditional, **options)


TWO_SLOPES = model(
    (0, u * v * z), (1 - logistic(alpha), logistic(alpha)), contexts=({z: 1}, {z: 2}), constants=(alpha,)
)
EMPTY = {
    "uv = α and 2uv = α": TWO_SLOPES,
    "u² = −ln 2": model((0, u**2), (2 * THIRD, THIRD)),
    "of a symbol that is not said to be real": model((0, bare**2), (2 * THIRD, THIRD), parameters=(bare,)),
    "exp u = −ln 2": model((0, sp.exp(u)), (2 * THIRD, THIRD)),
    "relu u = −ln 2": model((0, sp.Max(0, u)), (2 * THIRD, THIRD)),
    "u + v = 1, v + w = 1, u − w = 1": model((0, u + v, v + w, u - w), softmax(0, 1, 1, 1)),
    "u² = 1, v² = 4, uv = 3": model((0, u**2, v**2, u * v), softmax(0, 1, 4, 3)),
    "u³ + u = 1, u² = 1: no complex solution either": model((0, u**3 + u + 1, u**2), softmax(0, 2, 1)),
    "w(u² + v²) = 0, uvw = 1": model((0, w * (u**2 + v**2), u * v * w), softmax(0, 0, 1)),
    "one square unit for two coordinates": pair_model(2, 1),
    "one square unit for three coordinates": pair_model(3, 1),
}
WHOLE = {
    "product": product_model(),
    "pairs": pair_model(2, 2),
    "pairs of three": pair_model(3, 2),
    "brackets": bracket_model(2, 2),
    "u² = ln 2": model((0, u**2), (THIRD, 2 * THIRD)),
    "u² = 1, v² = 4, uv = −2": model((0, u**2, v**2, u * v), softmax(0, 1, 4, -2)),
    "w(u² + v²) = 0": model((0, w * (u**2 + v**2)), softmax(0, 0)),
    "ln 6 = ln 2 + ln 3": model(
        (0, u + sp.log(6), u + sp.log(2) + sp.log(3)), (sp.Rational(1, 5), 2 * sp.Rational(1, 5), 2 * sp.Rational(1, 5))
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_error_nothing_is_derived_on_an_empty_manifold(name: str) -> None:
    own = EMPTY[name]
    for derived in ("manifold", "trace_on_manifold", "hessian_on_manifold", "normals"):
        with pytest.raises(SymbolicModelError, match=r"that can hold .*, got Eq.* cannot hold; Γ is empty: choose"):
            getattr(own, derived)
    with pytest.raises(SymbolicModelError, match="Γ is empty"):
        own.slow_flow()
    with pytest.raises(SymbolicModelError, match="Γ is empty"):
        own.slow_flow_at(dict.fromkeys(own.parameters, sp.S.One))
    assert r"\emptyset" in own._repr_latex_()
    assert own.loss.free_symbols  # away from Γ all is as it was


@pytest.mark.parametrize("name", WHOLE)
def test_closed_form_manifolds_with_a_point_are_not_refused(name: str) -> None:
    assert WHOLE[name].manifold


integers = st.integers(-3, 3)
polynomials = st.lists(st.tuples(integers, st.tuples(*[st.integers(0, 2)] * 3)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=60)
@given(conditions=st.lists(polynomials, min_size=1, max_size=5), point=st.tuples(integers, integers, integers))
def test_property_conditions_that_hold_at_a_point_never_contradict_each_other(
    conditions: list[list[tuple[int, tuple[int, int, int]]]], point: tuple[int, int, int]
) -> None:
    at = dict(zip((u, v, w), point, strict=True))
    residuals = []
    for terms in conditions:
        value = sp.Add(*(c * u**i * v**j * w**k for c, (i, j, k) in terms))
        if (residual := sp.expand(value - value.subs(at))) != 0:
            residuals.append(residual)
    assert contradiction(residuals, (u, v, w)) is None


def test_mutant_one_condition_off_by_a_constant_is_noticed() -> None:
    conditions = [u * v - alpha, v * w - 1, u * v + v * w - alpha - 1]
    assert contradiction(conditions, (u, v, w)) is None
    assert contradiction([*conditions[:2], conditions[2] + THIRD], (u, v, w)) is not None
