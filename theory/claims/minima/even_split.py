r"""Splitting a width into two classes: k^{−1/3} + l^{−1/3} is least for an even split.

For whole numbers k, l ≥ 1 with k + l ≤ 2r + e, e = 0 or 1, r ≥ 1:

    k^{−1/3} + l^{−1/3} ≥ (2 − e) r^{−1/3} + e (r + 1)^{−1/3}.

x ↦ x^{−1/3} lies above its secant through r and r + 1 at every whole number: with cube roots κ, a, b of x, r, r + 1
the gap is (κ − a)(κ − b) times a positive factor, that is, (x − r)(x − r − 1) times a positive factor.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from theory.kernel import Derivation, Model, Terms

k, l, r = sp.symbols("k l r", integer=True, positive=True)  # noqa: E741 - the name used in the paper note
odd = sp.Symbol("e", real=True)
third = sp.Rational(1, 3)


def _secant(count: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Return the secant of x^{−1/3} through r and r + 1 at `count`, minus its slope, and the certificate's factor."""
    low, high, here = r**third, (r + 1) ** third, count**third
    fall = 1 / (low * high * (low**2 + low * high + high**2))
    factor = here**2 + here * (low + high) + low**2 + low * high + high**2
    roots = (here**2 + here * low + low**2) * (here**2 + here * high + high**2)
    return 1 / low - (count - r) * fall, fall, factor * fall / (here * roots)


@cache
def derive() -> Derivation:
    """Derive that the even split of a width is the cheapest."""
    derivation = Derivation("even-split")
    for count in (k, l):
        secant, _, factor = _secant(count)
        derivation.inequality(
            f"secant {count}",
            sp.Ge(count**-third, secant),
            "convexity, for whole numbers: the gap is (x − r)(x − r − 1) times a positive factor, in cube roots",
            Terms((factor * (count - r) * (count - r - 1),)),
        )
    derivation.assume("width", sp.Ge(2 * r + odd - k - l, 0), "k + l ≤ 2r + e")
    fall = _secant(k)[1]
    derivation.inequality(
        "even-split",
        sp.Ge(k**-third + l**-third, (2 - odd) * r**-third + odd * (r + 1) ** -third),
        "two secants; a smaller k + l only costs",
        Terms((fall * (2 * r + odd - k - l),), using={"secant k": sp.S.One, "secant l": sp.S.One}),
        given=("width",),
    )
    model = Model("width 5, split 3 + 2", {k: 3, l: 2, r: 2, odd: 1})
    wide = model.control("width", "even-split", {k: 4, l: 5})
    others = Model("width 5, split 1 + 4", {k: 1, l: 4, r: 2, odd: 1}), Model("of 6 two", {k: 1, l: 1, r: 3, odd: 0})
    return derivation.conclude("even-split", (model, *others, Model("width 6", {k: 3, l: 3, r: 3, odd: 0}), wide))
