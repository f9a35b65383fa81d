"""The noise covariance: the factors of the batch by enumeration."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
import sympy as sp

from theory.claims.noise.noise_covariance import CLAIM, over_tokens, s, softmax, t
from theory.kernel import CheckFailedError, Derivation


def test_enumeration_batches_without_replacement() -> None:
    population = [Fraction(x) for x in (-3, 1, 2, 5, 7)]
    n = len(population)
    centre = sum(population) / n
    variance = sum((x - centre) ** 2 for x in population) / n
    for batch in range(1, n + 1):
        means = [sum(chosen) / batch for chosen in itertools.combinations(population, batch)]
        exact = sum((x - centre) ** 2 for x in means) / len(means) / variance
        assert CLAIM.predict("without-replacement", B=batch, n=n) == pytest.approx(float(exact), rel=1e-15, abs=1e-15)


def test_enumeration_independent_batches() -> None:
    values = [Fraction(x) for x in (-1, 0, 4)]
    centre = sum(values) / 3
    variance = sum((x - centre) ** 2 for x in values) / 3
    for batch in (1, 2, 3):
        means = [sum(chosen) / batch for chosen in itertools.product(values, repeat=batch)]
        exact = sum((x - centre) ** 2 for x in means) / len(means) / variance
        assert CLAIM.predict(B=batch) == pytest.approx(float(exact), rel=1e-15)


@pytest.mark.parametrize(("alpha", "label"), [(1.5, 0.4), (-1.0, 2.0), (0.7, 0.7)])
def test_closed_form_wrong_labels(alpha: float, label: float) -> None:
    p, q = 1 / (1 + math.exp(-alpha)), 1 / (1 + math.exp(-label))
    expected = (q * (1 - p) ** 2 + (1 - q) * p**2) / (p * (1 - p))
    assert CLAIM.predict("wrong-labels", alpha=alpha, alpha_label=label) == pytest.approx(expected, rel=1e-14)


def test_mutant_curvature_does_not_vanish_off_the_manifold() -> None:
    p = softmax(s, t)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity(
            "curvature",
            sp.Eq(over_tokens(sp.diff(p, s, t) / p), 0),
            "weights 1 in place of p*: Σ_y ∂²p_y/p_y is not 0",
        )


def test_mutant_uncorrelated_draws_without_replacement_are_refused() -> None:
    n, batch = sp.symbols("n B", integer=True, positive=True)
    v, kappa = sp.symbols("v kappa", real=True)
    d = Derivation("mutant")
    d.assume("pair", sp.Eq(kappa, -v / n), "wrong: −v/n in place of −v/(n − 1)")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity(
            "factor",
            sp.Eq((batch * v + batch * (batch - 1) * kappa) / batch**2 / v, (n - batch) / ((n - 1) * batch)),
            "finite-population factor",
            given=("pair",),
        )
