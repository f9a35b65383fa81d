"""Closed form, exhaustive enumeration and mutant tests of the transfer from the flattest bracket net."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import sympy as sp

from theory.claims.minima.bracket_counterexamples import contexts
from theory.claims.transfer.transfer_brackets import CLAIM
from theory.kernel import CheckFailedError, Derivation


def sequences(length: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([row for row in product((-1, 1), repeat=length) if abs(sum(row)) == 2])
    return x, (x.sum(1) > 0).astype(float)


def probe(features: np.ndarray, labels: np.ndarray, count: int) -> tuple[Fraction, Fraction]:
    """Enumerate all draws of `count` examples: probability of exactness, and expected accuracy at threshold ½."""
    exact, right = 0, 0
    total = len(labels) ** count
    for drawn in product(range(len(labels)), repeat=count):
        chosen = list(drawn)
        # rcond well above the rounding of rank-deficient features
        predictions = features @ (np.linalg.pinv(features[chosen], rcond=1e-9) @ labels[chosen])
        exact += bool(np.abs(predictions - labels).max() < 1e-6)
        right += int(((predictions > 0.5) == (labels > 0.5)).sum())
    return Fraction(exact, total), Fraction(right, total * len(labels))


def flattest_features(x: np.ndarray, positive: int, negative: int, dead: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    weights = np.concatenate(
        [-generator.uniform(0.1, 2, positive), generator.uniform(0.1, 2, negative), np.zeros(dead)]
    )
    return np.maximum(np.outer(x.sum(1), weights), 0)


def test_closed_form_predictions() -> None:
    assert [CLAIM.predict(n=k) for k in range(5)] == [1 - 2.0**-k for k in range(5)]
    assert CLAIM.predict("accuracy", n=3) == 1 - 1 / 16


@pytest.mark.parametrize("neurons", [(1, 1, 0), (2, 3, 1)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_enumeration_all_draws_on_flattest_features(neurons: tuple[int, int, int], count: int) -> None:
    x, labels = sequences(4)
    exact, accuracy = probe(flattest_features(x, *neurons), labels, count)
    assert exact == Fraction(CLAIM.predict(n=count))
    assert accuracy == Fraction(CLAIM.predict("accuracy", n=count))


@pytest.mark.parametrize("length", [2, 4, 6, 8])
def test_enumeration_labels_are_fair(length: int) -> None:
    _, labels = sequences(length)
    assert len(labels) == 2 * math.comb(length, length // 2 + 1)
    assert labels.mean() == 0.5


def test_enumeration_as_flat_with_a_bias_but_no_transfer() -> None:
    z = np.array([row for row, _ in contexts(4, nested=False)])
    x, labels = sequences(4)
    exact, _ = probe(np.maximum(2 * (x @ z.T) + 1 - 2 * 3, 0), labels, 3)
    assert exact == 0


def test_enumeration_as_flat_on_nested_words_but_no_transfer() -> None:
    x, labels = sequences(4)
    w = np.array([[-2, -2, -2, -1], [1, 2, 2, 2]])
    exact, _ = probe(np.maximum(x @ w.T, 0), labels, 3)
    assert exact == 0


def test_mutant_features_of_a_neuron_off_the_common_direction_are_not_constant_on_a_class() -> None:
    x = sp.IndexedBase("x", real=True)
    i = sp.Symbol("i", integer=True, positive=True)
    length = sp.Symbol("T", integer=True, positive=True)
    weight = sp.IndexedBase("w", real=True)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").identity(
            "pre-activation",
            sp.Eq(sp.Sum(weight[i] * x[i], (i, 1, length)), weight[1] * sp.Sum(x[i], (i, 1, length))),
            "weights that differ",
        )


def test_mutant_neurons_without_a_side_need_not_be_orthogonal() -> None:
    product_, epsilon, kappa = sp.symbols("P epsilon kappa", real=True)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").induction(
            "orthogonal",
            sp.Eq(product_, 0),
            "ε² = 1 is missing",
            initial={product_: sp.S.Zero},
            update={product_: product_ + sp.expand(kappa**2 * (1 - epsilon**2))},
        )
