"""Enumeration tests of the bound for features that favour no pair of coordinates."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import sympy as sp

from theory.claims.transfer.transfer_bound import (
    CLAIM,
    n,
    pairs,
    share,
)
from theory.kernel import CheckFailedError, Derivation, Terms


def cube(size: int) -> np.ndarray:
    return np.array(list(itertools.product((-1.0, 1.0), repeat=size)))


def test_closed_form_status_and_values() -> None:
    assert CLAIM.status == "derived"
    for count, size in ((1, 2), (3, 8), (40, 9)):
        assert CLAIM.predict(n=count, d=size) == pytest.approx(1 - count / math.comb(size, 2), rel=1e-15, abs=1e-15)


def test_enumeration_products_of_two_coordinates_are_orthonormal() -> None:
    signs = cube(5)
    products = np.stack([signs[:, i] * signs[:, j] for i, j in itertools.combinations(range(5), 2)])
    np.testing.assert_array_equal(products @ products.T / len(signs), np.eye(10))


def test_enumeration_lookup_table_meets_the_bound_exactly_where_it_can() -> None:
    """Indicator features: E MSE = (1 − 2^{−d})ⁿ over all samples, which is above the bound."""
    signs = cube(3)
    labels = signs[:, 0] * signs[:, 1]
    for count in (1, 2, 3):
        errors = []
        for sample in itertools.product(range(8), repeat=count):
            prediction = np.zeros(8)
            prediction[list(sample)] = labels[list(sample)]
            errors.append(((prediction - labels) ** 2).mean())
        assert np.mean(errors) == pytest.approx((1 - 1 / 8) ** count, rel=1e-12)
        assert np.mean(errors) >= CLAIM.predict(n=count, d=3)


def test_enumeration_pair_kernel_attains_the_bound_on_orthogonal_contexts() -> None:
    """Features χ_S: one context gives E MSE = 1 − 1/C(d, 2), with equality."""
    size = 4
    signs = cube(size)
    products = np.stack([signs[:, i] * signs[:, j] for i, j in itertools.combinations(range(size), 2)], axis=1)
    labels = products[:, 0]
    errors = [
        ((products @ (np.linalg.pinv(products[[c]]) @ labels[[c]]) - labels) ** 2).mean() for c in range(len(signs))
    ]
    assert np.mean(errors) == pytest.approx(CLAIM.predict(n=1, d=size), rel=1e-12)


def test_enumeration_features_of_the_pair_itself_break_it() -> None:
    """Without permutation invariance the bound fails: the feature z₁z₂ makes one label enough."""
    labels = cube(4)[:, 0] * cube(4)[:, 1]
    prediction = labels * (labels[0] / labels[0] ** 2 * labels[0])
    assert ((prediction - labels) ** 2).mean() == 0 < CLAIM.predict(n=1, d=4)


def test_mutant_without_exchangeability_the_share_is_open() -> None:
    derivation = Derivation("mutant")
    source = CLAIM.derivation
    derivation.lemma("bessel-sum", source, "bessel-sum")
    with pytest.raises(CheckFailedError, match="remainder"):
        derivation.inequality(
            "fair-share", sp.Ge(n, pairs * share), "exchangeability is not given", Terms(using={"bessel-sum": sp.S.One})
        )
