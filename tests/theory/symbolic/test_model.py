"""Closed form, enumeration and error tests of symbolic models."""

from __future__ import annotations

import doctest
import itertools
from typing import Any

import pytest
import sympy as sp

from theory.kernel import logistic, logistic_slope
from theory.kernel.normal_form import remainder
from theory.symbolic import SymbolicModel, SymbolicModelError
from theory.symbolic import model as symbolic_model
from theory.symbolic.examples import alpha, bracket_model, pair_model, product_model

u, v, z = sp.symbols("u v z", real=True)
slope = logistic_slope(alpha)
QUARTER = sp.Rational(1, 4)


def definition(**changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "name": "mine",
        "parameters": (u, v),
        "scores": (0, u * v * z),
        "contexts": ({z: 1}, {z: 2}),
        "context_prob": (sp.Rational(3, 4), sp.Rational(1, 4)),
        "conditional": (1 - logistic(alpha * z), logistic(alpha * z)),
        "constants": (alpha,),
    }
    return whole | changes


def three_tokens() -> SymbolicModel:
    """Three tokens with a table of exact probabilities: nothing binary, nothing symmetric."""
    return SymbolicModel(
        "three",
        (u, v),
        (sp.S.Zero, u * z, v + u**2),
        ({z: sp.S.One}, {z: sp.Integer(2)}),
        (
            (sp.Rational(1, 2), sp.Rational(1, 4), sp.Rational(1, 4)),
            (sp.Rational(1, 6), sp.Rational(1, 2), QUARTER + sp.Rational(1, 12)),
        ),
    )


def test_closed_form_product_model() -> None:
    model = product_model()
    assert model.manifold == (sp.Eq(u * v, alpha),)
    assert remainder(model.trace_on_manifold - slope * (u**2 + v**2)) == 0
    flow = model.slow_flow(QUARTER)
    assert remainder(2 * u * flow[0] - 2 * v * flow[1] + slope * (u**2 - v**2)) == 0
    assert remainder(v * flow[0] + u * flow[1]) == 0


@pytest.mark.parametrize(("d", "m"), [(2, 2), (3, 2)])
def test_closed_form_pair_model_trace(d: int, m: int) -> None:
    model = pair_model(d, m)
    a, w = model.parameters[:m], sp.Matrix(m, d, model.parameters[m:])
    expected = slope * sum(
        3 * sum(w[j, i] ** 2 for i in range(d)) ** 2
        - 2 * sum(w[j, i] ** 4 for i in range(d))
        + 4 * d * a[j] ** 2 * sum(w[j, i] ** 2 for i in range(d))
        for j in range(m)
    )
    assert remainder(model.trace_on_manifold - expected) == 0
    assert len(model.manifold) == 2 ** (d - 1)


def test_closed_form_bracket_model_at_the_flattest_point() -> None:
    model = bracket_model(4, 2)
    width = sp.Rational(1, 2)
    point = dict(zip(model.parameters, (1 / width, -1 / width, *[-width] * 4, *[width] * 4), strict=True)) | {
        alpha: sp.S.One
    }
    assert {sp.simplify(c.subs(point)) for c in model.manifold} == {sp.true}
    trace = model.trace_on_manifold.subs(point)
    # E Σ_j [relu² + a²(T − 1) gate]: one neuron is active on every context.
    assert sp.simplify(trace - logistic_slope(1) * (width**2 + 3 / width**2)) == 0


def test_closed_form_hessian_and_noise_meet_on_the_manifold() -> None:
    model = product_model()
    on_gamma = {u: alpha / v}
    for first, second in (
        (model.hessian, model.hessian_on_manifold),
        (model.gradient_noise, model.hessian_on_manifold),
    ):
        assert all(remainder((x - y).subs(on_gamma)) == 0 for x, y in zip(first, second, strict=True))
    assert remainder(model.trace_hessian - model.hessian.trace()) == 0


def test_enumeration_three_tokens_at_an_exact_point_of_the_manifold() -> None:
    # log(p_1/p_0) = −log 2 at z = 1 and log 3 at z = 2 contradict u z: Γ is empty; one context is not.
    whole = three_tokens()
    single = SymbolicModel("one", whole.parameters, whole.scores, whole.contexts[:1], whole.truth[:1])
    point = {u: -sp.log(2), v: -sp.log(2) - sp.log(2) ** 2}
    assert all(sp.simplify((c.lhs - c.rhs).subs(point)) == 0 for c in single.manifold)
    for matrix in (single.hessian, single.gradient_noise):
        for entry, on_gamma in zip(matrix, single.hessian_on_manifold, strict=True):
            assert abs(sp.N((entry - on_gamma).subs(point), 40)) < 1e-30
    assert abs(sp.N(single.loss.subs(point) - single.entropy_floor, 40)) < 1e-30


def test_enumeration_gap_between_noise_and_hessian_off_the_manifold() -> None:
    model = three_tokens()
    point = {u: sp.Rational(2, 7), v: sp.Rational(-3, 5)}
    gap = sp.zeros(2, 2)
    for prob, scores, truth in zip(model.context_prob, model.context_scores, model.truth, strict=True):
        partition = sum(map(sp.exp, scores))
        for score, p in zip(scores, truth, strict=True):
            gap += prob * p * partition / sp.exp(score) * sp.hessian(sp.exp(score) / partition, (u, v))
    gap -= model.gradient * model.gradient.T
    for x, y in zip(model.gradient_noise - model.hessian, gap, strict=True):
        assert abs(sp.N((x - y).subs(point), 40)) < 1e-30


