r"""Every step of SGD changes QᵀQ − KᵀK by η² (G_QᵀG_Q − G_KᵀG_K), exactly: it drifts to the least trace of the orbit.

A head sees queries Q and keys K through the products B = Q Kᵀ alone. With C the derivative of the loss of a batch by
B, the gradients are G_Q = C K and G_K = Cᵀ Q, so QᵀG_Q = G_KᵀK: what the symmetry Q A, K A^{−T} makes of Noether's
theorem. In (Q − ηG_Q)ᵀ(Q − ηG_Q) − (K − ηG_K)ᵀ(K − ηG_K) the terms of order η cancel:

    Δ(QᵀQ − KᵀK) = η² (G_QᵀG_Q − G_KᵀG_K),

for any loss, any labels, at every step. Gradient flow conserves QᵀQ − KᵀK; noise does not. On Γ, where the gradient has
mean 0 and the covariance of a sample's divided by B (`noise-covariance`), the mean change of a step is

    E Δ(QᵀQ − KᵀK) = (η²/B) (S_Q − S_K),

minus half the slope of tr F along the orbit, in slow time η²/B: SGD stands still only at S_Q = S_K, which is the least
trace of the orbit (`orbit-trace`). Likewise for values and output rows, and for positive factors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import noise_covariance
from theory.claims.noise.plateau import batch, eta
from theory.kernel import Derivation, Model

b, r, s, i, k = sp.symbols("b r s i k", integer=True, positive=True)
batches, query_rows, key_rows = sp.symbols("N m n", integer=True, positive=True)
t = sp.Symbol("t", real=True)
probability = sp.IndexedBase("w", nonnegative=True)
"""Of a batch, examples and labels."""
moments = tuple(sp.IndexedBase(name, real=True) for name in ("S_Q", "S_K"))
"""Second moments of the gradients of one sample."""
slope, queries, keys, next_queries, next_keys = (sp.IndexedBase(name, real=True) for name in ("C", "Q", "K", "U", "V"))
"""∂L/∂B of a batch, queries and keys before a step, and after it."""
along_query, along_key = (sp.Function(name, real=True) for name in ("L_Q", "L_K"))
"""L of a batch when entry (row, feature) of the queries, or of the keys, has grown by t."""
change, drift = sp.symbols("d D", real=True)
squares = sp.symbols("g_Q g_K", real=True)
"""Entries of G_QᵀG_Q and G_KᵀG_K."""
sides = sp.symbols("P_Q P_K", real=True)
"""Entries of the second moments S_Q and S_K of the gradients of one sample."""


def over(index: sp.Symbol, number: sp.Expr, expr: sp.Expr) -> sp.Expr:
    """Σ of an expression over an index from 1."""
    return sp.Sum(expr, (index, 1, number))


def gradient(function: Any, row: sp.Symbol, feature: sp.Symbol) -> sp.Expr:
    """∂L along entry (row, feature)."""
    return sp.Subs(sp.Derivative(function(b, row, feature, t), t), t, 0)


def query_gradient(feature: sp.Symbol) -> sp.Expr:
    """An entry of G_Q."""
    return gradient(along_query, r, feature)


def key_gradient(feature: sp.Symbol) -> sp.Expr:
    """An entry of G_K."""
    return gradient(along_key, s, feature)


def derive() -> Derivation:
    """Derive the one-step identity, the drift on Γ, and where it stands still."""
    d = Derivation("noise-balance")
    _conserved(d)
    _step(d)
    _drift(d)
    return d.conclude("exact", models())


def _conserved(d: Derivation) -> None:
    d.assume(
        "through products, queries",
        sp.Eq(query_gradient(i), query_side(i)),
        "chain rule: the loss is a function of B = Q Kᵀ, so G_Q = C K",
    )
    d.assume("through products, keys", sp.Eq(key_gradient(i), key_side(i)), "likewise, G_K = Cᵀ Q")
    d.identity(
        "conserved",
        sp.Eq(over(r, query_rows, queries[r, k] * query_gradient(i)), over(s, key_rows, keys[s, i] * key_side(k))),
        "QᵀG_Q = QᵀCK = G_KᵀK: gradient flow keeps QᵀQ − KᵀK",
        given=("through products, queries",),
    )


def _step(d: Derivation) -> None:
    d.assume("step, queries", sp.Eq(next_queries[b, r, i], queries[r, i] - eta * query_gradient(i)), "plain SGD")
    d.assume("step, keys", sp.Eq(next_keys[b, s, i], keys[s, i] - eta * key_gradient(i)), "plain SGD")
    for name, stepped, before, side in (
        ("queries", next_queries[b, r, i], queries[r, i], query_side(i)),
        ("keys", next_keys[b, s, i], keys[s, i], key_side(i)),
    ):
        d.identity(
            f"moved {name}",
            sp.Eq(stepped, before - eta * side),
            "one step, by the derivative C",
            given=(f"step, {name}", f"through products, {name}"),
        )
        d.instance(f"moved {name}, other feature", f"moved {name}", {i: k}, "the same of feature k")
    d.define("change", sp.Eq(change, moved_by()), "entry (i, k) of Δ(QᵀQ − KᵀK)")
    for symbol, name, square in zip(squares, ("queries", "keys"), (query_square(), key_square()), strict=True):
        d.define(f"square, {name}", sp.Eq(symbol, square), "entry (i, k) of GᵀG")
    stepped = tuple(f"moved {name}{other}" for name in ("queries", "keys") for other in ("", ", other feature"))
    d.identity(
        "exact",
        sp.Eq(change, eta**2 * (squares[0] - squares[1])),
        "what is of order η cancels, sums interchanged: no remainder, whatever the rate and the labels",
        given=("change", *stepped, "square, queries", "square, keys"),
    )


def _drift(d: Derivation) -> None:
    d.lemma("noise", noise_covariance.CLAIM.derivation, because="on Γ a batch gradient has covariance H/B and mean 0")
    expected = [over(b, batches, probability[b] * square) for square in (query_square(), key_square())]
    for symbol, name, moment, mean in zip(sides, ("queries", "keys"), moments, expected, strict=True):
        d.bridge(
            f"second-moment-{name}",
            sp.Eq(mean, moment[i, k] / batch),
            "E GᵀG of a batch is S/B on Γ: a mean of B independent samples of mean 0; proof in the note",
        )
        d.define(f"moment, {name}", sp.Eq(symbol, moment[i, k]), "entry (i, k) of S")
    stepped = tuple(f"moved {name}{other}" for name in ("queries", "keys") for other in ("", ", other feature"))
    d.define("drift", sp.Eq(drift, over(b, batches, probability[b] * moved_by())), "E Δ(QᵀQ − KᵀK)")
    d.identity(
        "mean",
        sp.Eq(drift, eta**2 * (expected[0] - expected[1])),
        "the mean of `exact` over batches",
        given=("drift", *stepped),
    )
    d.identity(
        "on-gamma",
        sp.Eq(drift, eta**2 / batch * (sides[0] - sides[1])),
        "in slow time τ = kη²/B: S_Q − S_K",
        given=("mean", "second-moment-queries", "second-moment-keys", "moment, queries", "moment, keys"),
    )
    d.identity(
        "gap",
        sp.Eq(sides[0] - sides[1], batch * drift / eta**2),
        "so SGD stands still only where S_Q = S_K",
        given=("on-gamma",),
    )
    first, second = sides
    d.identity(
        "downhill",
        sp.Eq(sp.Subs(sp.Derivative(first * sp.exp(-2 * t) + second * sp.exp(2 * t), t), t, 0), -2 * (first - second)),
        "queries times e^t, keys times e^{−t}: the slope of tr F along the orbit, −2 times the drift in slow time",
    )


def query_side(feature: sp.Symbol) -> sp.Expr:
    """(C K)_{r, feature}."""
    return over(s, key_rows, slope[b, r, s] * keys[s, feature])


def key_side(feature: sp.Symbol) -> sp.Expr:
    """(Cᵀ Q)_{s, feature}."""
    return over(r, query_rows, slope[b, r, s] * queries[r, feature])


def query_square() -> sp.Expr:
    """Entry (i, k) of (CK)ᵀ(CK)."""
    return over(r, query_rows, query_side(i) * query_side(k))


def key_square() -> sp.Expr:
    """Entry (i, k) of (CᵀQ)ᵀ(CᵀQ)."""
    return over(s, key_rows, key_side(i) * key_side(k))


def moved_by() -> sp.Expr:
    """Entry (i, k) of QᵀQ − KᵀK after a step, less that before it."""
    after = over(r, query_rows, next_queries[b, r, i] * next_queries[b, r, k])
    after -= over(s, key_rows, next_keys[b, s, i] * next_keys[b, s, k])
    before = over(r, query_rows, queries[r, i] * queries[r, k]) - over(s, key_rows, keys[s, i] * keys[s, k])
    return after - before


def models() -> Iterator[Model]:
    """Four equally likely batches of two samples with slopes ±C, h = 2, whose loss is a quadratic function of Q Kᵀ."""
    name = "3 queries, 2 keys, h = 2"
    model = Model(name, _head())
    yield model
    for side in (0, 1):
        which = ("queries", "keys")[side]
        yield model.control(
            f"through products, {which}", f"moved {which}", _head(weighed=side), f"{which} enter the loss otherwise"
        )
        yield model.control(f"step, {which}", f"moved {which}", _head(momentum=side), f"{which} have momentum")
        yield model.control(f"second-moment-{which}", "on-gamma", _head(off=side), f"second moments of {which} off Γ")


def _head(weighed: int | None = None, momentum: int | None = None, off: int | None = None) -> dict[Any, Any]:
    """What the symbols stand for; weighed: that side enters twice; momentum: it moves twice; off: its S is larger."""
    own = [sp.Matrix([[2, 1], [-1, 3], [1, 0]]), sp.Matrix([[1, 2], [3, -1]])]
    rate, sample = sp.Rational(1, 3), sp.Matrix([[1, -1], [2, 0], [1, 1]])
    slopes = [factor * sample for factor in (1, 0, 0, -1)]
    products = own[0] * own[1].T

    def line(c: sp.Matrix, side: int, row: int, feature: int) -> sp.Lambda:
        point = [own[0].copy(), own[1].copy()]
        point[side][row, feature] += 2 * t if weighed == side else t
        change = point[0] * point[1].T - products
        return sp.Lambda(t, sum(slope * entry + entry**2 for slope, entry in zip(c, change, strict=True)))

    gradients = [[c * own[1] for c in slopes], [c.T * own[0] for c in slopes]]
    after = [
        [own[side] - (2 if side in (weighed, momentum) else 1) * rate * gradient for gradient in gradients[side]]
        for side in (0, 1)
    ]
    found = [(sample * own[1]).T * (sample * own[1]), (sample.T * own[0]).T * (sample.T * own[0])]
    lines = [
        [[[line(c, side, row, f) for f in (0, 1)] for row in range(own[side].rows)] for c in slopes] for side in (0, 1)
    ]
    return {
        batches: 4, query_rows: 3, key_rows: 2, b: [1, 2, 3, 4], r: [1, 2, 3], s: [1, 2], i: [1, 2], k: [1, 2], t: 0,
        eta: rate, batch: 2, probability: [sp.Rational(1, 4)] * 4, slope: [c.tolist() for c in slopes],
        queries: own[0].tolist(), keys: own[1].tolist(), next_queries: [each.tolist() for each in after[0]],
        next_keys: [each.tolist() for each in after[1]], along_query: lines[0], along_key: lines[1],
        **{
            moment: ((2 if off == side else 1) * value).tolist()
            for side, (moment, value) in enumerate(zip(moments, found, strict=True))
        },
    }  # fmt: skip


ETA = Parameter("eta", eta, "learning rate", minimum=0, strict=True)


CLAIM = Claim(
    id="noise-balance",
    place=3,
    title="SGD noise balances queries against keys, exactly by η² (G_QᵀG_Q − G_KᵀG_K) a step",
    statement=r"\Delta(Q^\top Q-K^\top K)=\eta^2(G_Q^\top G_Q-G_K^\top G_K)\ \text{at every step, and }"
    r"\mathbb E\,\Delta(Q^\top Q-K^\top K)=\tfrac{\eta^2}{B}(S_Q-S_K)\ \text{on }\Gamma",
    hypotheses=(
        "a head sees queries and keys (biases among the rows) through Q Kᵀ alone; likewise values and the rows of the "
        "output map",
        "plain SGD: no momentum, no preconditioner, no decay of weights",
        "for the drift: θ ∈ Γ, where a batch's gradient has mean 0 and covariance H/B",
    ),
    uses=("noise-covariance",),
    source="ours, after Ziyin, Wang, Li, Wu, arXiv 2402.07193 (the same for two scalar factors)",
    derive=derive,
    formulas={
        "": closed_form(
            "exact",
            "change of an entry of QᵀQ − KᵀK in one step",
            ETA,
            Parameter("g_queries", squares[0], "that entry of G_QᵀG_Q"),
            Parameter("g_keys", squares[1], "that entry of G_KᵀG_K"),
        ),
        "drift": closed_form(
            "on-gamma",
            "mean change of an entry in one step on Γ",
            ETA,
            Parameter("B", batch, "batch size", minimum=1, step=1),
            Parameter("s_queries", sides[0], "that entry of S_Q"),
            Parameter("s_keys", sides[1], "that entry of S_K"),
        ),
    },
)
