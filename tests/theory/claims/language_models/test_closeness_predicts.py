"""Distance against trace: enumeration and an integrator."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from theory.claims.language_models.closeness_predicts import (
    CLAIM,
)


@pytest.mark.parametrize("start", [(1.3, 0.4), (0.9, -0.7), (2.0, 0.0)])
def test_cross_library_the_distance_is_where_an_integrator_arrives(start: tuple[float, float]) -> None:
    ends, product = [], start[0] * start[1]
    for target in (product + 0.3, product - 0.5):
        flow = solve_ivp(
            lambda _, x, target=target: -(x[0] * x[1] - target) * x[::-1], (0, 60), start, rtol=1e-12, atol=1e-12
        )
        ends.append(flow.y[:, -1])
    predicted = CLAIM.predict(first=product + 0.3, second=product - 0.5, imbalance=start[0] ** 2 - start[1] ** 2)
    # Local errors of 1e-12 over a few hundred steps of a contracting flow.
    assert float(((ends[0] - ends[1]) ** 2).sum()) == pytest.approx(predicted, rel=1e-8)


@pytest.mark.parametrize("product", [0.0, 0.7, -1.5])
def test_property_distance_falls_and_trace_rises_along_the_manifold(product: float) -> None:
    differences = [0.1, 0.5, 1.0, 4.0, 20.0]
    squares = [CLAIM.predict(first=product + 0.2, second=product - 0.2, imbalance=each) for each in differences]
    assert squares == sorted(squares, reverse=True)
    sizes = [math.hypot(each, 2 * product) for each in differences]
    assert sizes == sorted(sizes)


def test_property_the_exchange_holds_for_any_scores_with_equality_for_one_residual() -> None:
    generator = np.random.default_rng(0)
    scores, moved, weights = generator.normal(size=(9, 5)), generator.normal(size=5), generator.dirichlet(np.ones(9))
    for a, is_equal in ((scores, False), (np.outer(scores[:, 0], moved), True)):
        product = (moved @ moved) * (weights @ (a**2).sum(1))
        contrast = weights @ (a @ moved) ** 2
        # Where they are equal all terms are of one sign, so that either side rounds by less than 32 ε of itself.
        rounding = 64 * np.finfo(float).eps * contrast if is_equal else 0.0
        assert product >= contrast - rounding
        assert (product == pytest.approx(contrast, rel=1e-12)) == is_equal


def test_the_formula_is_the_leading_order_for_tasks_that_differ_little() -> None:
    small = 1e-3
    found = CLAIM.predict(first=0.4 + small, second=0.4 - small, imbalance=1.0)
    assert found == pytest.approx(4 * small**2 / math.hypot(1.0, 0.8), rel=10 * small**2)
