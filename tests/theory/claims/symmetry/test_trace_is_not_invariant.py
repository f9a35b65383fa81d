"""The trace after rescaling: closed form, a network by hand, and mutants that the kernel refuses."""

from __future__ import annotations

import math

import pytest
import sympy as sp

from theory import ParameterError
from theory.claims.symmetry.trace_is_not_invariant import CLAIM, P, Q, R, c, curvature, i, jet, s, trace
from theory.kernel import CheckFailedError, Derivation, Terms


def test_status_is_derived_and_rests_on_no_condition() -> None:
    assert CLAIM.status == "derived"
    assert CLAIM.derivation.conditions == ()
    assert CLAIM.derivation.citations == ()


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_finite_difference_product_of_two_parameters(scale: float) -> None:
    """L(u, v, w) = (uv − 6)² + w² at u = 2, v = 3: curvatures 2v², 2u² and 2, found again at (cu, v/c)."""

    def loss(u: float, v: float, w: float) -> float:
        return (u * v - 6) ** 2 + w**2

    def second(*direction: float) -> float:
        moved = [loss(*(x + h * e for x, e in zip(point, direction, strict=True))) for h in (-1.0, 0.0, 1.0)]
        return moved[0] - 2 * moved[1] + moved[2]  # exact: the loss is quadratic in each parameter

    point = (2 * scale, 3 / scale, 0.0)
    measured = second(1, 0, 0) + second(0, 1, 0) + second(0, 0, 1)
    predicted = CLAIM.predict(p=18.0, q=8.0, rest=2.0, c=scale)
    assert measured == pytest.approx(predicted, rel=64 * 2.0**-52 * (1 + 36 / predicted))


def test_closed_form_least_value_is_attained_at_the_fourth_root() -> None:
    p, q, rest = 7.0, 0.3, 1.5
    least = CLAIM.predict("least", p=p, q=q, rest=rest)
    assert CLAIM.predict(p=p, q=q, rest=rest, c=(p / q) ** 0.25) == pytest.approx(least, rel=8 * 2.0**-52)
    for factor in (0.9, 1.1):
        assert CLAIM.predict(p=p, q=q, rest=rest, c=factor * (p / q) ** 0.25) > least
    assert CLAIM.predict(p=p, q=q, rest=rest, c=math.sqrt(p / 1e6)) >= 1e6


def test_closed_form_no_scale_no_change() -> None:
    assert CLAIM.predict(p=1.0, q=2.0, rest=4.0, c=1.0) == 7.0


@pytest.mark.parametrize(
    "wrong", [R + P / c + Q * c, R + P * c**2 + Q / c**2, R - P / c**2 + Q * c**2, P / c**2 + Q * c**2]
)
def test_mutant_wrong_power_or_sign_is_refused(wrong: sp.Expr) -> None:
    d = Derivation("mutant")
    for name in ("block first", "block second", "block rest", "trace"):
        step = CLAIM.derivation[name]
        d.define(name, step.statement, step.because)
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("scaled", sp.Eq(trace, wrong), "wrong", given=("trace", "block first", "block second", "block rest"))


def test_mutant_chain_rule_applied_once_is_refused() -> None:
    entry = curvature[0][i]
    right = CLAIM.derivation["moved first"].statement.rhs.removeO()
    wrong = right - entry * s**2 / (2 * c**2) + entry * s**2 / (2 * c)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").series("moved", jet(entry, s / c), s, 3, wrong, "H_ii/c in place of H_ii/c²")


def test_mutant_a_larger_least_value_is_refused() -> None:
    d = Derivation("mutant")
    d.lemma("scaled", CLAIM.derivation, "scaled")
    square = (sp.sqrt(P) / c - sp.sqrt(Q) * c) ** 2
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "least", sp.Ge(trace, R + 3 * sp.sqrt(P) * sp.sqrt(Q)), "3 for 2", Terms((square,)), given=("scaled",)
        )


def test_mutant_no_upper_bound_can_be_shown() -> None:
    d = Derivation("mutant")
    d.lemma("scaled", CLAIM.derivation, "scaled")
    with pytest.raises(CheckFailedError):
        d.inequality(
            "most", sp.Ge(R + P + Q, trace), "as if c = 1 were worst", Terms((R + P + Q - trace,)), given=("scaled",)
        )


@pytest.mark.parametrize(
    ("values", "match"), [({"c": 0.0}, "c = 0"), ({"p": -1.0}, "p = -1"), ({"rest": -0.5}, "rest")]
)
def test_error_outside_the_domain(values: dict[str, float], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        CLAIM.predict(**{"p": 1.0, "q": 1.0, "rest": 0.0, "c": 1.0, **values})
