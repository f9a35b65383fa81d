"""What steps rest on: what is given is used, lemmas show their hypotheses, premises can hold, solutions exist."""

from __future__ import annotations

import json

import pytest
import sympy as sp

from theory.display import as_json, as_latex, as_text
from theory.kernel import CheckFailedError, Derivation, Terms
from theory.kernel.door import attack
from theory.kernel.door.contradiction import contradiction
from theory.kernel.premises import Premise

x, y, z, t, c = sp.symbols("x y z t c", real=True)
a = sp.Symbol("alpha", positive=True)
later = sp.Symbol("t", nonnegative=True)
at = sp.Function("x")(t)


def steps() -> Derivation:
    d = Derivation("d")
    d.assume("one", sp.Eq(x, 1), "assumed")
    d.assume("two", sp.Eq(y, 2), "assumed")
    d.assume("above", sp.Gt(z, 0), "assumed")
    return d


# What is given is used.


@pytest.mark.parametrize(
    ("given", "idle"),
    [(("one", "two", "above"), "above"), (("above", "one", "two"), "above"), (("one", "two", "two"), "two")],
)
def test_mutant_a_given_that_changes_nothing(given: tuple[str, ...], idle: str) -> None:
    with pytest.raises(CheckFailedError, match=f"the given '{idle}' is not used: .*; leave it out"):
        steps().identity("sum", sp.Eq(x + y, 3), "1 + 2", given=given)


def test_mutant_a_source_whose_multiplier_is_zero() -> None:
    certificate = Terms((z**2,), using={"above": sp.S.Zero})
    with pytest.raises(CheckFailedError, match="the multiplier of step 'above' is 0; leave it out"):
        steps().inequality("square", sp.Ge(z**2, 0, evaluate=False), "a square", certificate)


def test_evidence_a_given_is_used_where_it_saves_a_condition_or_a_case_of_equality() -> None:
    d = steps()
    saved = d.identity("saved", sp.Eq((z * x + z) / z, x + 1), "z is not 0", given=("above",))
    assert {premise.kind for premise in saved.premises} == {"hypothesis"}
    strict = d.inequality("strict", sp.Ge(z * x**2, 0), "a product", Terms((z * x**2,)), given=("above",))
    assert strict.equality == (x,)


# A lemma shows its hypotheses.


def assumed(statement: sp.Rel, name: str = "low") -> Derivation:
    d = Derivation("other")
    d.assume(name, statement, "assumed there")
    d.assume("idle", sp.Ge(y, 0), "used by no imported step")
    d.inequality("i", sp.Ge(2 * statement.lhs, 0), "twice", Terms(using={name: sp.Integer(2)}))
    return d.conclude("i")


def test_evidence_hypotheses_of_a_lemma_are_shown() -> None:
    user = Derivation("user")
    user.lemma("l", assumed(sp.Ge(x, 0)))
    user.conclude("l")
    last = Derivation("last")
    last.lemma("l", user)
    last.conclude("l")
    for derivation in (user, last):
        assert [(step.name, claim) for step, claim in derivation.inherited.items()] == [("low", "other")]
        assert [step.name for step in derivation.hypotheses] == ["low"]
        assert "assumed in other: low\n       x ≥ 0" in as_text(derivation, 80)
        assert r"Assumed in other, low: \[x \geq 0\]" in as_latex(derivation)
        data = json.loads(json.dumps(as_json(derivation)))
        assert data["inherited"] == [{"claim": "other", "name": "low", "statement": "x >= 0"}]


def test_mutant_two_hypotheses_of_one_name() -> None:
    user = Derivation("user")
    user.lemma("l", assumed(sp.Ge(x, 0)))
    with pytest.raises(CheckFailedError, match="two hypotheses are called 'low', x >= 0 and x >= 1; rename one"):
        user.assume("low", sp.Ge(x, 1), "of another")
    user.assume("low", sp.Ge(x, 0), "the same")
    with pytest.raises(CheckFailedError, match="two hypotheses are called 'low'"):
        user.lemma("k", assumed(sp.Ge(z, 0)))


def test_mutant_hypotheses_of_a_lemma_against_those_here() -> None:
    user = Derivation("user")
    user.lemma("l", assumed(sp.Gt(x, 0)))
    user.assume("below", sp.Lt(x, 0), "against the lemma")
    premises = user["l"].premises | user["below"].premises
    with pytest.raises(CheckFailedError, match="the premises contradict each other, so that anything would follow"):
        attack("inequality", sp.Ge(y, 1), premises)


# Premises that no point satisfies.


