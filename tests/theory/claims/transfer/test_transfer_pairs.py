"""Enumeration tests of the transfer of the flattest pair model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from theory.claims.transfer.transfer_pairs import CLAIM, n

SIGNS = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))


def flattest_features(width: int) -> np.ndarray:
    """Hidden activations on the cube of three signs, context × unit, with units of unequal sizes in each class."""
    plus = (width + 1) // 2
    weights = np.zeros((width, 3))
    weights[:, 0] = np.linspace(0.5, 1.5, width)
    weights[:plus, 1], weights[plus:, 1] = weights[:plus, 0], -weights[plus:, 0]
    return (SIGNS @ weights.T) ** 2


def test_closed_form_status_and_values() -> None:
    assert CLAIM.status == "derived"
    assert [CLAIM.predict(n=count) for count in (1, 2, 3, 10)] == [0.0, 0.5, 0.75, 1 - 2.0**-9]
    assert [CLAIM.predict("accuracy", n=count) for count in (1, 2, 3, 10)] == [0.5, 0.75, 0.875, 1 - 2.0**-10]
    assert "flattest-pairs" in CLAIM.uses
    assert "flattest-pairs" in CLAIM.derivation.ancestry()


@pytest.mark.parametrize(("width", "count"), [(2, 1), (3, 2), (5, 3)])
def test_enumeration_every_sample_of_every_context(width: int, count: int) -> None:
    inputs, labels = flattest_features(width), SIGNS[:, 0] * SIGNS[:, 1]
    exact = accuracy = 0.0
    samples = list(itertools.product(range(len(SIGNS)), repeat=count))
    for sample in samples:
        chosen = list(sample)
        probe = np.linalg.pinv(inputs[chosen]) @ labels[chosen]
        prediction = inputs @ probe
        # Least-norm values are 0 or ±1 up to rounding: a half tells them apart.
        correct = prediction * labels > 0.5
        exact += correct.all()
        accuracy += correct.mean()
    assert exact / len(samples) == CLAIM.predict(n=count)
    assert accuracy / len(samples) == CLAIM.predict("accuracy", n=count)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_enumeration_label_sequences_with_both_classes(count: int) -> None:
    both = sum(len(set(sequence)) == 2 for sequence in itertools.product((-1, 1), repeat=count))
    assert CLAIM.derivation["both-seen"].statement.rhs.subs(n, count) == both
