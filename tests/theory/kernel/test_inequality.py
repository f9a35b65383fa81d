"""Closed form, mutant and error tests of root isolation, of evident signs, and of sampled inequalities."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, RootIsolation, Terms, logistic, logistic_slope
from theory.kernel.inequality import check_root_isolation, check_terms, sample_inequality
from theory.kernel.signs import Signs, gap, is_strict

x, y = sp.symbols("x y", real=True)
a, b = sp.symbols("a b", positive=True)
q = sp.Symbol("q", nonnegative=True)
free = sp.Symbol("c")
i = sp.Symbol("i", integer=True, positive=True)
n = sp.Symbol("n", integer=True)
w = sp.IndexedBase("w", real=True)
p = sp.IndexedBase("p", positive=True)

ANYWHERE = RootIsolation(x, -sp.oo, sp.oo)
ABOVE = RootIsolation(x, sp.S.Zero, sp.oo)
UNIT = RootIsolation(x, sp.S.Zero, sp.S.One)
KNOWN = Signs([sp.Ge(x, 0), sp.Le(x, 1)])


@pytest.mark.parametrize(
    ("statement", "interval", "vanishing"),
    [
        (sp.Ge(x**4 + 1, 2 * x**2), ANYWHERE, (x - 1) * (x + 1)),
        (sp.Gt(x**2 + x, -1), ANYWHERE, None),
        (sp.Ge(x, x**3), UNIT, x * (x - 1) * (x + 1)),
        (sp.Ge(1 / (1 + x), sp.Rational(1, 2)), UNIT, x - 1),
        (sp.Le(x**2 - 2, 0), UNIT, None),
        (sp.Gt(x + 1, 0), ABOVE, None),
        # Roots at the middle and the end; the sign beyond the end is another.
        (sp.Ge((2 * x - 1) ** 2 * (x - 1) * (x - 3), 0), UNIT, (x - 1) * (2 * x - 1)),
    ],
)
def test_closed_form_root_isolation(statement: sp.Rel, interval: RootIsolation, vanishing: sp.Expr | None) -> None:
    found = check_root_isolation(statement, interval, KNOWN)
    assert [sp.factor(sp.Mul(*found)) for _ in found] == ([] if vanishing is None else [sp.factor(_inside(vanishing))])


def _inside(product: sp.Expr) -> sp.Expr:
    """Factors with a root in the interval of the test; −1 lies outside [0, 1]."""
    return product if product == (x - 1) * (x + 1) else sp.Mul(*(f for f in sp.Mul.make_args(product) if f != x + 1))


@pytest.mark.parametrize(
    ("statement", "interval", "message"),
    [
        (sp.Ge(x - sp.Rational(1, 2), 0), UNIT, "changes sign"),
        (sp.Ge((x - 2) ** 3, 0), ABOVE, "changes sign"),
        (sp.Ge(x**2 - 2, 0), UNIT, "fails at"),
        (sp.Gt((2 * x - 1) ** 2, 0), UNIT, "vanishes"),
        (sp.Gt(x + 1, 1), UNIT, "vanishes"),
        (sp.Ge(1 / (2 * x - 1) ** 2, 0), UNIT, "vanishes"),
        (sp.Ge(1 / x, 1), UNIT, "vanishes"),
        (sp.Ge(x**2, a), UNIT, "rational function"),
        (sp.Ge(sp.sqrt(2) * x, x**2), UNIT, "rational function"),
        (sp.Ge(sp.exp(x), x), UNIT, "rational function"),
        (sp.Ge((x + 1) ** 2, x**2 + 2 * x + 1), UNIT, "the same"),
        (sp.Ge(x, 0), RootIsolation(x, sp.S.One, sp.S.Zero), "nothing given"),
        (sp.Ge(x, 0), RootIsolation(x, sp.S.Zero, sp.S.Zero), "nothing given"),
        (sp.Ge(x, 0), RootIsolation(x, sp.sqrt(2), sp.oo), "nothing given"),
        (sp.Ge(y, 0), RootIsolation(y, sp.S.Zero, sp.oo), "nothing given"),
    ],
)
def test_mutant_root_isolation(statement: sp.Rel, interval: RootIsolation, message: str) -> None:
    with pytest.raises(CheckFailedError, match=message):
        check_root_isolation(statement, interval, KNOWN)


@pytest.mark.parametrize(
    "expr",
    [a, a + 1, a * b / (1 + a), sp.exp(x), sp.sqrt(a), logistic(x), 1 - logistic(x), logistic_slope(x), a + x**2, 2**x],
)
def test_closed_form_positive(expr: sp.Expr) -> None:
    assert Signs().positive(expr)


@pytest.mark.parametrize(
    "expr",
    [
        x**2,
        (x - y) ** 4,
        q,
        q * a,
        sp.Abs(x),
        q + x**2,
        sp.sqrt(q),
        sp.Sum(w[i] ** 2, (i, 1, n)),
        sp.Sum(p[i], (i, 1, n)),
    ],
)
def test_closed_form_nonnegative_and_no_more(expr: sp.Expr) -> None:
    assert Signs().nonnegative(expr)
    assert not Signs().positive(expr)


@pytest.mark.parametrize(
    "expr",
    [
        x,
        a - b,
        -a,
        x * y,
        free**2,
        sp.exp(free),
        x**3,
        sp.sqrt(x),
        w[1],
        sp.Sum(w[i], (i, 1, n)),
        sp.Sum(p[i], (i, 1, sp.oo)),
        sp.Sum(a, (n, -sp.oo, 0)),
        sp.Function("f")(x),
        sp.Max(x, 0) - 1,
        sp.I,
        sp.sqrt(2) - 2,
    ],
)
def test_mutant_signs_that_are_not_evident(expr: sp.Expr) -> None:
    assert not Signs().nonnegative(expr)


k, m = sp.symbols("k m", integer=True)
whole = sp.Symbol("n", integer=True, positive=True)


@pytest.mark.parametrize(("term", "multiplier", "strict"), [(0, 1, True), (a, 1, False), (q, a, True), (a, q, False)])
def test_closed_form_a_strict_inequality_has_a_strict_part(term: sp.Expr, multiplier: sp.Expr, strict: bool) -> None:
    """Of 0 ≤ x − y, or < if strict, multiplied, and of a term."""
    statement = sp.Gt(sp.sympify(term) + multiplier * x, multiplier * y)
    check_terms(statement, Terms((term,), {"order": multiplier}), {"order": x - y}, {"order": strict}, Signs(), {})


@pytest.mark.parametrize(
    ("term", "multiplier", "strict"), [(q, 1, False), (0, a, False), (q, q, True), (y**2, q, True)]
)
def test_mutant_a_strict_inequality_of_parts_that_may_vanish(term: sp.Expr, multiplier: sp.Expr, strict: bool) -> None:
    statement = sp.Gt(sp.sympify(term) + multiplier * x, multiplier * y)
    with pytest.raises(CheckFailedError, match="is strict, but no term"):
        check_terms(statement, Terms((term,), {"order": multiplier}), {"order": x - y}, {"order": strict}, Signs(), {})


def test_closed_form_signs_of_whole_numbers() -> None:
    assert Signs().nonnegative(a * (k - m) * (k - m - 1))
    assert Signs().nonnegative(k * (k + 1))
    assert not Signs().positive(k * (k + 1))
    assert Signs().nonnegative(whole - 1)
    assert not Signs().positive(whole - 1)
    assert Signs([sp.Ge(k, 2)]).positive(sp.floor(k / 2))


@pytest.mark.parametrize(
    "expr",
    [
        k * (k - 2), k * (m + 1), x * (x - 1), k * (k + 1) * m, -k * (k + 1), k * (k + 1) ** 3, whole - 2, k - 1, a - 1,
        sp.floor(k / 2), sp.floor(a), sp.floor(-whole),
    ],
)  # fmt: skip
def test_mutant_signs_that_whole_numbers_need_not_have(expr: sp.Expr) -> None:
    assert not Signs([sp.Ge(k, -7)]).nonnegative(expr)


def test_closed_form_signs_from_facts() -> None:
    signs = Signs([sp.Ge(x, y), sp.Gt(a, b), sp.Ne(x * y, 1), "in words", sp.Eq(x, 3)])
    assert signs.nonnegative(x - y)
    assert not signs.positive(x - y)
    assert signs.positive(a - b)
    assert signs.positive((a - b) * a)
    assert signs.nonzero(x * y - 1)
    assert signs.nonzero(1 - x * y)
    assert not signs.nonzero(x)
    assert not signs.nonnegative(y - x)


def test_mutant_a_fact_about_one_index_is_not_used_under_a_sum() -> None:
    fact = sp.Ge(w[i], 0)
    assert Signs([fact]).nonnegative(w[i])
    assert not Signs([fact]).nonnegative(sp.Sum(w[i], (i, 1, n)))
    assert Signs([fact], runs=lambda index, statement: True).nonnegative(sp.Sum(w[i], (i, 1, n)))


def test_mutant_sampling_finds_counterexamples() -> None:
    with pytest.raises(CheckFailedError, match="is false at x"):
        sample_inequality(sp.Ge(x, 0), [], {})
    with pytest.raises(CheckFailedError, match="is false at"):
        sample_inequality(sp.Gt(sp.Abs(x) - x + sp.Abs(y) - y, 0), [], {})
    with pytest.raises(CheckFailedError, match="no random point"):
        sample_inequality(sp.Ge(x**3, -8), [sp.Ge(x, 1000)], {})
    assert "6 random rational points" in sample_inequality(sp.Ge(x**3, x), [sp.Ge(x, 1)], {})


def test_error_gap_of_an_equation() -> None:
    with pytest.raises(CheckFailedError, match="expected an inequality"):
        gap(sp.Eq(x, y))
    assert gap(sp.Le(x, y)) == y - x
    assert is_strict(sp.Lt(x, y))
    assert not is_strict(sp.Le(x, y))
