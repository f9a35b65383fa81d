r"""Among the flattest minimisers of an exchangeable language is one that permutations of the positions do not change.

A network f(z) = Σ_j a_j φ(w_j·z), φ positively homogeneous of degree k (relu: 1, squares: 2), is on Γ: f = f*. The law
of the contexts and f* do not change when positions are permuted by an element of a group of N. So f(g⁻¹z) = f*(z) for
every g, and the network of all permuted copies, (c a_j, c g w_j) with c = N^{−1/(k+1)}, is on Γ as well: its output is
the mean of the N permuted outputs. The squared gradient of a copy at z is c^{2k} times that of the neuron at g⁻¹z,
φ² + a²φ'²|z|² at x = w·g⁻¹z, and a mean over contexts does not see g. Hence

    tr H(copies) = N^{(1−k)/(1+k)} tr H(θ):

as flat with relu units, flatter with squares. What some width attains, a network closed under permutations attains at
N times that width. Nothing here says that training finds it, or what it is worth to a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import permutations
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Model

share, scale = sp.symbols("s c", positive=True)
"""s = 1/(k + 1); what heads and weights of the copies are multiplied by."""
degree = 1 / share - 1
"""Degree k of the activation."""
x, at, head, size = sp.symbols("x u a d", real=True)
phi, psi = sp.Function("phi", real=True), sp.Function("psi", real=True)
"""The activation; that of a copy, φ(c x)."""
N, m, n = sp.symbols("N m n", integer=True, positive=True)
"""How many permutations, neurons, orbits of contexts."""
g, h, i, j, o = sp.symbols("g h i j o", integer=True, positive=True)
weight, orbit = sp.IndexedBase("omega", real=True), sp.IndexedBase("rho", real=True)
"""π(z) σ'(f*(z)) at context h of orbit o; the sum of these over the orbit."""
norm, heads = sp.IndexedBase("D", real=True), sp.IndexedBase("A", real=True)
"""|z|², which is one number in an orbit; heads of the neurons."""
before, after = sp.IndexedBase("X", real=True), sp.IndexedBase("Y", real=True)
"""X_{j,o,h} = w_j·z at context h of orbit o; Y_{j,g,o,h} = g w_j·z there."""
target, output = sp.IndexedBase("F_star", real=True), sp.IndexedBase("F", real=True)
"""f* on orbit o; output of the network with weights g w_j at context h of orbit o."""
trace, copies, mean = sp.symbols("T T_G f_G", real=True)


