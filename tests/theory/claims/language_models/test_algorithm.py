"""Lookup tables in the pair language: heads by linear algebra over all label sequences, and mutants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp

from theory.claims.language_models.algorithm import CLAIM, label, lookup_mse, prob, seen_vector, spill, unseen_vector
from theory.claims.transfer.transfer_bound import d as dimension
from theory.claims.transfer.transfer_bound import n
from theory.kernel import CheckFailedError, Derivation, Terms


def test_status_is_a_conjecture_whose_other_steps_are_checked() -> None:
    d = CLAIM.derivation
    assert CLAIM.status == "conjecture"
    assert [step.name for step in d.steps if step.kind == "conjecture"] == ["order"]
    assert all(s.checked for s in d.steps if s.kind not in {"hypothesis", "definition", "conjecture"})
    assert {step.name for step in d.steps if step.kind == "lemma"} == {"adversary", "both-seen", "symmetric"}


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


def test_mutant_a_head_that_is_right_after_one_class_is_refused() -> None:
    d = Derivation("mutant")
    d.define("spill", CLAIM.derivation["spill"].statement, "as derived")
    square = sum(entry**2 for entry in seen_vector)
    value = sum(label * a / square * b for a, b in zip(seen_vector, unseen_vector, strict=True))
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("one-seen", sp.Eq(value, -spill * label), "the other sign", given=("spill",))


def test_mutant_orthogonal_conditionals_are_refused() -> None:
    d = Derivation("mutant")
    d.define("spill", CLAIM.derivation["spill"].statement, "as derived")
    square = (2 * prob - 1) ** 2 / (prob**2 + (1 - prob) ** 2)
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality("spill-below-half", sp.Le(spill, sp.Rational(1, 2)), "½", Terms((square,)), given=("spill",))


def test_mutant_the_flattest_networks_error_is_not_reached() -> None:
    """2^{−n} is the error on orthogonal features; the two conditionals overlap, and the same certificate fails."""
    d = Derivation("mutant")
    for name in ("spill-below-one", "both-seen"):
        d.lemma(name, CLAIM.derivation, name)
    d.define("lookup", CLAIM.derivation["lookup"].statement, "as derived")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "lookup-error",
            sp.Le(lookup_mse, 2**-n),
            "2^{−n} for 2^{2−n}",
            Terms(using={"spill-below-one": (3 + spill) * 2**-n}),
            given=("lookup", "both-seen"),
        )


def test_mutant_a_larger_lead_is_refused() -> None:
    d = Derivation("mutant")
    for name in ("symmetric", "lookup-error"):
        d.lemma(name, CLAIM.derivation, name)
    d.define("difference", CLAIM.derivation["difference"].statement, "as derived")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.inequality(
            "beats-symmetric",
            sp.Ge(CLAIM.derivation["difference"].statement.lhs, 1 - n / (dimension * (dimension - 1) / 2)),
            "the lookup table's own error forgotten",
            Terms(using={"symmetric": sp.S.One, "lookup-error": sp.S.One}),
            given=("difference",),
        )
