"""Same loss, different transfer: units that the loss cannot see, heads by linear algebra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp

from theory.claims.language_models.same_loss_different_transfer import (
    CLAIM,
    above,
    below,
    bound,
    final_state,
    penalty,
    signal,
)
from theory.claims.language_models.same_loss_different_transfer import psi as left_out
from theory.kernel import CheckFailedError, Derivation


@pytest.mark.parametrize("psi", [0.0, 0.3, 1.0, -5.0])
def test_enumeration_the_units_are_closed_at_the_mask_and_act_at_tokens(psi: float) -> None:
    largest = 2.0
    s = np.linspace(-largest, largest, 33)

    def state(masked: int) -> np.ndarray:
        return s - psi * (np.maximum(s - largest * masked, 0) - np.maximum(-s - largest * masked, 0))

    assert (state(1) == s).all()  # to the bit: what is added is 0
    np.testing.assert_allclose(state(0), (1 - psi) * s, rtol=0, atol=4 * largest * (1 + abs(psi)) * 2.0**-53)


@pytest.mark.parametrize(("psi", "kappa"), [(0.0, 0.1), (0.8, 0.1), (1.0, 2.0)])
def test_cross_library_ridge_error_on_the_feature_that_is_left(psi: float, kappa: float) -> None:
    labels = np.array([1.0, -1.0])
    features = (1 - psi) * labels[:, None]
    head = np.linalg.solve(features.T @ features / 2 + kappa, features.T @ labels / 2)
    error = ((labels - features @ head) ** 2).mean() + kappa * head @ head
    predicted = sp.lambdify((left_out, penalty), CLAIM.derivation["error"].statement.rhs)(psi, kappa)
    assert error == pytest.approx(predicted, rel=16 * 2.0**-52)


def test_enumeration_flattest_network_has_error_two_to_the_minus_n() -> None:
    for labels in (1, 2, 3):
        errors = []
        for classes in itertools.product((0, 1), repeat=labels):
            features = np.eye(2)[list(classes)]
            targets = 1 - 2 * np.array(classes)
            head = np.linalg.lstsq(features, targets.astype(float), rcond=None)[0]
            errors.append(((head - np.array([1, -1])) ** 2).mean())
        assert np.mean(errors) == pytest.approx(2.0**-labels, rel=16 * 2.0**-52)


@pytest.mark.parametrize(("labels", "d"), [(1, 4), (2, 4), (4, 8), (6, 8)])
def test_closed_form_a_one_hot_code_keeps_the_gap(labels: int, d: int) -> None:
    """A code of its own for every context favours no pair; its head is right on the contexts seen and 0 elsewhere."""
    one_hot = (1 - 2.0**-d) ** labels
    gap = CLAIM.predict(n=labels, d=d)
    assert gap == pytest.approx(1 - 2 * labels / (d * (d - 1)) - 2.0**-labels, rel=1e-15)
    assert one_hot - 2.0**-labels >= gap


def test_mutant_units_with_half_the_bias_change_the_prediction() -> None:
    d = Derivation("mutant")
    d.define("signal", sp.Eq(signal, (above - below) / 2), "s")
    d.define("bound", sp.Eq(bound, (above + below) / 4), "half of |s|'s bound")
    with pytest.raises(CheckFailedError):
        d.identity("kept", sp.Eq(final_state(1), signal), "not closed", given=("signal", "bound"))
