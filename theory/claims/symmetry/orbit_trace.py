r"""The least tr F on the orbit of an attention head under GL(h): a number of its function, in closed form.

A head sees its queries Q (m × h) and keys K (n × h), biases among the rows, through the products B = Q Kᵀ alone, so
Q A, K A^{−T} is the same function for every invertible A; likewise values and the rows of the output map. With C the
derivative of log p by B, the scores at the moved network are C K A^{−T} and Cᵀ Q A, those at θ times A^{−T} and A.
With the second moments S_Q = E (CK)ᵀ(CK), S_K = E (CᵀQ)ᵀ(CᵀQ) and the trace R of the other parameters,

    tr F(A) = R + tr(S_Q M⁻¹) + tr(S_K M),   M = A Aᵀ.

Take for θ a point of the orbit where both moments are the same diagonal matrix, diag σ; there is one if they are
positive definite (contragredient diagonalisation, cited). Then, as Σ_j A_ij (A⁻¹)_ji = 1,

    tr F(A) = R + 2 Σ_i σ_i + Σ_i σ_i Σ_j (A_ij − (A⁻¹)_ji)²,

so the least is R + 2 Σ σ_i, at orthogonal A and nowhere else if all σ_i > 0. S_Q S_K becomes A⁻¹ S_Q S_K A, so the σ_i²
are its eigenvalues anywhere on the orbit, and Σ σ_i = ‖S_Q^{1/2} S_K^{1/2}‖_*. For h = 1 it is √(PQ) of
`trace-is-not-invariant`. Parameters of other heads, and their moments, are not touched: the leasts add up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Model, Terms

x, r, s, i, j, k = sp.symbols("x r s i j k", integer=True, positive=True)
samples, query_rows, key_rows, size = sp.symbols("X m n h", integer=True, positive=True)
t = sp.Symbol("t", real=True)
weight = sp.IndexedBase("w", nonnegative=True)
"""Probability of a context and a token, x for both."""
slope, queries, keys, move, inverse = (sp.IndexedBase(name, real=True) for name in ("C", "Q", "K", "A", "N"))
"""∂log p/∂B at the products of θ, queries and keys there, A and A⁻¹."""
sigma = sp.IndexedBase("sigma", nonnegative=True)
along_query, along_key = (sp.Function(name, real=True) for name in ("L_Q", "L_K"))
"""log p at the moved network when entry (row, j) of its queries, or its keys, has grown by t."""
trace = sp.Symbol("T", real=True)
rest, nuclear, above = sp.symbols("R nu e", nonnegative=True)


def over(index: sp.Symbol, number: sp.Expr, expr: sp.Expr) -> sp.Expr:
    """Σ of an expression over an index from 1."""
    return sp.Sum(expr, (index, 1, number))


def features(index: sp.Symbol, expr: sp.Expr) -> sp.Expr:
    """Σ over the h features of a head."""
    return over(index, size, expr)


def score(function: Any, row: sp.Symbol) -> sp.Expr:
    """∂log p along entry (row, j) of the moved network."""
    return sp.Subs(sp.Derivative(function(x, row, j, t), t), t, 0)


def query_score(feature: sp.Symbol) -> sp.Expr:
    """(C K)_{r, feature} at θ."""
    return over(s, key_rows, slope[x, r, s] * keys[s, feature])


def key_score(feature: sp.Symbol) -> sp.Expr:
    """(Cᵀ Q)_{s, feature} at θ."""
    return over(r, query_rows, slope[x, r, s] * queries[r, feature])


def query_moment(one: sp.Symbol, other: sp.Symbol) -> sp.Expr:
    """An entry of S_Q at θ."""
    return over(x, samples, weight[x] * over(r, query_rows, query_score(one) * query_score(other)))


def key_moment(one: sp.Symbol, other: sp.Symbol) -> sp.Expr:
    """An entry of S_K at θ."""
    return over(x, samples, weight[x] * over(s, key_rows, key_score(one) * key_score(other)))


def derive() -> Derivation:
    """Derive that the orbit is one function, tr F on it, and its least value."""
    d = Derivation("orbit-trace")
    _orbit(d)
    _moments(d)
    _least(d)
    return d.conclude("least", models())


def _orbit(d: Derivation) -> None:
    d.assume(
        "inverse",
        sp.Eq(features(j, move[i, j] * inverse[j, k]), sp.KroneckerDelta(i, k)),
        "N = A⁻¹",
        for_every=(i, k),
    )
    moved = features(i, queries[r, i] * move[i, j]) * features(k, keys[s, k] * inverse[j, k])
    d.identity(
        "products",
        sp.Eq(
            features(j, moved),
            features(i, queries[r, i] * features(k, keys[s, k] * features(j, move[i, j] * inverse[j, k]))),
        ),
        "Q A (K A^{−T})ᵀ = Q (A A⁻¹) Kᵀ, sums interchanged",
    )
    d.identity(
        "one function",
        sp.Eq(features(j, moved), features(i, queries[r, i] * keys[s, i])),
        "the products, and with them the function of the network, are those of θ",
        given=("products", "inverse"),
    )
    d.assume(
        "through products, queries",
        sp.Eq(
            score(along_query, r),
            over(s, key_rows, slope[x, r, s] * features(i, keys[s, i] * inverse[j, i])),
        ),
        "chain rule: log p is a function of B, whose entry (r, s) grows with Q_rj at the rate of the moved key",
    )
    d.assume(
        "through products, keys",
        sp.Eq(
            score(along_key, s),
            over(r, query_rows, slope[x, r, s] * features(i, queries[r, i] * move[i, j])),
        ),
        "likewise, at the rate of the moved query",
    )


def _moments(d: Derivation) -> None:
    turned = {"queries": features(i, inverse[j, i] * query_score(i)), "keys": features(i, move[i, j] * key_score(i))}
    d.identity(
        "turned, queries",
        sp.Eq(score(along_query, r), turned["queries"]),
        "the score of the moved queries is that at θ times A^{−T}",
        given=("through products, queries",),
    )
    d.identity(
        "turned, keys",
        sp.Eq(score(along_key, s), turned["keys"]),
        "and that of the moved keys is that at θ times A",
        given=("through products, keys",),
    )
    _square(d, "queries", score(along_query, r), lambda feature: inverse[j, feature], query_score)
    _square(d, "keys", score(along_key, s), lambda feature: move[feature, j], key_score)
    squares = over(r, query_rows, features(j, score(along_query, r) ** 2))
    squares += over(s, key_rows, features(j, score(along_key, s) ** 2))
    d.define("trace", sp.Eq(trace, rest + over(x, samples, weight[x] * squares)), "tr F = E Σ (∂log p)² at θ_A")
    forms = features(j, form(lambda feature: inverse[j, feature], query_moment))
    forms += features(j, form(lambda feature: move[feature, j], key_moment))
    d.identity(
        "forms",
        sp.Eq(trace, rest + forms),
        "tr(N S_Q Nᵀ) + tr(Aᵀ S_K A): sums interchanged",
        given=("trace", "square, queries", "square, keys"),
    )


def form(vector: Callable[[sp.Symbol], sp.Expr], matrix: Callable[[sp.Symbol, sp.Symbol], sp.Expr]) -> sp.Expr:
    """Σ_i v_i Σ_k v_k S_ik."""
    return features(i, vector(i) * features(k, vector(k) * matrix(i, k)))


def _square(
    d: Derivation,
    name: str,
    moved: sp.Expr,
    vector: Callable[[sp.Symbol], sp.Expr],
    own: Callable[[sp.Symbol], sp.Expr],
) -> None:
    """Multiply out the square of a turned score, one factor after the other."""
    once = features(i, vector(i) * own(i))
    d.identity(
        f"one factor, {name}",
        sp.Eq(features(j, moved**2), features(j, moved * once)),
        "one factor of the square turned",
        given=(f"turned, {name}",),
    )
    d.identity(
        f"interchanged, {name}",
        sp.Eq(features(j, moved * once), features(i, own(i) * features(j, vector(i) * moved))),
        "sums interchanged",
    )
    d.identity(
        f"square, {name}",
        sp.Eq(
            features(j, moved**2),
            features(i, own(i) * features(j, vector(i) * features(k, vector(k) * own(k)))),
        ),
        "and the other factor",
        given=(f"one factor, {name}", f"interchanged, {name}", f"turned, {name}"),
    )


def _least(d: Derivation) -> None:
    for name, moment in (("queries", query_moment), ("keys", key_moment)):
        d.assume(
            f"balanced {name}",
            sp.Eq(moment(i, k), sigma[i] * sp.KroneckerDelta(i, k)),
            "θ is balanced: both second moments are diag σ, which is S or A⁻¹SA^{−T} anywhere else on the orbit",
            for_every=(i, k),
        )
    d.cite(
        "contragredient",
        "positive definite S_Q and S_K have an invertible A with A⁻¹ S_Q A^{−T} = Aᵀ S_K A diagonal",
        "A. Laub, M. Heath, C. Paige, R. Ward, IEEE Trans. Automat. Control 32 (1987) 115: R. Ward's algorithm",
    )
    d.identity(
        "on the diagonal",
        sp.Eq(trace, rest + features(i, sigma[i] * features(j, inverse[j, i] ** 2 + move[i, j] ** 2))),
        "at a balanced θ",
        given=("forms", "balanced queries", "balanced keys"),
    )
    d.define("nuclear", sp.Eq(nuclear, features(i, sigma[i])), "‖S_Q^{1/2} S_K^{1/2}‖_*")
    excess = features(i, sigma[i] * features(j, (move[i, j] - inverse[j, i]) ** 2))
    cross = features(i, sigma[i] * features(j, move[i, j] * inverse[j, i]))
    d.identity(
        "diagonal",
        sp.Eq(
            cross,
            features(i, sigma[i] * features(k, sp.KroneckerDelta(i, k) * features(j, move[i, j] * inverse[j, k]))),
        ),
        "the diagonal of A A⁻¹, picked out",
    )
    d.identity(
        "cross",
        sp.Eq(cross, features(i, sigma[i])),
        "Σ_i σ_i (A A⁻¹)_ii = Σ_i σ_i",
        given=("diagonal", "inverse"),
    )
    d.define("above", sp.Eq(above, excess), "Σ_i σ_i ‖A_i − (A^{−T})_i‖²")
    d.identity(
        "completed",
        sp.Eq(trace, rest + 2 * cross + excess),
        "a² + b² = (a − b)² + 2ab",
        given=("on the diagonal",),
    )
    d.identity(
        "excess",
        sp.Eq(trace, rest + 2 * nuclear + above),
        "how far the trace is above its least value, at any A",
        given=("completed", "cross", "nuclear", "above"),
    )
    d.inequality(
        "least",
        sp.Ge(trace, rest + 2 * nuclear),
        "squares are left over, and none if A is orthogonal",
        Terms((above,)),
        given=("excess",),
    )


def models() -> Iterator[Model]:
    """Two samples whose log p is a quadratic function of the products, h = 2, at a sheared A and at a rotation."""
    name = "3 queries, 2 keys, h = 2"
    shear, turn = sp.Matrix([[1, 1], [0, 2]]), sp.Matrix([[3, 4], [-4, 3]]) / 5
    model = Model(name, _head(shear, shear.inv()))
    yield model
    yield Model(f"{name}, turned", _head(turn, turn.T))
    yield model.control("inverse", "one function", _head(shear, shear.T), "A^T for the inverse of A")
    for side, place in (("queries", 0), ("keys", 1)):
        growth = [sp.Lambda(t, t), sp.Lambda(t, t)]
        growth[place] = sp.Lambda(t, 2 * t)
        normal = _head(shear, shear.inv(), grown=growth)
        yield model.control(f"through products, {side}", f"turned, {side}", normal, f"{side} enter otherwise")
        uneven = [sp.Integer(2 if side == "keys" else 1), sp.Integer(2 if side == "queries" else 1)]
        yield model.control(f"balanced {side}", "on the diagonal", _head(shear, shear.inv(), *uneven), f"uneven {side}")


def _head(
    a: sp.Matrix,
    n: sp.Matrix,
    query_scale: sp.Integer = sp.S.One,
    key_scale: sp.Integer = sp.S.One,
    grown: Sequence[sp.Lambda] = (sp.Lambda(t, t), sp.Lambda(t, t)),
) -> dict[Any, Any]:
    """A head whose queries and keys have orthogonal columns, and what the symbols stand for at Q A, K Nᵀ."""
    own = query_scale * sp.Matrix([[2, 1], [2, -2], [1, 2]]), key_scale * sp.Matrix([[9, -12], [12, 9]]) / 5
    weights, spread = [sp.Rational(1, 3), sp.Rational(2, 3)], [sp.diag(1, 2) / 27, sp.diag(1, -1) / 27]
    base = own[0] / query_scale, own[1] / key_scale
    slopes = [base[0] * each * base[1].T for each in spread]
    products = own[0] * own[1].T
    moved = own[0] * a, own[1] * n.T

    def log_prob(sample: int, first: sp.Matrix, second: sp.Matrix) -> sp.Expr:
        change = first * second.T - products
        return sum(c * b + b**2 for c, b in zip(slopes[sample], change, strict=True))

    def lines(side: int) -> list[Any]:
        def line(sample: int, row: int, feature: int) -> sp.Lambda:
            point = [moved[0].copy(), moved[1].copy()]
            point[side][row, feature] += grown[side](t)
            return sp.Lambda(t, log_prob(sample, *point))

        return [[[line(x, row, feature) for feature in (0, 1)] for row in range(moved[side].rows)] for x in (0, 1)]

    return {
        samples: 2, query_rows: 3, key_rows: 2, size: 2, x: [1, 2], r: [1, 2, 3], s: [1, 2], i: [1, 2], j: [1, 2],
        k: [1, 2], t: 0, weight: weights, slope: [each.tolist() for each in slopes], queries: own[0].tolist(),
        keys: own[1].tolist(), move: a.tolist(), inverse: n.tolist(), rest: 5,
        sigma: [sum(w * 729 * each[f, f] ** 2 for w, each in zip(weights, spread, strict=True)) for f in (0, 1)],
        along_query: lines(0), along_key: lines(1),
    }  # fmt: skip


BLOCKS = (
    Parameter("rest", rest, "trace of the parameters that are in no group", minimum=0),
    Parameter("nuclear", nuclear, "‖S_Q^{1/2} S_K^{1/2}‖_* of a head; of several groups, their sum", minimum=0),
)
ABOVE = Parameter("above", above, "Σ_i σ_i Σ_j (A_ij − (A⁻¹)_ji)², A counted from a balanced point", minimum=0)


CLAIM = Claim(
    id="orbit-trace",
    place=2,
    title="The least tr F on the GL(h) orbit of an attention head is twice a nuclear norm",
    statement=r"\min_{A\in GL(h)}\operatorname{tr}F(QA,KA^{-\top})=R+2\nu,\quad"
    r"\nu=\lVert S_Q^{1/2}S_K^{1/2}\rVert_*,\ "
    r"S_Q=\mathbb E\,G_Q^\top G_Q,\ S_K=\mathbb E\,G_K^\top G_K",
    hypotheses=(
        "a head sees queries and keys (biases among the rows) through Q Kᵀ alone: neither is normalised, no rotary "
        "positions; likewise values and the rows of the output map",
        "log p(y | x) is differentiable; S_Q, S_K second moments of its gradients with labels of the model",
        "S_Q and S_K positive definite (for the least value to be attained)",
        "R: the trace of the parameters that A does not move",
    ),
    uses=(),
    source="ours; GL(h) and sharpness of transformers: da Silva, Dangel, Oore, arXiv 2505.05409",
    derive=derive,
    formulas={
        "": closed_form("least", "least tr F on the orbit", *BLOCKS),
        "at": closed_form("excess", "tr F at any A", *BLOCKS, ABOVE),
    },
)
