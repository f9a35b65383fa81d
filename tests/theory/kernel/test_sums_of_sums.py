"""Property and mutant tests of sums of sums: exchanged, and nothing else."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation
from theory.kernel.normal_form import remainder

i, j, k = sp.symbols("i j k", integer=True, positive=True)
m, n = sp.symbols("m n", integer=True, positive=True)
a, b, x = (sp.IndexedBase(name, real=True) for name in "abx")


def total(term: sp.Expr, *ranges: tuple[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Σ over ranges from 1, the first innermost."""
    return sp.Sum(term, *((index, 1, high) for index, high in ranges))


SQUARE = total((a[i] - total(b[j] * x[j, i], (j, n))) ** 2, (i, m))


def test_property_exchanged() -> None:
    for left, right in (
        (total(a[i] * total(b[j] * x[j, i], (j, n)), (i, m)), total(b[j] * total(a[i] * x[j, i], (i, m)), (j, n))),
        (total(a[i], (i, m)) * total(b[j], (j, n)), total(a[i] * b[j], (i, m), (j, n))),
        (total(x[i, j], (i, m), (j, n)), total(x[i, j], (j, n), (i, m))),
        (SQUARE, total(a[i] ** 2, (i, m)) - 2 * total(b[j] * total(a[i] * x[j, i], (i, m)), (j, n))
         + total(total(b[j] * x[j, i], (j, n)) ** 2, (i, m))),
    ):  # fmt: skip
        assert remainder(left - right) == 0
        Derivation("d").identity("step", sp.Eq(left, right), "finite sums")


@pytest.mark.parametrize(
    "wrong",
    [
        (total(x[i, j], (i, m), (j, n)), total(x[j, i], (i, m), (j, n))),
        (total(x[i, j], (i, m), (j, n)), total(x[i, j], (i, n), (j, m))),
        (total(x[i, j], (i, m), (j, m)), total(x[i, i], (i, m)) * m),
        (total(a[i], (i, m)) ** 2, total(a[i] ** 2, (i, m))),
        (total(x[i, j], (i, j), (j, n)), total(x[i, j], (j, i), (i, n))),
        (total(x[i, j] * x[j, i], (i, m), (j, m)), total(x[i, j] ** 2, (i, m), (j, m))),
        (SQUARE, total(a[i] ** 2, (i, m)) - total(b[j] * total(a[i] * x[j, i], (i, m)), (j, n))
         + total(total(b[j] * x[j, i], (j, n)) ** 2, (i, m))),
    ],
)  # fmt: skip
def test_mutant(wrong: tuple[sp.Expr, sp.Expr]) -> None:
    assert remainder(wrong[0] - wrong[1]) != 0
    with pytest.raises(CheckFailedError):
        Derivation("d").identity("step", sp.Eq(*wrong), "said so")


def test_property_names_inside_of_an_opaque_part_are_not_captured() -> None:
    inner = sp.exp(total(x[i, k], (k, n)))
    assert remainder(total(inner * a[j], (i, m), (j, n)) - total(a[j] * inner, (j, n), (i, m))) == 0
    assert (
        remainder(total(inner * a[j], (i, m), (j, n)) - total(sp.exp(total(x[k, k], (k, n))) * a[j], (i, m), (j, n)))
        != 0
    )
    assert remainder(total(inner, (i, m)) - total(sp.exp(total(x[k, i], (k, n))), (i, m))) != 0
