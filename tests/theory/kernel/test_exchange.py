"""Sums that are interchanged, Kronecker's delta, and what a model shows of functions: known answers and mutants."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation, Model
from theory.kernel.normal_form import remainder

i, j, k, n, m = sp.symbols("i j k n m", integer=True, positive=True)
s = sp.Symbol("s", real=True)
a, b, c = (sp.IndexedBase(name, real=True) for name in "abc")
f = sp.Function("f", real=True)


def total(summand: sp.Expr, index: sp.Symbol, end: sp.Expr = n) -> sp.Expr:
    return sp.Sum(summand, (index, 1, end))


delta = sp.KroneckerDelta(j, k)
TRUE = {
    "ranges": (total(a[j] * total(b[j, i], i, m), j), total(total(a[j] * b[j, i], j), i, m)),
    "one range": (total(a[j] * total(b[j, i], i), j), total(total(a[i] * b[i, j], j), i)),
    "product of sums": (
        total(total(a[j] * c[i, j], j) * total(b[k] * c[i, k], k), i, m),
        total(a[j] * total(b[k] * total(c[i, j] * c[i, k], i, m), k), j),
    ),
    "triple": (total(total(total(c[i, j, k] * a[k], k), j), i), total(a[k] * total(total(c[i, j, k], i), j), k)),
    "delta": (total(a[j] * total(b[j, k] * delta, k), j), total(a[j] * b[j, j], j)),
    "delta of a free index": (total(a[k] * c[k, i] * delta, k), a[j] * c[j, i] * total(delta, k)),
    "delta of a place in the range": (total(a[k] * sp.KroneckerDelta(1, k), k), a[1]),
    "delta of the end": (total(a[k] * sp.KroneckerDelta(k, n), k), a[n]),
    "square inside": (total(a[i] * total(b[i, j], j) ** 2, i), total(total(b[i, k], k) ** 2 * a[i], i)),
}
FALSE = {
    "transposed": (total(a[j] * total(b[j, i], i), j), total(a[j] * total(b[i, j], i), j)),
    "limits that depend": (total(a[j] * total(b[i], i, j), j), total(b[i] * total(a[j], j, i), i)),
    "limits that depend, deeper": (
        total(total(total(c[i, j, k], k, i), j), i),
        total(total(total(c[i, j, k], k, j), j), i),
    ),
    "square of the terms": (total(total(b[i, j], j) ** 2, i), total(total(b[i, j] ** 2, j), i)),
    "inner index captured": (total(total(b[i, j], j) ** 2, i), total(total(b[i, i], j) ** 2, i)),
    "delta over fewer": (total(a[j] * total(b[j, k] * delta, k, m), j), total(a[j] * b[j, j], j)),
    "delta of an index that need not be in the range": (total(a[k] * delta, k), a[j]),
    "delta of a place beyond the range": (total(a[k] * sp.KroneckerDelta(2, k), k), a[2]),
    "delta of a place before the range": (total(sp.KroneckerDelta(0, k), k), sp.S.One),
    "delta of a shifted index": (sp.Sum(sp.KroneckerDelta(k + 1, 3), (k, 3, n + 4)), sp.S.One),
    "delta of twice the index": (total(a[k] * sp.KroneckerDelta(2 * k, 2), k), a[2]),
    "delta of another": (total(total(b[j, k] * sp.KroneckerDelta(i, k), k), j), total(b[j, j], j)),
}


@pytest.mark.parametrize("case", TRUE)
def test_closed_form_sums_are_interchanged(case: str) -> None:
    assert Derivation("sums").identity("same", sp.Eq(*TRUE[case]), "Fubini").checked


@pytest.mark.parametrize("case", FALSE)
def test_mutant_of_interchanged_sums_is_refused(case: str) -> None:
    with pytest.raises(CheckFailedError):
        Derivation("sums").identity("same", sp.Eq(*FALSE[case]), "wrong")


@pytest.mark.parametrize("case", FALSE)
def test_mutant_of_interchanged_sums_leaves_a_remainder(case: str) -> None:
    left, right = FALSE[case]
    assert remainder(left - right) != 0


def test_closed_form_a_sum_inside_a_sum_is_rewritten() -> None:
    d = Derivation("rows")
    d.assume("rows", sp.Eq(total(b[j, i], i), a[j]), "sums of rows")
    assert d.identity("all", sp.Eq(total(total(b[j, i], i), j), total(a[j], j)), "row by row", given=("rows",)).checked


def level(statement: sp.Eq, **functions: sp.Lambda) -> tuple[Derivation, Model]:
    d = Derivation("level")
    d.assume("level", statement, "for every s", for_every=(s,))
    d.identity("chain", sp.Eq(sp.Derivative(f(s), s), sp.Derivative(f(s) - 1, s)), "a constant has no slope")
    d.identity("still", sp.Eq(sp.Derivative(f(s), s), 0), "f is 1 for every s", given=("level",))
    return d, Model("a curve", {s: [0], **{sp.Function(name, real=True): made for name, made in functions.items()}})


def test_mutant_an_equation_for_every_value_is_tested_with_its_slope() -> None:
    d, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, 1 + s))
    with pytest.raises(CheckFailedError, match="hypothesis 'level' holds in no model"):
        d.conclude("still", [curve])


def test_closed_form_functions_of_a_model_contain_its_quantities() -> None:
    d, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, a[1] + a[2] * s))
    values = {**curve.values, a: [1, 0]}
    still = Model("at rest", values)
    moving = Model("in motion", {**values, a: [1, 3]})
    done = d.conclude("still", [still, moving, still.control("level", "still", {a: [1, 2]})])
    assert [each.standing["level"] for each in done.models] == ["holds", "fails", "fails"]


def test_closed_form_a_lemma_is_evaluated_where_it_was_derived() -> None:
    source, curve = level(sp.Eq(f(s), 1), f=sp.Lambda(s, 1 + 0 * s))
    moving = Model("in motion", {**curve.values, f: sp.Lambda(s, 1 + s)})
    source.conclude("still", [curve, moving, curve.control("level", "still", {f: sp.Lambda(s, 1 + s)})])
    d = Derivation("user")
    d.lemma("still", source)
    d.identity("square", sp.Eq((a[1] + 1) ** 2, a[1] ** 2 + 2 * a[1] + 1), "expand")
    assert d.conclude("square", [Model("a number", {a: [2]})]).status == "derived"


def test_closed_form_a_listed_value_reaches_what_only_premises_name() -> None:
    d = Derivation("listed")
    d.assume("slope", sp.Eq(a[1], sp.Derivative(f(s), s)), "at s")
    d.assume("known", sp.Eq(sp.Derivative(f(s), s), 2), "at s")
    d.identity("square", sp.Eq(a[1] ** 2, 4), "a_1 = f' = 2", given=("slope", "known"))
    model = Model("a line", {s: [0, 3], f: sp.Lambda(s, 2 * s), a: [2]})
    controls = [
        model.control("slope", "square", {a: [3]}),
        model.control("known", "square", {f: sp.Lambda(s, s), a: [1]}),
    ]
    assert d.conclude("square", [model, *controls]).models[0].points == {"square": 1}
