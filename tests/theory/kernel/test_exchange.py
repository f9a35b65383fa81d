"""Known answers and mutants of sums of sums: interchanged, with Kronecker's delta, and nothing else."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.kernel import CheckFailedError, Derivation
from theory.kernel.normal_form import remainder

i, j, k, n, m = sp.symbols("i j k n m", integer=True, positive=True)
a, b, c = (sp.IndexedBase(name, real=True) for name in "abc")


def total(summand: sp.Expr, index: sp.Symbol, end: sp.Expr = n) -> sp.Expr:
    return sp.Sum(summand, (index, 1, end))


delta = sp.KroneckerDelta(j, k)
INNER = sp.exp(total(c[i, k], k))
"""e^Σ, which sympy writes as a product."""
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
    "factors": (total(a[i], i, m) * total(b[j], j), total(total(a[i] * b[j], i, m), j)),
    "several limits": (sp.Sum(c[i, j], (i, 1, m), (j, 1, n)), sp.Sum(c[i, j], (j, 1, n), (i, 1, m))),
    "square of a difference": (
        total((a[i] - total(b[j] * c[j, i], j)) ** 2, i, m),
        total(a[i] ** 2, i, m)
        - 2 * total(b[j] * total(a[i] * c[j, i], i, m), j)
        + total(total(b[j] * c[j, i], j) ** 2, i, m),
    ),
    "inside an exponential": (total(total(INNER * a[j], i, m), j), total(total(a[j] * INNER, j), i, m)),
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
    "several limits, transposed": (sp.Sum(c[i, j], (i, 1, m), (j, 1, n)), sp.Sum(c[j, i], (i, 1, m), (j, 1, n))),
    "limits exchanged": (sp.Sum(c[i, j], (i, 1, m), (j, 1, n)), sp.Sum(c[i, j], (i, 1, n), (j, 1, m))),
    "a row too many": (total(total(c[i, j], i, m), j), total(total(c[i, j], j), i, m + 1)),
    "diagonal": (sp.Sum(c[i, j], (i, 1, m), (j, 1, m)), total(c[i, i], i, m) * m),
    "sum of squares": (total(a[i], i, m) ** 2, total(a[i] ** 2, i, m)),
    "triangle and square": (total(total(c[i, j], i, j), j), total(total(c[i, j], j), i)),
    "triangle, indices swapped": (sp.Sum(c[i, j], (i, 1, j), (j, 1, n)), sp.Sum(c[i, j], (j, 1, i), (i, 1, n))),
    "symmetric part": (
        sp.Sum(c[i, j] * c[j, i], (i, 1, m), (j, 1, m)),
        sp.Sum(c[i, j] ** 2, (i, 1, m), (j, 1, m)),
    ),
    "one cross term": (
        total((a[i] - total(b[j] * c[j, i], j)) ** 2, i, m),
        total(a[i] ** 2, i, m)
        - total(b[j] * total(a[i] * c[j, i], i, m), j)
        + total(total(b[j] * c[j, i], j) ** 2, i, m),
    ),
    "diagonal inside an exponential": (
        total(total(INNER * a[j], i, m), j),
        total(total(sp.exp(total(c[k, k], k)) * a[j], i, m), j),
    ),
    "transposed inside an exponential": (total(INNER, i, m), total(sp.exp(total(c[k, i], k)), i, m)),
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