def over(term: sp.Expr, *ranges: tuple[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Σ over indices from 1, the last one innermost."""
    for index, last in reversed(ranges):
        term = sp.Sum(term, (index, 1, last))
    return term


def squared_gradient(response: Any, place: sp.Expr, a: sp.Expr = head, d: sp.Expr = size) -> sp.Expr:
    """|∇f|² of a neuron at w·z = `place`: φ² + a² φ'² |z|².

    Of its copy with φ(c x) for φ: ∂f/∂w = c a φ'(c x) z, and c φ'(c x) is the derivative of φ(c x).
    """
    slope = sp.Subs(sp.Derivative(response(x), x), x, place)
    return response(place) ** 2 + a**2 * slope**2 * d


def derive() -> Derivation:
    """Derive what the copies compute, and how flat they are."""
    d = Derivation("flatness-selects-symmetry")
    d.define("scale", sp.Eq(scale, N**-share), "so that N copies weigh as much as one neuron")
    _copy(d)
    _function(d)
    _trace(d)
    return d.conclude("symmetrised", models())


def models() -> Iterator[Model]:
    """Networks on two orbits of contexts, with invariant outputs; all but one change when positions are swapped."""
    weights, contexts = [(1, 0), (0, 2), (3, -1)], [(1, 2), (-1, 1)]
    relu = sp.Lambda(x, (x + sp.Abs(x)) / 2)
    model = Model("3 relu neurons, T = 2", _of_network([1, 1, Fraction(1, 4)], weights, contexts, relu, 1))
    yield model
    square = sp.Lambda(x, x**2)
    yield Model("2 squares, T = 2", _of_network([1, -3], [(2, 1), (1, 0)], contexts, square, 2))
    closed = [(1, 1, 1), (-2, -2, -2)]
    yield Model("2 symmetric relu neurons, T = 3", _of_network([1, 2], closed, [(1, 2, 4), (-1, -1, 1)], relu, 1))
    yield model.control("homogeneous", "squared", {psi: relu})
    yield model.control("gamma", "on-gamma", _of_network([1, 1, 1], weights, contexts, relu, 1))
    yield model.control(
        "exchangeable", "symmetrised", {weight: [[Fraction(1, 4), Fraction(1, 4)], [0, Fraction(1, 2)]]}
    )
    yield model.control("group", "orbit", {after: [[first, first] for first, _ in model.values[after]]})


def _of_network(
    a: Sequence[Any], w: Sequence[Sequence[int]], z: Sequence[Sequence[int]], activation: sp.Lambda, degree: int
) -> dict[Any, Any]:
    """What the symbols stand for in the network Σ_j a_j φ(w_j·z) on all permutations of some contexts."""
    orders = list(permutations(range(len(z[0]))))
    factor = sp.Integer(len(orders)) ** -sp.Rational(1, degree + 1)

    def dot(one: Sequence[int], other: Sequence[int], first: Sequence[int], second: Sequence[int]) -> int:
        return sum(one[p] * other[q] for p, q in zip(first, second, strict=True))

    same = orders[0]
    own = [[[dot(row, context, same, q) for q in orders] for context in z] for row in w]
    permuted = [[[[dot(row, context, p, q) for q in orders] for context in z] for p in orders] for row in w]
    outputs = [
        [
            [
                sum(head * activation(row[p][c][q]) for head, row in zip(a, permuted, strict=True))
                for q in range(len(orders))
            ]
            for c in range(len(z))
        ]
        for p in range(len(orders))
    ]
    return {
        share: sp.Rational(1, degree + 1), scale: factor, N: len(orders), m: len(a), n: len(z), phi: activation,
        psi: sp.Lambda(x, activation(factor * x)), heads: list(a), norm: [sum(v**2 for v in context) for context in z],
        before: own, after: permuted, output: outputs, target: [outputs[0][c][0] for c in range(len(z))],
        orbit: [Fraction(1, 2)] * len(z), weight: [[Fraction(1, 2 * len(orders))] * len(orders)] * len(z),
        g: [1, 2], h: [1, 2], j: [1, 2], o: [1, 2], x: [2, Fraction(-1, 3)], at: 3, head: 2, size: 5,
    }  # fmt: skip


def _copy(d: Derivation) -> None:
    """Add what becomes of the gradient of a neuron whose head and weights are multiplied by c."""
    d.assume(
        "homogeneous",
        sp.Eq(psi(x), scale**degree * phi(x)),
        "ψ(x) = φ(c x): the activation is homogeneous of degree k",
        for_every=(x,),
    )
    d.identity("squared", sp.Eq(psi(x) ** 2, scale ** (2 * degree) * phi(x) ** 2), "its square", given=("homogeneous",))
    d.instance("squared-at", "squared", {x: at}, "at one place")
    d.identity(
        "copy",
        sp.Eq(squared_gradient(psi, at), scale ** (2 * degree) * squared_gradient(phi, at)),
        "value and derivative are both c^k times those of φ",
        given=("homogeneous", "squared-at"),
    )
    d.instance(
        "copy-at",
        "copy",
        {at: after[j, g, o, h], head: heads[j], size: norm[o]},
        "copy g of neuron j at context (o, h)",
    )


def _function(d: Derivation) -> None:
    d.assume(
        "gamma",
        sp.Eq(output[g, o, h], target[o]),
        "θ ∈ Γ and f* is invariant: the permuted network, f(g⁻¹z), is f*(g⁻¹z) = f*(z) as well",
    )
    d.define(
        "output", sp.Eq(mean, over(scale ** (degree + 1) * output[g, o, h], (g, N))), "output of all copies at (o, h)"
    )
    d.identity(
        "on-gamma", sp.Eq(mean, target[o]), "N c^{k+1} = 1: the copies are on Γ", given=("output", "gamma", "scale")
    )


def _trace(d: Derivation) -> None:
    d.assume(
        "exchangeable",
        sp.Eq(weight[o, h], orbit[o] / N),
        "law and target do not change under permutations: every context of an orbit has the same weight",
    )
    at_one, in_orbit = (
        over(squared_gradient(phi, place, heads[j], norm[o]), (index, N))
        for place, index in ((after[j, g, o, h], g), (before[j, o, i], i))
    )
    d.assume(
        "group",
        sp.Eq(at_one, in_orbit),
        "g w_j·hz = w_j·g⁻¹hz, and with g also g⁻¹h runs over all permutations: the copies see at one context what the "
        "neuron sees in the orbit",
    )
    of_copies = over(squared_gradient(psi, after[j, g, o, h], heads[j], norm[o]), (g, N))
    shrunk = scale ** (2 * degree)
    d.identity(
        "copies-at", sp.Eq(of_copies, shrunk * at_one), "all copies of neuron j at one context", given=("copy-at",)
    )
    d.identity("orbit", sp.Eq(of_copies, shrunk * in_orbit), "and so over its orbit", given=("copies-at", "group"))
    d.define(
        "trace",
        sp.Eq(
            trace,
            over(weight[o, h] * squared_gradient(phi, before[j, o, h], heads[j], norm[o]), (o, n), (j, m), (h, N)),
        ),
        "tr H = E σ'(f*) |∇f|² on Γ",
    )
    d.define("copies", sp.Eq(copies, over(weight[o, h] * of_copies, (o, n), (j, m), (h, N))), "tr H of the copies")
    d.identity(
        "symmetrised",
        sp.Eq(copies, N ** (2 * share - 1) * trace),
        "N c^{2k} = N^{2s − 1}: a mean over contexts of an orbit does not see which copy",
        given=("copies", "orbit", "trace", "exchangeable", "scale"),
    )


CLAIM = Claim(
    id="flatness-selects-symmetry",
    place=4,
    title="Copying a minimiser under the symmetries of an exchangeable language makes it no sharper",
    statement=r"f_\theta=f^*,\ \theta^G=\{(c\,a_j,\,c\,g w_j)\}_{j,\,g\in G},\ c=N^{-1/(k+1)}\ \Rightarrow\ "
    r"f_{\theta^G}=f^*,\quad \operatorname{tr}H(\theta^G)=N^{\frac{1-k}{1+k}}\operatorname{tr}H(\theta)",
    hypotheses=(
        "the law of the contexts z and the target f* do not change when positions are permuted by g ∈ G, |G| = N",
        "f(z) = Σ_j a_j φ(w_j·z), any width, no bias; φ(cx) = c^k φ(x) for c > 0 (relu: k = 1, squares: k = 2)",
        "θ ∈ Γ: f = f* on every context",
    ),
    uses=(),
    source="ours",
    derive=derive,
    formulas={
        "": closed_form(
            "symmetrised",
            "tr H of all permuted copies of a minimiser",
            Parameter("trace", trace, "tr H of the minimiser", minimum=0),
            Parameter("N", N, "number of permutations", minimum=1, step=1),
            Parameter("s", share, "1/(k + 1), k the degree of the activation", minimum=0, strict=True),
        )
    },
)