@pytest.mark.parametrize(
    "parts",
    [
        (sp.Gt(x, 0), sp.Lt(x, 0)),
        (sp.Ge(x, 1), sp.Lt(x, 1)),
        (sp.Gt(x, y), sp.Gt(y, x)),
        (sp.Eq(t, 2), sp.Gt(1 - t, 0)),
        (sp.Eq(x, y), sp.Ne(x, y)),
        (sp.Eq(x**2 + 1, 0, evaluate=False),),
        (sp.Eq(x * y, a), sp.Eq(x * y, 2 * a)),
        (sp.Eq(x + y, 1), sp.Eq(2 * x + 2 * y, 3)),
        (sp.Eq(x * y, a), sp.Eq(x * z, 0), sp.Eq(z, a)),
        (sp.And(sp.Eq(x, 1), sp.Eq(y, 2)), sp.Eq(x + y, 4)),
    ],
)
def test_closed_form_contradictions_are_found(parts: tuple[sp.Rel, ...]) -> None:
    premises = frozenset(Premise("hypothesis", str(part), part) for part in parts)
    assert contradiction(premises)
    with pytest.raises(CheckFailedError, match="contradict each other"):
        attack("identity", sp.Eq(x, y + 7), premises)


@pytest.mark.parametrize(
    "parts",
    [(sp.Ge(x, 0), sp.Le(x, 0)), (sp.Eq(x**2 + y**2, 7),), (sp.Eq(x * y, a), sp.Eq(x, z)), (sp.Eq(x, 1), sp.Gt(x, y))],
)
def test_closed_form_premises_that_can_hold_are_no_contradiction(parts: tuple[sp.Rel, ...]) -> None:
    assert contradiction(Premise("hypothesis", str(part), part) for part in parts) is None


# A solution has a value all the way.


def flow(rate: sp.Expr, solution: sp.Expr, start: sp.Expr, time: sp.Symbol = t) -> Derivation:
    d = Derivation("d")
    d.ode("flow", time, "substitute", system={x: rate}, solution={x: solution}, initial={x: start})
    return d


@pytest.mark.parametrize(
    ("rate", "solution", "start", "time", "conditions"),
    [
        (x**2, 1 / (1 - t), sp.S.One, t, {1 - t > 0}),
        (x**2, c / (1 - c * t), c, t, {1 - c * t > 0}),
        (x**2, 1 / (c - t), 1 / c, t, {sp.Ne(c - t, 0), c * (c - t) > 0}),
        (-(x**2), a / (1 + a * later), a, later, set()),
        (x * (1 - x), a * sp.exp(t) / (1 - a + a * sp.exp(t)), a, t, {1 - a + a * sp.exp(t) > 0}),
        (-(x**3), 1 / sp.sqrt(1 + 2 * t), sp.S.One, t, {1 + 2 * t > 0}),
        (2 * later * x**2, 1 / (1 - later**2), sp.S.One, later, {1 - later**2 > 0}),
        (-2 * t * x**2, 1 / (1 + t**2), sp.S.One, t, set()),
        (x / (1 - t), 1 / (1 - t), sp.S.One, t, {1 - t > 0}),
    ],
)
def test_closed_form_up_to_where_a_solution_has_a_value(
    rate: sp.Expr, solution: sp.Expr, start: sp.Expr, time: sp.Symbol, conditions: set[sp.Basic]
) -> None:
    premises = flow(rate, solution, start, time)["flow"].premises
    assert {p.statement for p in premises if p.kind == "condition"} == conditions


@pytest.mark.parametrize(
    ("rate", "solution", "start", "message"),
    [
        (2 * t * x**2, 1 / (1 - t**2), sp.S.One, "may vanish between t = 0 and t"),
        (x * (1 - 2 * t) / (t - t**2), t - t**2, sp.S.Zero, "false for"),
        (1 + 0 * x, t + sp.exp(-1 / t), sp.S.Zero, "remainder"),
    ],
)
def test_mutant_solutions_with_a_pole_on_the_way(
    rate: sp.Expr, solution: sp.Expr, start: sp.Expr, message: str
) -> None:
    with pytest.raises(CheckFailedError, match=message):
        flow(rate, solution, start)


def test_mutant_a_value_beyond_the_pole() -> None:
    d = flow(x**2, 1 / (1 - t), sp.S.One)
    d.assume("beyond", sp.Eq(t, 2), "the solution ended at 1")
    with pytest.raises(CheckFailedError, match=r"contradict each other.* 1 - t > 0 is false by"):
        d.identity("value", sp.Eq(at, -1), "1/(1 − 2)", given=("flow", "beyond"))
    with pytest.raises(CheckFailedError, match="rests on the condition '1 - t > 0'"):
        d.limit("limit", at, t, sp.oo, sp.S.Zero, "1/(1 − t) falls", given=("flow",))


def test_property_the_order_of_derivations_does_not_matter() -> None:
    statement = sp.Eq(at**2, c**2 * sp.exp(-2 * t))
    derivations = [flow(-x, solution, c) for solution in (c * sp.exp(-t), 2 * c / (2 * sp.exp(t)))]
    found = {attack("identity", statement, d["flow"].premises) for d in derivations}
    assert len(found) == 1
