"""Forged, mutant and evidence tests of the kernel: what may not be marked as checked, and what a step rests on."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation, Model, RootIsolation, Step, Terms, Termwise
from theory.kernel import derivation as kernel
from theory.kernel.premises import Premise

x, y, z, t, C = sp.symbols("x y z t C", real=True)
a, b = sp.symbols("a b", positive=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
m = sp.Symbol("m", integer=True, positive=True)
j = sp.Symbol("j", integer=True, positive=True)
w = sp.IndexedBase("w", real=True)


def square() -> Derivation:
    d = Derivation("square")
    d.identity("binomial", sp.Eq((x + y) ** 2, x**2 + 2 * x * y + y**2), "expand")
    return d.conclude("binomial")


# Steps that nothing has checked.


def test_forged_construction_is_refused() -> None:
    with pytest.raises(TypeError, match="only the kernel makes steps"):
        Step(name="x", kind="identity", statement=sp.true)


def test_forged_without_the_constructor_is_not_checked() -> None:
    assert not object.__new__(Step).checked
    made = Step(key=kernel._KEY, **dict.fromkeys(kernel._FIELDS, ()))
    assert not made.checked


def test_forged_by_altering_a_checked_step_is_not_checked() -> None:
    derivation = square()
    with pytest.raises(AttributeError, match="immutable"):
        derivation["binomial"].statement = sp.Eq(x, y)
    assert derivation.status == "without a model"
    object.__setattr__(derivation["binomial"], "statement", sp.Eq(x, y))
    assert not derivation["binomial"].checked
    assert derivation.status == "conjecture"


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_forged_copies_are_refused(copier: Callable[[object], object]) -> None:
    derivation = square()
    for original in (derivation["binomial"], derivation):
        with pytest.raises(TypeError, match="not copied or pickled"):
            copier(original)


def test_forged_by_replace_is_refused() -> None:
    with pytest.raises(TypeError):
        dataclasses.replace(square()["binomial"], statement=sp.Eq(x, y))  # type: ignore[type-var]


def test_forged_subclasses_are_refused() -> None:
    with pytest.raises(TypeError, match="no subclasses"):
        type("Fake", (Step,), {"checked": True, "__hash__": lambda self: 0, "__eq__": lambda self, other: True})
    with pytest.raises(TypeError, match="no subclasses"):
        type("Fake", (Derivation,), {"status": "derived"})


def test_forged_derivation_is_no_source_of_lemmas() -> None:
    class Fake:
        claim = "fake"
        conclusion = square()["binomial"]

    with pytest.raises(CheckFailedError, match="comes from a Derivation"):
        Derivation("user").lemma("stolen", Fake())  # type: ignore[arg-type]


def test_forged_premises_cannot_be_dropped() -> None:
    d = Derivation("d")
    d.assume("h", sp.Eq(x, y), "assumed")
    step = d.identity("s", sp.Eq(x**2, y**2), "by h", given=("h",))
    object.__setattr__(step, "premises", frozenset())
    assert not step.checked


# What a derivation says of itself.


def test_evidence_status_is_computed() -> None:
    d = Derivation("d")
    assert d.status == "conjecture"
    d.cite("theorem", "something deep", "A. Author (1900)")
    assert not d["theorem"].checked
    d.identity("i", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    d.conclude("i", [Model("a number", {x: 2})])
    assert d.status == "derived given [theorem]"
    user = Derivation("user")
    user.lemma("l", d)
    assert user.conclude("l", [Model("a number", {x: 2})]).status == "derived given [theorem]"


def test_evidence_of_citations_of_two_derivations_of_one_name() -> None:
    def cited(reference: str) -> Derivation:
        d = Derivation("same-name")
        d.cite(reference, "a theorem", reference)
        d.identity("i", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
        return d.conclude("i", [Model("a number", {x: 2})])

    user = Derivation("user")
    user.lemma("first", cited("First"))
    user.lemma("second", cited("Second"))
    assert user.conclude("second", [Model("a number", {x: 2})]).status == "derived given [First, Second]"


def test_evidence_conjectures_stay_conjectures() -> None:
    d = Derivation("d")
    d.conjecture("c", sp.Ge(x, 0), "seen")
    with pytest.raises(CheckFailedError, match="rests on the conjecture"):
        d.inequality("i", sp.Ge(2 * x, 0), "twice", Terms(using={"c": sp.Integer(2)}))
    assert d.conclude("c").status == "conjecture"
    user = Derivation("user")
    with pytest.raises(CheckFailedError, match="not checked"):
        user.lemma("c", d)


def test_evidence_hypotheses_and_definitions_are_not_checked() -> None:
    d = Derivation("d")
    d.assume("h", sp.Ge(x, 0), "assumed")
    d.define("k", sp.Eq(y, x**2), "named")
    assert not d["h"].checked
    assert not d["k"].checked
    for name in ("h", "k"):
        with pytest.raises(CheckFailedError, match="not checked"):
            d.conclude(name)


def test_evidence_premises_travel_through_uses_lemmas_and_instances() -> None:
    d = Derivation("d")
    d.assume("h", sp.Ge(x - 1, 0), "assumed")
    d.inequality("i", sp.Ge(x**2 - 1, x - 1), "x(x − 1)", Terms(((x - 1) * (x - 1), x - 1)), given=("h",))
    d.conclude("i")
    assert [p.name for p in d["i"].premises] == ["h"]
    user = Derivation("user")
    user.lemma("l", d)
    with pytest.raises(CheckFailedError, match="hypothesis 'h' becomes"):
        user.instance("at-zero", "l", {x: y}, "any y")
    user.instance("at-two", "l", {x: a + 1}, "a + 1 ≥ 1")
    assert user["at-two"].premises == frozenset()


# Circularity.


def test_mutant_circular_uses() -> None:
    d = Derivation("d")
    with pytest.raises(CheckFailedError, match="rests on itself"):
        d.inequality("i", sp.Ge(x, y), "by itself", Terms(using={"i": sp.S.One}))
    with pytest.raises(CheckFailedError, match="circular use"):
        d.conclude(d.identity("own", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand").name).lemma("self", d)
    first, second = Derivation("first"), Derivation("second")
    first.identity("i", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    second.lemma("from-first", first, "i")
    with pytest.raises(CheckFailedError, match="circular use"):
        first.lemma("from-second", second, "from-first")
    with pytest.raises(CheckFailedError, match="circular use"):
        Derivation("first").lemma("own-name", first, "i")


def test_mutant_circular_or_clashing_definitions() -> None:
    d = Derivation("d")
    d.define("x", sp.Eq(x, y), "x")
    for statement in (sp.Eq(y, x), sp.Eq(x, z), sp.Eq(z, z + 1, evaluate=False), sp.Eq(z + 1, C)):
        with pytest.raises(CheckFailedError, match="not new"):
            d.define(f"again {statement}", statement, "again")


def test_mutant_a_definition_may_not_contradict_the_assumptions_on_its_name() -> None:
    d = Derivation("d")
    with pytest.raises(CheckFailedError, match="not evidently so"):
        d.define("n", sp.Eq(n, x / 2), "half a real number")
    d.define("a", sp.Eq(a, x), "positive, if x is")
    assert {p.name for p in d["a"].premises if p.kind == "condition"} == {"x > 0"}
    d.identity("i", sp.Eq(2 * a, 2 * x), "by definition", given=("a",))
    assert [p.name for p in d.conclude("i").conditions] == ["x > 0"]


def test_mutant_two_meanings_of_one_name_never_meet() -> None:
    one, other = Derivation("one"), Derivation("other")
    one.define("y", sp.Eq(y, 1), "one")
    one.identity("s", sp.Eq(y + 1, 2), "1 + 1", given=("y",))
    other.define("y", sp.Eq(y, 5), "five")
    other.lemma("s", one, "s")
    with pytest.raises(CheckFailedError, match="two meanings"):
        other.identity("mixed", sp.Eq(y**2 + y + 1, 27), "both", given=("s", "y"))


# Shape of steps.


def test_mutant_shapeless_steps() -> None:
    d = square()
    with pytest.raises(CheckFailedError, match="comes too late"):
        d.identity("late", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    d = Derivation("d")
    d.identity("i", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    with pytest.raises(CheckFailedError, match="already a step"):
        d.identity("i", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand")
    with pytest.raises(CheckFailedError, match="gives no reason"):
        d.identity("j", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), " ")
    with pytest.raises(CheckFailedError, match="not an earlier step"):
        d.identity("k", sp.Eq((x + 1) ** 2, x**2 + 2 * x + 1), "expand", given=("nowhere",))
    with pytest.raises(KeyError, match="it has i"):
        d["nowhere"]
    with pytest.raises(ValueError, match="no conclusion"):
        _ = d.conclusion


@pytest.mark.parametrize(
    "statement",
    [
        sp.true,
        sp.false,
        sp.Eq(x, x, evaluate=False),
        sp.Ge(x, y),
        sp.Eq(0.1 * x + 0.2 * x, 0.3 * x, evaluate=False),
        sp.Eq(x + sp.zoo, y, evaluate=False),
    ],
)
def test_mutant_statements_that_are_no_equations(statement: sp.Basic) -> None:
    with pytest.raises(CheckFailedError):
        Derivation("d").identity("i", statement, "said so")


def test_mutant_restating_a_premise_is_no_step() -> None:
    d = Derivation("d")
    d.assume("h", sp.Eq(x, y), "assumed")
    with pytest.raises(CheckFailedError, match="only restates"):
        d.identity("i", sp.Eq(x, y), "assumed", given=("h",))
    d.assume("g", sp.Ge(x, z), "assumed")
    with pytest.raises(CheckFailedError, match="only restates"):
        d.inequality("j", sp.Ge(x, z), "assumed", Terms(using={"g": sp.S.One}))


# Identities.


@pytest.mark.parametrize(
    ("statement", "left_over"),
    [
        (sp.Eq((x + y) ** 2, x**2 - 2 * x * y + y**2), "4*x*y"),
        (sp.Eq((x + y) ** 2, x**2 + 3 * x * y + y**2), "-x*y"),
        (sp.Eq(sp.exp(2 * x), 2 * sp.exp(x)), "exp(2*x) - 2*exp(x)"),
        (sp.Eq(sp.sqrt(a + 1) * sp.sqrt(a), a), "sqrt(a)*sqrt(a + 1) - a"),
    ],
)
def test_mutant_wrong_identities_show_their_remainder(statement: sp.Equality, left_over: str) -> None:
    with pytest.raises(CheckFailedError, match="remainder") as caught:
        Derivation("d").identity("i", statement, "wrong")
    assert left_over in str(caught.value)


def test_mutant_a_missing_hypothesis_is_missed() -> None:
    d = Derivation("d")
    d.assume("unit", sp.Eq(x**2, 1), "a sign")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("quartic", sp.Eq(x**4 + x**2, 2), "x² = 1")
    d.identity("quartic", sp.Eq(x**4 + x**2, 2), "x² = 1", given=("unit",))
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("linear", sp.Eq(x, 1), "a sign is 1", given=("unit",))


def test_mutant_division_by_zero_becomes_a_condition() -> None:
    d = Derivation("d")
    d.assume("h", sp.Eq(x**2, y**2), "assumed")
    quotient = (x**2 - y**2) / (x - y)
    d.identity("cancel", sp.Eq(x + y, quotient), "cancel x − y")
    d.identity("zero", sp.Eq(quotient, 0), "by h", given=("h",))
    d.identity("false", sp.Eq(x + y, 0), "x² = y², so x = −y", given=("cancel", "zero"))
    conditions = d.conclude("false").conditions
    assert [p.statement for p in conditions] == [sp.Ne(x - y, 0)]
    user = Derivation("user")
    user.assume("same", sp.Eq(z**2, z**2 + C - C, evaluate=False), "trivial")
    user.lemma("l", d)
    with pytest.raises(CheckFailedError):
        user.instance("at-one", "l", {x: sp.S.One, y: sp.S.One}, "1 = 1")


def test_mutant_rewriting_does_not_capture() -> None:
    d = Derivation("d")
    d.assume("h", sp.Eq(C, w[j]), "C is w_j for some j")
    wrong = sp.Eq(sp.Sum(C * w[j], (j, 1, m)), sp.Sum(w[j] ** 2, (j, 1, m)))
    d.define("k", sp.Eq(y, w[j]), "y is w_j for one j")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("i", wrong.subs(C, y), "captured", given=("k",))


def test_mutant_a_hypothesis_at_a_point_is_not_differentiated() -> None:
    f = sp.Function("f")(t)
    d = Derivation("d")
    d.assume("here", sp.Eq(f, 0), "f vanishes at t")
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("slope", sp.Eq(sp.diff(f, t), 0), "so does its slope", given=("here",))
    d.assume("everywhere", sp.Eq(f, t**2), "f is the square", for_every=(t,))
    d.identity("slope", sp.Eq(sp.diff(f, t), 2 * t), "so its slope is twice", given=("everywhere",))


# Inequalities.


@pytest.mark.parametrize(
    ("statement", "terms"),
    [
        (sp.Ge(x**2 + y**2, 2 * x * y), ((x + y) ** 2,)),
        (sp.Ge(x**2 + y**2, 2 * x * y), (2 * (x - y) ** 2,)),
        (sp.Ge(x**2 - 2 * x * y, -(y**2)), (x**2, -2 * x * y, y**2)),
        (sp.Ge(x, 0), (x,)),
        (sp.Gt(x**2 + y**2, 2 * x * y), ((x - y) ** 2,)),
        (sp.Gt(x**2 + y**2, 2 * x * y), ()),
        (sp.Le(x**2 + y**2, 2 * x * y), ((x - y) ** 2,)),
    ],
)
def test_mutant_wrong_certificates(statement: sp.Rel, terms: tuple[sp.Expr, ...]) -> None:
    with pytest.raises(CheckFailedError):
        Derivation("d").inequality("i", statement, "wrong", Terms(terms))


def test_mutant_a_square_is_not_evidently_positive() -> None:
    with pytest.raises(CheckFailedError, match="evidently positive"):
        Derivation("d").inequality("i", sp.Gt(x**2 + y**2, 2 * x * y), "strict", Terms(((x - y) ** 2,)))


def test_mutant_negative_multiplier() -> None:
    d = Derivation("d")
    d.assume("h", sp.Ge(x, y), "assumed")
    for multiplier in (-sp.S.One, x, -a):
        with pytest.raises(CheckFailedError, match="not evidently nonnegative"):
            d.inequality("i", sp.Ge(y, x), "turned", Terms(using={"h": multiplier}))


def test_evidence_factors_of_equality() -> None:
    low, high = 2 * a * x * y + 2 * z * C, a * x**2 + a * y**2 + z**2 + C**2
    nonnegative = sp.Symbol("q", nonnegative=True)
    d = Derivation("d")
    d.inequality("i", sp.Ge(high, low), "squares", Terms((a * (x - y) ** 2, (z - C) ** 2)))
    assert set(d["i"].equality) == {x - y, z - C}
    d.inequality("twice", sp.Ge(b * high, b * low), "times b", Terms(using={"i": b}))
    assert set(d["twice"].equality) == {x - y, z - C}
    d.inequality(
        "maybe", sp.Ge(nonnegative * high, nonnegative * low), "times q, maybe 0", Terms(using={"i": nonnegative})
    )
    assert d["maybe"].equality == ()


def test_evidence_absolute_values_may_vanish() -> None:
    d = Derivation("d")
    size = sp.Abs(x)
    d.inequality("i", sp.Ge(size * y**2 + size * z**2, 2 * size * y * z), "a square", Terms((size * (y - z) ** 2,)))
    assert d["i"].equality == (size * (y - z),)


def test_mutant_root_isolation_needs_its_interval() -> None:
    d = Derivation("d")
    arch = sp.Ge(x * (1 - x), 0)
    with pytest.raises(CheckFailedError, match="lies in the interval"):
        d.inequality("i", arch, "between the roots", RootIsolation(x, sp.S.Zero, sp.S.One))
    d.assume("low", sp.Ge(x, 0), "in [0, 1]")
    d.assume("high", sp.Le(x, 1), "in [0, 1]")
    d.inequality("i", arch, "between the roots", RootIsolation(x, sp.S.Zero, sp.S.One), given=("low", "high"))
    assert {p.name for p in d["i"].premises} == {"low", "high"}
    assert set(d["i"].equality) == {x * (x - 1)}


# Sums of terms.


def per_term() -> Derivation:
    d = Derivation("d")
    d.inequality("term", sp.Ge(w[j] ** 2 + 1, 2 * w[j]), "a square", Terms(((w[j] - 1) ** 2,)))
    d.inequality("symbol", sp.Ge(x**2 + 1, 2 * x), "a square", Terms(((x - 1) ** 2,)))
    return d


def total(expr: sp.Expr, low: sp.Expr = sp.S.One, high: sp.Expr = m) -> sp.Sum:
    return sp.Sum(expr, (j, low, high))


def test_evidence_termwise_sums() -> None:
    d = per_term()
    statement = sp.Ge(total(w[j] ** 2) + m, 2 * total(w[j]))
    d.inequality("sum", statement, "each term", Termwise("term", j, sp.S.One, m, {}))
    d.inequality("again", statement, "each term", Termwise("symbol", j, sp.S.One, m, {x: w[j]}))
    assert d["again"].equality == (w[j] - 1,)


@pytest.mark.parametrize(
    ("statement", "certificate", "message"),
    [
        (sp.Ge(total(w[j] ** 2) + m, 2 * total(w[j])), Termwise("term", j, sp.Integer(2), m, {}), "remainder"),
        (sp.Ge(total(w[j] ** 2) + m, 3 * total(w[j])), Termwise("term", j, sp.S.One, m, {}), "remainder"),
        (sp.Gt(total(w[j] ** 2) + m, 2 * total(w[j])), Termwise("term", j, sp.S.One, m, {}), "never strictly"),
        (
            sp.Ge(total(w[j] ** 2, sp.Integer(-3)) + m + 4, 2 * total(w[j], sp.Integer(-3))),
            Termwise("term", j, sp.Integer(-3), m, {}),
            "outside of what is assumed",
        ),
        (sp.Ge(total(w[j] ** 2) + m, 2 * total(w[j])), Termwise("term", j, sp.S.One, j, {}), "independent"),
        (
            sp.Ge(total(w[j] ** 2, sp.S.One, sp.oo), 2 * total(w[j])),
            Termwise("term", j, sp.S.One, sp.oo, {}),
            "Infinity",
        ),
    ],
)
def test_mutant_termwise(statement: sp.Rel, certificate: Termwise, message: str) -> None:
    with pytest.raises(CheckFailedError, match=message):
        per_term().inequality("sum", statement, "wrong", certificate)


def test_mutant_sums_of_unknown_length_are_not_counted() -> None:
    k = sp.Symbol("k", integer=True)
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("d").identity("i", sp.Eq(sp.Sum(x, (j, 1, k)), k * x), "k may be −5")
    Derivation("d").identity("i", sp.Eq(sp.Sum(x, (j, 1, m)), m * x), "m is positive")


def test_mutant_termwise_under_a_hypothesis_about_one_index() -> None:
    d = Derivation("d")
    d.assume("first", sp.Eq(j, 1), "only the first")
    d.assume("value", sp.Ge(w[1], 5), "it is at least 5")
    d.inequality("term", sp.Ge(w[j], 5), "the first", Terms((w[1] - 5,)), given=("first", "value"))
    with pytest.raises(CheckFailedError, match="one value of j"):
        d.inequality("sum", sp.Ge(total(w[j]), 5 * m), "all", Termwise("term", j, sp.S.One, m, {}))


def test_mutant_termwise_under_a_definition_with_the_index() -> None:
    d = Derivation("d")
    d.define("C", sp.Eq(C, w[j] ** 2), "C is w_j²")
    d.inequality("term", sp.Ge(w[j] ** 2 + z**2, C), "equal but for z²", Terms((z**2,)), given=("C",))
    with pytest.raises(CheckFailedError, match="one value of j"):
        d.inequality(
            "sum", sp.Ge(total(w[j] ** 2) + m * z**2, m * C), "C is one number", Termwise("term", j, sp.S.One, m, {})
        )


def test_evidence_termwise_under_a_hypothesis_about_every_index() -> None:
    d = Derivation("d")
    d.assume("sign", sp.Ge(w[j], 0), "all are nonnegative")
    d.inequality("term", sp.Ge(w[j] * x**2, 0), "times a square", Terms((w[j] * x**2,)), given=("sign",))
    d.inequality("sum", sp.Ge(x**2 * total(w[j]), 0), "sum", Termwise("term", j, sp.S.One, m, {}))
    assert {p.name for p in d["sum"].premises} == {"sign"}


# Induction.


def counted(**changes: object) -> Callable[[], Step]:
    S = sp.Symbol("S", real=True)
    arguments: dict[str, object] = {
        "invariant": sp.Eq(S, n**2),
        "initial": {n: sp.S.Zero, S: sp.S.Zero},
        "update": {n: n + 1, S: S + 2 * n + 1},
    }
    arguments |= {key: value(S) if callable(value) else value for key, value in changes.items()}
    invariant = arguments.pop("invariant")
    return lambda: Derivation("d").induction("i", invariant, "odd numbers", **arguments)  # type: ignore[arg-type]


def test_evidence_induction_accepts_and_keeps_the_recurrence() -> None:
    step = counted()()
    assert step.checked
    (premise,) = step.premises
    assert (premise.kind, premise.name) == ("dynamics", "recurrence of S")


@pytest.mark.parametrize(
    "changes",
    [
        {"invariant": lambda S: sp.Eq(S, n**2 + 1)},
        {"initial": lambda S: {n: sp.S.Zero, S: sp.S.One}},
        {"initial": lambda S: {n: sp.S.One, S: sp.S.Zero}},
        {"update": lambda S: {n: n + 1, S: S + 2 * n}},
        {"update": lambda S: {n: n + 2, S: S + 2 * n + 1}},
        {"update": lambda S: {S: S + 2 * n + 1}},
        {"initial": lambda S: {n: sp.S.Zero}},
        {"initial": lambda S: {n: sp.S.Zero, S: n}},
        {"update": lambda S: {n: n + 1, x: S + 2 * n + 1}},
    ],
)
def test_mutant_inductions(changes: dict[str, object]) -> None:
    with pytest.raises(CheckFailedError):
        counted(**changes)()


@pytest.mark.parametrize(
    ("invariant", "initial", "message"),
    [(sp.Ge(n, 1), {n: sp.S.Zero}, "fails at the start"), (sp.Ge(x, n), {n: sp.S.Zero, x: n}, "which change")],
)
def test_mutant_starts_of_inductions(invariant: sp.Rel, initial: dict[sp.Symbol, sp.Expr], message: str) -> None:
    update = {symbol: symbol + 1 for symbol in initial}
    certificate = Terms(using={"previous": sp.S.One})
    with pytest.raises(CheckFailedError, match=message):
        Derivation("d").induction("i", invariant, "", initial=initial, update=update, certificate=certificate)


def test_mutant_induction_over_a_real_counter_speaks_of_its_trajectory_only() -> None:
    q = sp.Symbol("q", nonnegative=True)
    d = Derivation("d")
    certificate = Terms((2 * q,), {"previous": sp.S.One})
    d.induction("i", sp.Ge(q**2, q), "false at ½", initial={q: 0}, update={q: q + 1}, certificate=certificate)
    assert [premise.kind for premise in d["i"].premises] == ["dynamics"]
    with pytest.raises(CheckFailedError, match="cannot be replaced"):
        d.instance("any", "i", {q: a + b}, "any q")


def test_evidence_induction_of_an_inequality() -> None:
    def grow(certificate: Terms | None) -> Step:
        invariant, start, update = sp.Ge(n**2, n), {n: 0}, {n: n + 1}
        return Derivation("d").induction("i", invariant, "n", initial=start, update=update, certificate=certificate)

    assert grow(Terms((2 * n,), {"previous": sp.S.One})).premises == frozenset()
    for wrong in (Terms((2 * n,)), Terms((2 * n,), {"previous": -sp.S.One}), Terms((n,), {"previous": sp.S.One})):
        with pytest.raises(CheckFailedError):
            grow(wrong)
    with pytest.raises(CheckFailedError, match="needs a certificate"):
        grow(None)


@pytest.mark.parametrize(
    ("invariant", "initial", "update", "certificate", "message"),
    [
        # S_1 = 0, though m is positive ever after: the first update leaves the domain of the counter
        (sp.Gt(C, 0), {m: 0, C: 1}, {m: m + 1, C: m}, Terms((m,)), "expected an inequality"),
        # a falls below 0 and y with it
        (sp.Ge(y, 0), {a: 1, y: 0}, {a: a - 5, y: y + a}, Terms((a,), {"previous": sp.S.One}), "not evidently so"),
    ],
)
def test_mutant_a_state_may_not_leave_its_assumptions(
    invariant: sp.Rel, initial: dict[sp.Symbol, int], update: dict[sp.Symbol, sp.Expr], certificate: Terms, message: str
) -> None:
    with pytest.raises(CheckFailedError, match=message):
        Derivation("d").induction("i", invariant, "", initial=initial, update=update, certificate=certificate)


COUNTED = sp.Symbol("S", real=True)


def by_ones() -> Derivation:
    d = Derivation("d")
    d.induction(
        "one", sp.Eq(COUNTED, n), "by ones", initial={n: 0, COUNTED: 0}, update={n: n + 1, COUNTED: COUNTED + 1}
    )
    return d


def test_mutant_induction_under_a_hypothesis_about_one_step() -> None:
    d = Derivation("d")
    d.assume("three", sp.Eq(n, 3), "at the third step")
    update = {n: n + 1, COUNTED: COUNTED + n - 2}
    with pytest.raises(CheckFailedError):
        d.induction(
            "i", sp.Eq(COUNTED, n), "at n = 3 only", initial={n: 0, COUNTED: 0}, update=update, given=("three",)
        )


def test_mutant_two_recurrences_of_one_name_never_meet() -> None:
    d = by_ones()
    update = {n: n + 1, COUNTED: COUNTED + 2}
    d.induction("two", sp.Eq(COUNTED, 2 * n), "by twos", initial={n: 0, COUNTED: 0}, update=update)
    g = sp.Function("g")
    d.identity("turned", sp.Eq(g(n), g(COUNTED)), "by ones", given=("one",))
    with pytest.raises(CheckFailedError, match="two meanings"):
        d.identity("false", sp.Eq(g(n), g(2 * n)), "both", given=("turned", "two"))
    with pytest.raises(CheckFailedError, match="not new"):
        d.define("five", sp.Eq(COUNTED, 5), "five")


def test_mutant_a_state_at_another_step_is_another_value() -> None:
    d = by_ones()
    d.instance("five", "one", {n: sp.Integer(5)}, "at n = 5")
    g = sp.Function("g")
    d.identity("turned", sp.Eq(g(n), g(COUNTED)), "S = n", given=("one",))
    with pytest.raises(CheckFailedError, match="two meanings"):
        d.identity("false", sp.Eq(g(n), g(5)), "5 = n", given=("turned", "five"))
    with pytest.raises(CheckFailedError, match="cannot be replaced"):
        d.instance("any", "one", {COUNTED: x + 1}, "any S")


def test_mutant_a_stale_state() -> None:
    d, certificate = by_ones(), Terms((), {"previous": sp.S.One})
    start, update = {n: 0, y: 0}, {n: n + 1, y: y}
    with pytest.raises(CheckFailedError):
        d.induction(
            "two",
            sp.Ge(y, COUNTED),
            "S stands still",
            initial=start,
            update=update,
            certificate=certificate,
            given=("one",),
        )


# Enumeration, flows, limits, series, instances.


def test_evidence_enumeration_holds_for_its_cases_only() -> None:
    d = Derivation("d")
    d.enumeration("signs", sp.Eq(z**2, 1), "both signs", [{z: sp.S.One}, {z: -sp.S.One}])
    d.instance("minus", "signs", {z: -x}, "a sign as well")
    assert all(p.kind == "condition" for p in d["minus"].premises)
    assert len(d["minus"].premises) == 1
    with pytest.raises(CheckFailedError):
        d.instance("five", "signs", {z: sp.Integer(5)}, "no sign")


def test_evidence_and_mutant_flows() -> None:
    start = sp.Symbol("x_0", real=True)
    good: dict[str, Any] = {"system": {x: -x}, "solution": {x: start * sp.exp(-t)}, "initial": {x: start}}
    d = Derivation("d")
    step = d.ode("decay", t, "substitute", **good)
    assert step.statement.lhs == sp.Function("x")(t)
    assert [p.kind for p in step.premises] == ["dynamics"]
    for change in (
        {"solution": {x: start * sp.exp(t)}},
        {"initial": {x: start + t}},
        {"solution": {x: x}},
        {"solution": {y: start * sp.exp(-t)}},
    ):
        with pytest.raises(CheckFailedError):
            Derivation("d").ode("decay", t, "wrong", **{**good, **change})
    with pytest.raises(CheckFailedError, match="remainder"):
        Derivation("d").ode("decay", t, "another start", **{**good, "initial": {x: 2 * start}})


def test_mutant_a_flow_with_two_solutions() -> None:
    with pytest.raises(CheckFailedError, match="not evidently smooth"):
        Derivation("d").ode(
            "escape",
            t,
            "x = 0 is a solution as well",
            system={x: 3 * x ** sp.Rational(2, 3)},
            solution={x: t**3},
            initial={x: sp.S.Zero},
        )


def test_mutant_a_flow_does_not_redefine_a_name() -> None:
    d = Derivation("d")
    d.define("x", sp.Eq(x, y**2), "x is a square")
    d.ode("decay", t, "substitute", system={x: -x}, solution={x: z * sp.exp(-t)}, initial={x: z})
    with pytest.raises(CheckFailedError, match="remainder"):
        d.identity("false", sp.Eq(x, z * sp.exp(-t)), "x(t) is not x", given=("decay",))


@pytest.mark.parametrize(
    ("expr", "point", "value"),
    [
        (sp.sin(x) / x, sp.S.Zero, sp.Integer(2)),
        ((1 - a * x) ** (1 / x), sp.S.Zero, sp.exp(a)),
        (sp.exp(-y * x), sp.oo, sp.S.Zero),
        (sp.Abs(x) / x, sp.S.Zero, -sp.S.One),
        (sp.sin(1 / x), sp.S.Zero, sp.S.Zero),
    ],
)
def test_mutant_limits(expr: sp.Expr, point: sp.Expr, value: sp.Expr) -> None:
    with pytest.raises(CheckFailedError):
        Derivation("d").limit("l", expr, x, point, value, "wrong or undecided")


def test_evidence_limit() -> None:
    assert Derivation("d").limit("l", (1 - a * b) ** (1 / b), b, sp.S.Zero, sp.exp(-a), "exponential").checked


def test_mutant_a_limit_of_what_depends_unseen() -> None:
    d = Derivation("d")
    d.define("y", sp.Eq(y, x), "y is x")
    d.define("z", sp.Eq(z, 2 * y), "z is 2x")
    for hidden in (y, z):
        with pytest.raises(CheckFailedError, match="may depend on x"):
            d.limit("l", hidden + x, x, sp.S.Zero, hidden, "as if it were constant")
    d.limit("l", z + x, x, sp.S.Zero, sp.S.Zero, "substituted", given=("z", "y"))
    d.assume("far", sp.Eq(sp.Max(C, x), x), "x ≥ C")
    with pytest.raises(CheckFailedError, match="vary here"):
        d.limit("m", sp.Max(C, x), x, sp.S.Zero, sp.S.Zero, "not near 0", given=("far",))


@pytest.mark.parametrize(
    ("expr", "order", "expansion"),
    [
        (sp.exp(x), 2, 1 + 2 * x),
        (sp.exp(x), 3, 1 + x),
        (sp.exp(x), 2, sp.exp(x)),
        (sp.Abs(x) ** sp.Rational(5, 2), 3, sp.S.Zero),
        (sp.Abs(x), 2, sp.S.Zero),
        (1 / x, 1, sp.S.Zero),
    ],
)
def test_mutant_series(expr: sp.Expr, order: int, expansion: sp.Expr) -> None:
    with pytest.raises(CheckFailedError):
        Derivation("d").series("s", expr, x, order, expansion, "wrong")


def test_mutant_a_series_with_another_constant_is_refused_for_it() -> None:
    with pytest.raises(CheckFailedError, match=r"coefficient of x\^0"):
        Derivation("d").series("s", sp.exp(x), x, 2, 2 + x, "wrong")


def test_evidence_series() -> None:
    assert Derivation("d").series("s", 1 / (1 - x), x, 3, 1 + x + x**2, "geometric").checked


def test_mutant_instances_outside_the_assumptions() -> None:
    d = Derivation("d")
    negative = sp.Symbol("v", negative=True)
    statement = sp.Ge(a * x**2 + y**2 + negative**2, 2 * y * negative)
    d.inequality("i", statement, "a > 0", Terms((a * x**2, (y - negative) ** 2)))
    for values in ({a: y}, {a: -b}, {negative: b}, {x: sp.I}, {x: sp.oo}, {a: sp.S.Zero}):
        with pytest.raises(CheckFailedError):
            d.instance(f"at {values}", "i", values, "outside")
    d.instance("inside", "i", {a: b + 1, negative: -b}, "inside")
    d.assume("h", sp.Ge(y, 0), "assumed")
    with pytest.raises(CheckFailedError, match="holds of its own symbols only"):
        d.instance("h again", "h", {y: z}, "any other")


def test_mutant_instances_do_not_capture() -> None:
    d = Derivation("d")
    d.identity("i", sp.Eq(sp.Sum(x * w[j], (j, 1, m)), x * sp.Sum(w[j], (j, 1, m))), "draw x out")
    with pytest.raises(CheckFailedError, match="captured"):
        d.instance("k", "i", {x: w[j]}, "x = w_j")
    for key in (w.label, w[1], w):
        with pytest.raises(CheckFailedError, match=r"symbols|indexed"):
            d.instance(f"k {key}", "i", {key: y}, "no symbol")


def test_evidence_premises_compare_by_what_they_say() -> None:
    assert Premise("hypothesis", "h", sp.Ge(x, 0)) == Premise("hypothesis", "h", sp.Ge(x, 0))
