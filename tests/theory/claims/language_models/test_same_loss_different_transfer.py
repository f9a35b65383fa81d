"""Same loss, different transfer: units that the loss cannot see, heads by linear algebra, and mutants."""

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
    difference,
    feature,
    final_state,
    penalty,
    ridge,
    signal,
    weight,
)
from theory.claims.language_models.same_loss_different_transfer import psi as left_out
from theory.claims.transfer.transfer_bound import d as dimension
from theory.claims.transfer.transfer_bound import n
from theory.kernel import CheckFailedError, Derivation, Terms


def test_status_is_a_conjecture_whose_other_steps_are_checked() -> None:
    d = CLAIM.derivation
    assert CLAIM.status == "conjecture"
    assert [step.name for step in d.steps if step.kind == "conjecture"] == ["algorithms-differ"]
    assert all(s.checked for s in d.steps if s.kind not in {"hypothesis", "definition", "conjecture"})
    assert d.conditions == ()


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


def test_mutant_a_better_head_is_refused() -> None:
    best = feature / (penalty + feature**2)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("mutant").inequality(
            "least-error",
            sp.Ge(ridge(weight, feature), 2 * penalty / (penalty + feature**2)),
            "twice the least error",
            Terms(((penalty + feature**2) * (weight - best) ** 2,)),
        )


def test_mutant_a_gap_that_forgets_the_flattest_networks_error_is_refused() -> None:
    d = Derivation("mutant")
    for name in ("both-seen", "other-features"):
        d.lemma(name, CLAIM.derivation, name)
    for name in ("flattest", "difference"):
        d.define(name, CLAIM.derivation[name].statement, "as derived")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "gap",
            sp.Ge(difference, 1 - n / (dimension * (dimension - 1) / 2)),
            "without 2^{−n}",
            Terms(using={"other-features": sp.S.One}),
            given=("difference", "flattest", "both-seen"),
        )
