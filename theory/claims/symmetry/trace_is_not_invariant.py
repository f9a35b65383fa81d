r"""tr H is no property of the function: scalings that leave the network's function alone change it as they please.

Multiply the parameters u of one group by c > 0 and divide those of another, v, by c, and suppose that the network is
the same function for every c. (In a transformer: queries against keys, values against the output map, the gain and
bias of a normalisation against the next map, the two layers of a relu MLP.) Then the loss at θ_c, moved by s along
a parameter of the first group, is the loss at θ moved by s/c, so its curvature is that at θ divided by c²; in the
second group it is multiplied by c². With the block traces P, Q and R of u, v and the rest, at θ,

    tr H(θ_c) = R + P/c² + Q c²,

least R + 2√(PQ) at c⁴ = P/Q and without an upper bound. Σ_i θ_i² H_ii is the same for every c. All of it holds for
the Fisher matrix F in place of H, which is H on Γ.
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Terms

c = sp.Symbol("c", positive=True)
s = sp.Symbol("s", real=True)
NAMES = ("first", "second", "rest")
i = sp.Symbol("i", integer=True, positive=True)
sizes = sp.symbols("m n k", integer=True, positive=True)
"""How many parameters the first group, the second and the rest have."""
curvature = tuple(sp.IndexedBase(name, nonnegative=True) for name in "pqr")
"""Diagonal entries of H at θ in the first group, the second and the rest."""
theta = tuple(sp.IndexedBase(name, real=True) for name in "uv")
blocks = sp.symbols("P Q R", nonnegative=True)
P, Q, R = blocks
trace = sp.Symbol("T_c", real=True)
value, slope, third = sp.symbols("L_0 L_1 L_3", real=True)
stretch = (c, 1 / c, sp.S.One)
"""What the parameters of each group are multiplied by."""


def jet(entry: sp.Expr, move: sp.Expr) -> sp.Expr:
    """L(θ + move · e) up to the third order, for a unit vector e along a parameter with H entry `entry`."""
    return value + slope * move + entry * move**2 / 2 + third * move**3


def scaled_curvature(group: int) -> sp.Expr:
    """∂²/∂s² of the loss at θ_c + s e, at s = 0: as θ_c + s e is θ + (s / stretch) e scaled, by the chain rule."""
    return sp.diff(jet(curvature[group][i], s / stretch[group]), s, 2).subs(s, 0)


def over(group: int, expr: sp.Expr) -> sp.Expr:
    """Σ over the parameters of a group."""
    return sp.Sum(expr, (i, 1, sizes[group]))


def derive() -> Derivation:
    """Derive tr H after scaling, its least value, that it has no largest one, and what does not change."""
    d = Derivation("trace-is-not-invariant")
    for group, name in enumerate(NAMES[:2]):
        d.series(
            f"moved {name}",
            jet(curvature[group][i], s / stretch[group]),
            s,
            3,
            value + slope * s / stretch[group] + curvature[group][i] / stretch[group] ** 2 * s**2 / 2,
            f"one function, so one loss: L(θ_c + s e) = L(θ + {1 / stretch[group]}·s e), e in the {name} group",
        )
    for group, name in enumerate(NAMES):
        d.define(f"block {name}", sp.Eq(blocks[group], over(group, curvature[group][i])), "block trace of H at θ")
    d.define(
        "trace",
        sp.Eq(trace, sum(over(group, scaled_curvature(group)) for group in range(3))),
        "tr H(θ_c): second derivatives at s = 0 along all parameters (moved first, moved second)",
    )
    d.identity(
        "scaled",
        sp.Eq(trace, R + P / c**2 + Q * c**2),
        "c does not depend on the parameter and comes out of the sums",
        given=("trace", "block first", "block second", "block rest"),
    )
    _range(d)
    _invariant(d)
    return d.conclude("least")


def _range(d: Derivation) -> None:
    d.inequality(
        "least",
        sp.Ge(trace, R + 2 * sp.sqrt(P) * sp.sqrt(Q)),
        "P/c² + Qc² = (√P/c − √Q c)² + 2√(PQ)",
        Terms(((sp.sqrt(P) / c - sp.sqrt(Q) * c) ** 2,)),
        given=("scaled",),
    )
    first, second = sp.symbols("P_0 Q_0", positive=True)
    best, small = sp.symbols("c_star c_A", positive=True)
    d.define(
        "best", sp.Eq(best, (first / second) ** sp.Rational(1, 4)), "equality in `least`, with P = P_0, Q = Q_0 > 0"
    )
    d.identity(
        "attained",
        sp.Eq(R + first / best**2 + second * best**2, R + 2 * sp.sqrt(first) * sp.sqrt(second)),
        "at c⁴ = P/Q, when both blocks have curvature",
        given=("best",),
    )
    bound = sp.Symbol("A", positive=True)
    d.define("small", sp.Eq(small, sp.sqrt(first / bound)), "a scale for the bound A")
    d.inequality(
        "unbounded",
        sp.Ge(R + first / small**2 + Q * small**2, bound),
        "whatever A is, c = √(P/A) makes tr H at least A: there is no largest value",
        Terms((R, Q * first / bound)),
        given=("small",),
    )


def _invariant(d: Derivation) -> None:
    for group, name in enumerate(NAMES[:2]):
        moved, entry = sp.symbols(f"theta_{name} h_{name}", real=True)
        d.define(f"parameter {name}", sp.Eq(moved, stretch[group] * theta[group][i]), "a parameter at θ_c")
        d.define(
            f"entry {name}", sp.Eq(entry, scaled_curvature(group)), f"its diagonal entry of H at θ_c: moved {name}"
        )
        d.identity(
            f"invariant {name}",
            sp.Eq(moved**2 * entry, theta[group][i] ** 2 * curvature[group][i]),
            "θ² gains what H_ii loses: each term of Σ θ_i² H_ii, and so the sum, is the same as at θ",
            given=(f"parameter {name}", f"entry {name}"),
        )


BLOCKS = (
    Parameter("rest", R, "block trace of the parameters that are not scaled", minimum=0),
    Parameter("p", P, "block trace of the group that is multiplied by c", minimum=0),
    Parameter("q", Q, "block trace of the group that is divided by c", minimum=0),
)
SCALE = Parameter("c", c, "scale", minimum=0, strict=True)


CLAIM = Claim(
    id="trace-is-not-invariant",
    place=1,
    title="Exact rescalings of a network change the trace of its Hessian without bound",
    statement=r"\operatorname{tr} H(\theta_c) = R + P/c^2 + Q\,c^2 \ge R + 2\sqrt{PQ},\quad "
    r"\sup_c = \infty,\quad \sum_i \theta_i^2 H_{ii}\ \text{invariant}",
    hypotheses=(
        "the function of the network is the same when one group of parameters is multiplied by c > 0, another by 1/c",
        "the loss is a function of the network's function, three times differentiable at θ",
        "P, Q, R ≥ 0: block traces at θ (c = 1) of the groups and the rest; of H at a minimum, or of F anywhere",
    ),
    uses=(),
    source="ours; rescaling of networks without normalisation: Dinh et al., arXiv 1703.04933, Theorem 4",
    derive=derive,
    formulas={
        "": closed_form("scaled", "tr H after scaling", *BLOCKS, SCALE),
        "least": closed_form("least", "least tr H over all scales", *BLOCKS),
    },
)
