r"""How much sharper bracket nets are off the axis: by √(1 + tan²φ (T² − T − 1)/(T − 1)).

If no pre-activation is 0 and every neuron's direction is at an angle of φ or more to the axis ±(1, …, 1), then

    E|∇f|² ≥ 2α√(T−1) · √(1 + tan²φ (T² − T − 1)/(T − 1))   on Γ.

Of two contexts ±z exactly one opens a neuron; so its share of E|∇f|² is (E v² + a²(T−1))/2, v = w·z, and its share of
the margin is −aS/(2T), where S is the sum of its weights, as E y z_i = −1/T. The moments of z give
E v² = (S/T)² (1 + tan²θ (T² − T − 1)/(T − 1)) at angle θ. Mirrored directions attain the bound if φ is small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory.claims.minima._bracket_networks import Context, Network, contexts, mirrored, on_gamma
from theory.claims.minima._pair_networks import dot
from theory.claims.minima.bracket_language import (
    T,
    alpha,
    c,
    i,
    j,
    n_contexts,
    over_contexts,
    over_neurons,
    p,
    s,
    transposed,
    width,
    z,
)
from theory.kernel import Derivation, Model, Terms, Termwise, logistic_slope

tangent = sp.Symbol("tau", nonnegative=True)
growth, factor = sp.symbols("K rho", positive=True)
square, pair = sp.symbols("q e", real=True)
"""E z_i² and E z_i z_k."""
n = sp.Symbol("n", integer=True, nonnegative=True)
a, w, y = (sp.IndexedBase(name, real=True) for name in "awy")
second, norm, total = (sp.IndexedBase(name, real=True) for name in "VQS")
"""Of neuron j: E v², |w|² and Σ_i w_i."""
tangents = sp.IndexedBase("t", nonnegative=True)
before = sp.Sum(w[j, i] * z[i, c], (i, 1, T))
"""v = w_j·z_c."""


def derive() -> Derivation:
    """Derive the bound at an angle, for any T, width and angle."""
    d = Derivation("bracket-angle")
    d.define("growth", sp.Eq(growth, (T**2 - T - 1) / (T - 1)), "K, positive for T ≥ 2")
    d.define("factor", sp.Eq(factor, sp.sqrt(1 + growth * tangent**2)), "ρ, with τ = tan φ")
    _halves(d)
    _moments(d)
    _margin(d)
    root = sp.sqrt(T - 1)
    d.assume("angle", sp.Ge(tangents[j] ** 2, tangent**2), "θ_j ≥ φ for every neuron")
    d.inequality(
        "tilted",
        sp.Ge(second[j], total[j] ** 2 / T**2 * (1 + growth * tangent**2)),
        "E v² grows with the angle",
        Terms(using={"angle": growth * total[j] ** 2 / T**2}),
        given=("at-angle",),
    )
    d.inequality(
        "square",
        sp.Ge(total[j] ** 2 / T**2 * factor**2 + a[j] ** 2 * (T - 1), -2 * factor * root * a[j] * total[j] / T),
        "the difference is (ρS/T + a√(T−1))²",
        Terms(((factor * total[j] / T + a[j] * root) ** 2,)),
    )
    d.inequality(
        "share",
        sp.Ge((second[j] + a[j] ** 2 * (T - 1)) / 2, -factor * root * a[j] * total[j] / T),
        "a neuron's share of E|∇f|² against its share of the margin",
        Terms(using={"tilted": sp.Rational(1, 2), "square": sp.Rational(1, 2)}),
        given=("factor",),
    )
    shares = over_neurons((second[j] + a[j] ** 2 * (T - 1)) / 2)
    d.inequality(
        "neurons",
        sp.Ge(shares, -factor * root / T * over_neurons(a[j] * total[j])),
        "sum over the neurons",
        Termwise("share", j, sp.S.One, width, {}),
    )
    d.inequality(
        "bound",
        sp.Ge(
            logistic_slope(alpha) * shares,
            2 * alpha * root * sp.sqrt(1 + tangent**2 * (T**2 - T - 1) / (T - 1)) * logistic_slope(alpha),
        ),
        "tr H = σ'(α) E|∇f|² on Γ",
        Terms(using={"neurons": logistic_slope(alpha)}),
        given=("margin", "factor", "growth"),
    )
    return d.conclude("bound", models())


def _halves(d: Derivation) -> None:
    """Add |∇f|² of a context and its mirror image together."""
    gate, square = s[j, c], a[j] ** 2 * (T - 1)
    d.assume("gate", sp.Eq(gate**2, gate), "v ≠ 0: the gate s of z is open or closed, that of −z is 1 − s")
    d.identity(
        "halves",
        sp.Eq(
            over_neurons((gate * before) ** 2 + gate * square)
            + over_neurons(sp.expand((1 - gate) ** 2) * before**2 + (1 - gate) * square),
            over_neurons(before**2 + square),
        ),
        "|∇f|² at z and at −z: a neuron adds (E v² + a²(T − 1))/2 to E|∇f|²",
        given=("gate",),
    )


def _moments(d: Derivation) -> None:
    """Add E v² of a neuron whose direction is at angle θ, and the sum of its weights."""
    weight = w[j, n + 1]
    d.assume("uniform-mask", sp.Eq(square, (T - 1) / T), "E z_i² = (T − 1)/T: each position is masked as often")
    d.assume("balance", sp.Eq(pair, (1 - T * square) / (T * (T - 1))), "E(Σz)² = Tq + T(T − 1)e = 1, e = E z_i z_k")
    start = {n: sp.S.Zero, second[j]: sp.S.Zero, norm[j]: sp.S.Zero, total[j]: sp.S.Zero}
    update = {
        n: n + 1,
        second[j]: second[j] + square * weight**2 + 2 * pair * weight * total[j],
        norm[j]: norm[j] + weight**2,
        total[j]: total[j] + weight,
    }
    d.induction(
        "second-moment-any",
        sp.Eq(second[j], (square - pair) * norm[j] + pair * total[j] ** 2),
        "E v² = (q − e)Σw_i² + eS², one coordinate after the other",
        initial=start,
        update=update,
    )
    d.instance("second-moment", "second-moment-any", {n: T}, "all T coordinates")
    d.assume(
        "tilt",
        sp.Eq(norm[j], total[j] ** 2 * (1 + tangents[j] ** 2) / T),
        "|w|² = (S²/T)(1 + tan²θ), S/√T being its part on the axis; S = 0 adds no margin",
    )
    d.identity(
        "at-angle",
        sp.Eq(second[j], total[j] ** 2 / T**2 * (1 + growth * tangents[j] ** 2)),
        "E v² at angle θ",
        given=("second-moment", "tilt", "balance", "uniform-mask", "growth"),
    )
    d.induction(
        "weights-any",
        sp.Eq(total[j], sp.Sum(w[j, i], (i, 1, n))),
        "S is the sum of the weights",
        initial={n: sp.S.Zero, total[j]: sp.S.Zero},
        update={n: n + 1, total[j]: total[j] + weight},
    )
    d.instance("weights", "weights-any", {n: T}, "all T of them")


def _margin(d: Derivation) -> None:
    """Add Σ a_j S_j = −2Tα, from the margins of all contexts."""
    here, mirrored = (y[c] * over_neurons(a[j] * part * before) for part in (s[j, c], 1 - s[j, c]))
    both = y[c] * over_neurons(a[j] * before)
    d.assume("margin-here", sp.Eq(here, alpha), "θ ∈ Γ: y f = α at z, f(z) = Σ a s v")
    d.assume("margin-mirrored", sp.Eq(mirrored, alpha), "θ ∈ Γ: and at −z, whose token is −y; f(−z) = −Σ a (1 − s) v")
    d.identity("either-open", sp.Eq(both, here + mirrored), "a neuron is open at z or at −z")
    d.identity(
        "linear",
        sp.Eq(both, 2 * alpha),
        "both margins together are linear in w",
        given=("either-open", "margin-here", "margin-mirrored"),
    )
    d.assume(
        "correlation",
        sp.Eq(over_contexts(y[c] * z[i, c]), -1 / T),
        "E y z_i = −1/T: y Σz = −1, and each position is like any other",
    )
    law = sp.Sum(p[c], (c, 1, n_contexts))
    d.assume("total", sp.Eq(law, 1), "the contexts have probabilities p_c, Σ p_c = 1")
    d.identity("summed", sp.Eq(over_contexts(both), 2 * alpha * law), "over all contexts", given=("linear",))
    d.identity("mean", sp.Eq(over_contexts(both), 2 * alpha), "on average", given=("summed", "total"))
    by_weights = over_neurons(a[j] * sp.Sum(w[j, i] * over_contexts(y[c] * z[i, c]), (i, 1, T)))
    d.identity("exchanged", sp.Eq(by_weights, over_contexts(both)), "sums exchanged")
    d.identity(
        "each-weight",
        sp.Eq(over_neurons(a[j] * sp.Sum(w[j, i], (i, 1, T))), -T * by_weights),
        "every weight counts alike",
        given=("correlation",),
    )
    d.identity(
        "margin",
        sp.Eq(over_neurons(a[j] * total[j]), -2 * T * alpha),
        "α = E y f = −Σ a_j S_j/(2T)",
        given=("weights", "each-weight", "exchanged", "mean"),
    )


def models() -> Iterator[Model]:
    """Networks on Γ at all contexts: at random, and in mirrored directions, as flat as their angle allows."""
    rows = list(contexts(2, nested=False))
    random = on_gamma(Fraction(3, 2), Fraction(2, 3), (Fraction(1, 2), (-3, -2)), length=2)
    model = Model("4 neurons, T = 2", {alpha: Fraction(3, 2), tangent: Fraction(1, 7), **of_network(random, rows)})
    yield model
    longer = on_gamma(Fraction(3, 2), Fraction(2, 3), (Fraction(1, 2), (2, -1, Fraction(7, 2), 1)))
    values = of_network(longer, [(z, token) for z, token in contexts(4, nested=False) if token == 1])
    yield Model("4 neurons, T = 4, one of ±z", {alpha: Fraction(3, 2), tangent: Fraction(1, 3), **values})
    low, high, head = Fraction(-1, 8), Fraction(-7, 8), Fraction(5, 8)
    values = of_network(mirrored((low, high), (high, low), head), rows)
    yield Model("4 mirrored neurons, T = 2", {alpha: head, tangent: Fraction(3, 4), **values})
    yield model.control("gate", "halves", {s: 2})
    yield model.control("uniform-mask", "at-angle", _with_moments(random, Fraction(3, 4), -Fraction(1, 4)))
    yield model.control("balance", "at-angle", _with_moments(random, Fraction(1, 2), Fraction(1, 3)))
    yield model.control("tilt", "at-angle", {tangents: 1})
    yield model.control("angle", "tilted", {tangent: 100})
    plus = [(z, token) for z, token in rows if token == 1]
    for name, sign in (("margin-here", 1), ("margin-mirrored", -1)):
        doubled = Network([x * (2 if x == sign else 1) for x in (1, -1)], [[-1, -1], [1, 1]])
        yield model.control(name, "linear", {alpha: 1, **of_network(doubled, plus)})
    yield model.control("total", "mean", {p: Fraction(1, 7)})
    yield model.control("correlation", "each-weight", {p: Fraction(1, 7)})


def of_network(net: Network, rows: Sequence[tuple[Context, int]]) -> dict[Any, Any]:
    """What the symbols stand for, the contexts being equally likely."""
    share, length = Fraction(1, len(rows)), len(rows[0][0])
    sums, norms = [sum(row) for row in net.weights], [dot(row, row) for row in net.weights]
    return {
        T: length, n: length, n_contexts: len(rows), c: range(1, len(rows) + 1), p: share, width: len(net.heads),
        i: range(1, length + 1), j: range(1, len(net.heads) + 1), a: net.heads, w: net.weights,
        y: [token for _, token in rows], z: transposed(z for z, _ in rows),
        s: transposed(net.gates(z) for z, _ in rows),
        square: share * sum(z[0] ** 2 for z, _ in rows), pair: share * sum(z[0] * z[1] for z, _ in rows),
        second: [share * sum(dot(row, z) ** 2 for z, _ in rows) for row in net.weights], norm: norms, total: sums,
        tangents: [sp.sqrt(length * sp.sympify(q) / sp.sympify(s) ** 2 - 1) for q, s in zip(norms, sums, strict=True)],
    }  # fmt: skip


def _with_moments(net: Network, same: Fraction, other: Fraction) -> dict[Any, Any]:
    """E v² for other second moments of the tokens."""
    pairs = (
        [x * y * (same if i == k else other) for i, x in enumerate(row) for k, y in enumerate(row)]
        for row in net.weights
    )
    return {square: same, pair: other, second: [sum(terms) for terms in pairs]}
