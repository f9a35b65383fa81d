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

from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Model, Terms

c = sp.Symbol("c", positive=True)
s = sp.Symbol("s", real=True)
NAMES = ("first", "second", "rest")
i = sp.Symbol("i", integer=True, positive=True)
sizes = sp.symbols("m n k", integer=True, positive=True)
"""How many parameters the first group, the second and the rest have."""
along = tuple(sp.Function(name, real=True) for name in ("L_u", "L_v", "L_w"))
"""L(θ + s e) for the unit vector e along parameter i of a group."""
moved = tuple(sp.Function(name, real=True) for name in ("M_u", "M_v", "M_w"))
"""L(θ_c + s e)."""
theta = tuple(sp.IndexedBase(name, real=True) for name in "uv")
blocks = sp.symbols("P Q R", nonnegative=True)
P, Q, R = blocks
trace = sp.Symbol("T_c", real=True)
stretch = (c, 1 / c, sp.S.One)
"""What the parameters of each group are multiplied by."""


def curvature(loss: sp.Expr) -> sp.Expr:
    """∂²/∂s² of a loss along a parameter, at s = 0: a diagonal entry of H."""
    return sp.Subs(sp.Derivative(loss, (s, 2)), s, 0)


def over(group: int, expr: sp.Expr) -> sp.Expr:
    """Σ over the parameters of a group."""
    return sp.Sum(expr, (i, 1, sizes[group]))


def derive() -> Derivation:
    """Derive tr H after scaling, its least value, that it has no largest one, and what does not change."""
    d = Derivation("trace-is-not-invariant")
    for group, name in enumerate(NAMES):
        _moved(d, group, name)
    d.define(
        "trace",
        sp.Eq(trace, sum(over(group, curvature(moved[group](i, s))) for group in range(3))),
        "tr H(θ_c): second derivatives at s = 0 along all parameters",
    )
    d.identity(
        "scaled",
        sp.Eq(trace, R + P / c**2 + Q * c**2),
        "c does not depend on the parameter and comes out of the sums",
        given=("trace", *(f"{step} {name}" for step in ("moved", "block") for name in NAMES)),
    )
    _range(d)
    _invariant(d)
    return d.conclude("least", models())


def _moved(d: Derivation, group: int, name: str) -> None:
    """Add what scaling does to the curvature along each parameter of a group, and the group's block trace at θ."""
    before, after = along[group](i, s), moved[group](i, s)
    stretched = along[group](i, s / stretch[group])
    d.assume(
        f"one function, {name}",
        sp.Eq(after, stretched),
        f"θ_c + s e is θ + {s / stretch[group]} e scaled: one function, so one loss",
        for_every=(s,),
    )
    d.identity(
        f"moved {name}",
        sp.Eq(curvature(after), curvature(before) / stretch[group] ** 2),
        f"chain rule along s ↦ {s / stretch[group]}",
        given=(f"one function, {name}",),
    )
    d.define(f"block {name}", sp.Eq(blocks[group], over(group, curvature(before))), "block trace of H at θ")


def models() -> Iterator[Model]:
    """Networks w Σ_k v_k relu(u_k x) with squared error, at c = (P/Q)^{1/4} = 2 and at another."""
    name = "relu network of width 2"
    for scale in (sp.Integer(2), sp.Rational(3, 2)):
        model = Model(f"{name} at c = {scale}", _network(scale, scale, 1 / scale))
        yield model
    for group, factors in zip(NAMES, ((scale, scale**-2), (scale**2, 1 / scale), (scale, scale)), strict=True):
        yield model.control(
            f"one function, {group}", f"moved {group}", _network(scale, *factors), f"{name}, other factors: {group}"
        )


def _network(scale: sp.Rational, *factors: sp.Rational) -> dict[Any, Any]:
    """Losses along all parameters of a network, and of that with u and v multiplied by factors."""
    groups = [[sp.Integer(2), sp.Integer(3)], [sp.Integer(8), sp.Integer(-12)], [sp.S.One]]
    scaled = [[factor * x for x in group] for factor, group in zip((*factors, sp.S.One), groups, strict=True)]
    data = [(1, 2), (2, -1)]

    def loss(first: list[sp.Expr], second: list[sp.Expr], gain: list[sp.Expr]) -> sp.Expr:
        units = [[(u * x + sp.Abs(u * x)) / 2 for u in first] for x, _ in data]
        outputs = [gain[0] * sum(v * unit for v, unit in zip(second, row, strict=True)) for row in units]
        return sum((output - y) ** 2 for output, (_, y) in zip(outputs, data, strict=True)) / len(data)

    def line(point: list[list[sp.Expr]], group: int, place: int) -> sp.Lambda:
        here = [list(parameters) for parameters in point]
        here[group][place] += s
        return sp.Lambda(s, loss(*here))

    values: dict[Any, Any] = {c: scale, s: [0, sp.Rational(1, 3), -1], i: [1, 2]}
    for group, parameters in enumerate(groups):
        values |= {sizes[group]: len(parameters)}
        for functions, point in ((along, groups), (moved, scaled)):
            values[functions[group]] = [line(point, group, place) for place in range(len(parameters))]
    return values | dict(zip(theta, groups, strict=False))


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
        parameter = sp.Symbol(f"theta_{name}", real=True)
        d.define(f"parameter {name}", sp.Eq(parameter, stretch[group] * theta[group][i]), "a parameter at θ_c")
        d.identity(
            f"invariant {name}",
            sp.Eq(parameter**2 * curvature(moved[group](i, s)), theta[group][i] ** 2 * curvature(along[group](i, s))),
            "θ² gains what H_ii loses: each term of Σ θ_i² H_ii, and so the sum, is the same as at θ",
            given=(f"parameter {name}", f"moved {name}"),
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
        "the loss is a function of the network's function, twice differentiable along every parameter",
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