def test_enumeration_projection_is_one_and_kills_the_normals() -> None:
    model = pair_model(2, 2)
    values = {s: sp.Rational(k + 2, 7) for k, s in enumerate(model.parameters)}
    projection = model.tangent_projection().subs(values)
    assert projection * projection == projection
    assert projection == projection.T
    assert projection.trace() == len(model.parameters) - 2
    assert model.normals.subs(values) * projection == sp.zeros(2, len(values))


def test_enumeration_flow_at_a_point_is_the_flow() -> None:
    model = pair_model(2, 2)
    w = sp.sqrt(2)
    point = dict(zip(model.parameters, (sp.S.One, -sp.Integer(2), sp.S.One, sp.S.One, w, -w), strict=True))
    # a_1 (w·z)² = 4 on z₁z₂ = 1 and −2·8 on z₁z₂ = −1: not on Γ for one α; rescale the second neuron.
    point[model.parameters[1]] = -sp.Rational(1, 2)
    on_gamma = point | {alpha: sp.Integer(4)}
    here = model.slow_flow_at(on_gamma, QUARTER)
    everywhere = model.slow_flow(QUARTER).subs(on_gamma)
    assert all(sp.simplify(x - y) == 0 for x, y in zip(here, everywhere, strict=True))
    assert all(sp.simplify(x) == 0 for x in model.normals.subs(on_gamma) * here)


def test_closed_form_bracket_flow_vanishes_at_the_flattest_point_and_lowers_the_trace_elsewhere() -> None:
    model = bracket_model(2, 2)
    flat = dict(zip(model.parameters, (1, -1, -1, -1, 1, 1), strict=True)) | {alpha: sp.S.One}
    assert model.slow_flow_at(flat, QUARTER) == sp.zeros(6, 1)
    steep = dict(zip(model.parameters, (2, -1, -QUARTER * 2, -QUARTER * 2, 1, 1), strict=True)) | {alpha: sp.S.One}
    flow = model.slow_flow_at(steep, QUARTER)
    trace_gradient = sp.Matrix([symbolic_model.derivative(model.trace_on_manifold, s) for s in model.parameters])
    assert sp.N(trace_gradient.subs(steep).dot(flow)) < 0
    with pytest.raises(SymbolicModelError, match="active units"):
        _ = model.normals


def test_closed_form_display() -> None:
    shown = product_model()._repr_latex_()
    assert r"\Gamma:\ u v &= \alpha" in shown
    assert r"\operatorname{tr} H" in shown
    certain = SymbolicModel(**definition(conditional=(sp.S.Zero, sp.S.One)))
    assert r"\emptyset" in certain._repr_latex_()


def test_closed_form_the_constant_is_the_derived_one() -> None:
    model = product_model()
    assert model.slow_flow() == model.slow_flow(QUARTER)


def test_documentation_example_runs() -> None:
    assert doctest.testmod(symbolic_model).failed == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contexts": ()}, "at least one context"),
        ({"contexts": ({z: 1}, {u: 2})}, "every context must give"),
        ({"contexts": ({z: 1}, {z: sp.oo})}, "not finite"),
        ({"contexts": ({z: 1}, {z: sp.Symbol("q")}), "conditional": (QUARTER, 1 - QUARTER)}, "unknown symbols"),
        ({"contexts": ({z: 1}, {z: 0.5})}, "exact numbers"),
        ({"context_prob": (sp.Rational(3, 4), sp.Rational(1, 2))}, "sum to one"),
        ({"context_prob": (sp.Rational(3, 2), sp.Rational(-1, 2))}, "not be negative"),
        ({"context_prob": (sp.S.One,)}, "expected 2 probabilities"),
        ({"conditional": (sp.Rational(1, 2), sp.Rational(1, 3))}, "sum to one"),
        ({"conditional": (logistic(alpha * z), logistic(alpha * z))}, "sum to one"),
        ({"conditional": (sp.S.One,)}, "one per token"),
        ({"constants": ()}, "unknown symbols"),
        ({"scores": (0, u * sp.Symbol("q"))}, "unknown symbols"),
        ({"scores": (0, u * sp.zoo)}, "not finite"),
        ({"scores": (u * v,)}, "two or more tokens"),
        ({"parameters": ()}, "one at least"),
        ({"parameters": (u, u)}, "listed twice"),
        ({"parameters": (u, z)}, "listed twice"),
        ({"parameters": (u, v + 1)}, "expected symbols"),
        ({"layout": {"u": slice(0, 1)}}, "cut θ into pieces"),
    ],
)
def test_error_definitions(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SymbolicModelError, match=message):
        SymbolicModel(**definition(**changes))


def test_error_empty_manifolds() -> None:
    certain = SymbolicModel(**definition(conditional=(sp.S.Zero, sp.S.One)))
    with pytest.raises(SymbolicModelError, match="probability 0"):
        _ = certain.manifold
    fixed = SymbolicModel(**definition(scores=(0, z)))
    with pytest.raises(SymbolicModelError, match="no parameter"):
        _ = fixed.manifold


def test_error_points_off_the_manifold() -> None:
    with pytest.raises(SymbolicModelError, match="not on Γ"):
        product_model().slow_flow_at({u: sp.S.One, v: sp.S.One, alpha: sp.Integer(2)}, QUARTER)
    with pytest.raises(SymbolicModelError, match="v have none"):
        product_model().slow_flow_at({u: sp.S.One}, QUARTER)


@pytest.mark.parametrize(("maker", "size"), list(itertools.product((pair_model, bracket_model), ((1, 2), (3, 0)))))
def test_error_sizes(maker: Any, size: tuple[int, int]) -> None:
    with pytest.raises(SymbolicModelError, match="expected"):
        maker(*size)
