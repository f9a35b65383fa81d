"""Where SGD ends: what is proved of it, what is not, and the heights of the splits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from theory.claims.minima import flattest_pairs
from theory.claims.minima.sgd_reaches_flattest import CLAIM


def test_formula_is_that_of_the_flattest_minimum() -> None:
    assert CLAIM.predict(d=4, m=12, alpha=1.5) == flattest_pairs.CLAIM.predict(d=4, m=12, alpha=1.5)


@pytest.mark.parametrize("m", [4, 5, 8, 9])
def test_enumeration_the_even_split_is_the_lowest_of_all(m: int) -> None:
    heights = {
        (plus, m - plus): CLAIM.predict("split", d=3, plus=plus, minus=m - plus, alpha=1.2) for plus in range(1, m)
    }
    least = CLAIM.predict(d=3, m=m, alpha=1.2)
    assert min(heights.values()) == pytest.approx(least, rel=1e-14)
    for (plus, minus), height in heights.items():
        assert (abs(plus - minus) <= 1) == (height <= least * (1 + 1e-12))


def test_enumeration_the_two_feature_net_of_a_split_attains_its_height() -> None:
    d, plus, minus, alpha = 3, 2, 4, 1.2
    contexts = np.array(list(itertools.product((-1.0, 1.0), repeat=d)))
    heads, weights = [], []
    for sign, count in ((1, plus), (-1, minus)):
        price = (d**2 * alpha / 2 / count) ** (1 / 3)
        direction = np.zeros(d)
        direction[:2] = 1, sign
        heads += [sign * price / d] * count
        weights += [price / np.sqrt(2 * d) * direction] * count
    a, w = np.array(heads), np.array(weights)
    overlap = contexts @ w.T
    np.testing.assert_allclose((overlap**2) @ a, alpha * contexts[:, 0] * contexts[:, 1], atol=1e-14)
    # ‖∇f‖² at a context: (w·z)⁴ for the head and 4a²(w·z)²‖z‖² for the weights of each neuron
    squares = (overlap**4).sum(1) + 4 * (a**2 * overlap**2).sum(1) * d
    slope = 1 / (2 + np.exp(alpha) + np.exp(-alpha))
    expected = CLAIM.predict("split", d=d, plus=plus, minus=minus, alpha=alpha)
    assert slope * squares.mean() == pytest.approx(expected, rel=1e-13)
