"""Lookup tables in the pair language: heads by linear algebra over all label sequences."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from theory.claims.language_models.algorithm import CLAIM


@pytest.mark.parametrize("labels", [1, 2, 3, 5])
@pytest.mark.parametrize("p", [0.6, 0.9])
def test_enumeration_least_norm_heads_on_the_conditionals(labels: int, p: float) -> None:
    """Over all label sequences: how often the head is exact, and its mean squared error on both classes."""
    vectors, truth = np.array([[p, 1 - p], [1 - p, p]]), np.array([1.0, -1.0])
    exact, errors = [], []
    for classes in itertools.product((0, 1), repeat=labels):
        seen = list(set(classes))
        head = np.linalg.pinv(vectors[seen]) @ truth[seen]
        values = vectors @ head
        exact.append(np.array_equal(np.sign(values), truth))
        errors.append(((values - truth) ** 2).mean())
    spilt = 2 * p * (1 - p) / (p**2 + (1 - p) ** 2)
    assert np.mean(exact) == 1 - 2.0 ** (1 - labels)
    # heads that fit both classes are off by rounding times the condition number of the two vectors, 1/(2p − 1) ≤ 5
    assert np.mean(errors) == pytest.approx(2.0**-labels * (1 + spilt) ** 2, rel=64 * 5 * 2.0**-52)
    assert np.mean(errors) <= 2.0 ** (2 - labels)


def test_closed_form_of_the_lead() -> None:
    assert CLAIM.predict(n=8, d=12) == pytest.approx(1 - 8 / 66 - 2.0**-6, rel=2.0**-52)
    assert CLAIM.predict(n=1, d=12) < 0  # one label says nothing: the bound is empty
