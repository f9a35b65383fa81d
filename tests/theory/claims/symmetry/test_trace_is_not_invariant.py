"""The trace after rescaling: closed form and a network by hand."""

from __future__ import annotations

import math

import pytest

from theory.claims.symmetry.trace_is_not_invariant import CLAIM


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
