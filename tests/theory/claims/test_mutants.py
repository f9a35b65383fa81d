"""Mutants of every step of every claim: what is false is refused. `fuzz` runs many more than the share tried here."""

from __future__ import annotations

import random

import pytest
import sympy as sp

from tests.theory.claims.fuzz import fuzzing, verdict
from tests.theory.claims.mutation import mutants
from theory.claims import CLAIMS
from theory.kernel import CheckFailedError, Derivation, Terms

x, y = sp.symbols("x y", real=True)
j, m = sp.symbols("j m", integer=True, positive=True)
PER_STEP = 2


@pytest.mark.parametrize("claim", CLAIMS)
def test_mutant_of_every_step_is_refused_or_true(claim: str) -> None:
    with fuzzing(PER_STEP, seed=1) as tally:
        derivation = CLAIMS[claim].derive()
    assert derivation.status == CLAIMS[claim].status
    assert tally.counts.total() >= tally.steps > 0
    # An instance of a checked step at other values is as true; where its premises hold may be hard to find.
    unknown = [
        each for each in tally.suspects if not (each.startswith("accepted, open") and "mutant [instance]" in each)
    ]
    assert not unknown


def test_property_mutants_are_of_every_class() -> None:
    d = Derivation("d")
    d.assume("given", sp.Ge(x, y), "assumed")
    w = sp.IndexedBase("w", real=True)
    statement = sp.Ge(2 * x**3 - sp.Sum(w[j], (j, 1, m)), y)
    call = {"statement": statement, "certificate": Terms((), {"given": sp.S.One}), "given": ("given",)}
    made = list(mutants(d, "inequality", call, 1000, random.Random(0)))
    assert {kind for kind, _ in made} == {
        "constant", "dropped part", "dropped premise", "exponent", "other side", "range", "relation", "sign",
        "strictness", "symbol",
    }  # fmt: skip
    assert len({repr(change) for _, change in made}) == len(made)
    assert {"given": ()} in [change for _, change in made]


def test_mutant_that_is_accepted_and_false_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("theory.kernel.derivation.attack", lambda *_: "the door is open")
    monkeypatch.setattr("theory.kernel.derivation.check_identity", lambda *_: "anything goes")
    monkeypatch.setattr(Derivation, "_refuse_idle", lambda *_: None)
    d = Derivation("d")
    assert verdict(d.identity("true", sp.Eq(x * (x + y), x**2 + x * y), "for the test")) == "accepted, true"
    assert verdict(d.identity("false", sp.Eq(x, y), "for the test")) == "accepted, false"
    d.assume("far", sp.Lt(x**4 + x, -1), "no point is known")
    assert verdict(d.identity("open", sp.Eq(x, y), "for the test", given=("far",))) == "accepted, open"


def test_evidence_a_refused_mutant_leaves_no_trace() -> None:
    with fuzzing(PER_STEP, seed=0) as tally:
        d = Derivation("d")
        d.identity("square", sp.Eq((x + y) ** 2, x**2 + 2 * x * y + y**2), "expand")
        with pytest.raises(CheckFailedError, match="remainder"):
            d.identity("wrong", sp.Eq(x, y), "no")
    assert [step.name for step in d.steps] == ["square"]
    assert tally.steps == 2
    assert tally.table().splitlines()[-1].startswith("| all, 4 |")
