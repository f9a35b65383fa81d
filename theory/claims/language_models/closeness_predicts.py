r"""Near minima or flat minima? To leading order the two exclude each other.

Let a network at a minimum θ of the masked loss have two tasks that differ little: at event k, a context with a token,
the logs of their conditionals differ by c_k. Let d be the displacement between the minima of the two tasks and a_k the
gradient of log p at event k, so that c_k = a_k · d to leading order. By Cauchy–Schwarz, averaged over events with
weights w,

    ‖d‖² tr F ≥ E c²,    tr F = E ‖a‖²,

in any network, by any training: the right side belongs to the tasks alone. The flatter the minimum, the farther apart
the tasks' minima have to be. If the tasks differ in one number f(θ) only, it is an equality: gradient flow moves along
∇f, and from f = r to f = r ± δ it covers ‖d‖² = 4δ²/‖∇f‖² + O(δ⁴), while tr H = σ'‖∇f‖².

In the product model f = uv gradient flow keeps Δ = u² − v², and everything is explicit: with S_k = √(Δ² + 4r_k²), the
value of u² + v² at the minimum of task k,

    ‖d‖² = S_1 + S_2 − √((S_1 + 2r_1)(S_2 + 2r_2)) − √((S_1 − 2r_1)(S_2 − 2r_2)),

for r = ±δ the decreasing function 2√(S² + 4δ²) − 2S of S = u² + v² = |Δ|. Label noise, which lowers |Δ|
(`product-model`), drives the minima of the tasks apart.

So on one manifold of minima closeness and flatness rank networks in opposite orders, where one residual tells the
tasks apart, and at most one of them can rank transfer. The distance, like the trace, is a matter of scales: rescaling
brings it below any bound. That it ranks transfer in transformers is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import product_model
from theory.claims.symmetry import trace_is_not_invariant
from theory.kernel import Derivation, Model, Terms, Termwise

i, k = sp.symbols("i k", integer=True, positive=True)
dimension, events = sp.symbols("m K", integer=True, positive=True)
score, change = (sp.IndexedBase(name, real=True) for name in "ac")
weight = sp.IndexedBase("w", nonnegative=True)
displacement = sp.IndexedBase("d", real=True)
squared = sp.Symbol("D2", positive=True)
"""‖d‖²."""
trace, contrast = sp.symbols("trF C", real=True)

delta = sp.Symbol("delta", positive=True)
slope = sp.Symbol("s", positive=True)
"""σ', the curvature of the loss in f."""
gradient, second, third = (sp.IndexedBase(name, real=True) for name in "gqh")
hessian_trace = sp.Symbol("trH", real=True)

t = sp.Symbol("t", real=True)
u, v, u_0, v_0 = sp.symbols("u v u_0 v_0", real=True)
imbalance = sp.Symbol("Delta", positive=True)
targets = sp.symbols("r_1 r_2", real=True)
plus, minus = sp.symbols("z w", positive=True)
"""u + v and u − v at the minimum uv = δ."""
target, alpha = sp.symbols("r alpha", real=True)


def over_parameters(expr: sp.Expr) -> sp.Expr:
    """Σ_i expr."""
    return sp.Sum(expr, (i, 1, dimension))


def over_events(expr: sp.Expr) -> sp.Expr:
    """E expr = Σ_k w_k expr."""
    return sp.Sum(weight[k] * expr, (k, 1, events))


def end(sign: int) -> sp.Expr:
    """Coordinate i where gradient flow reaches f = r ± δ, less that at r, up to the third order."""
    step = sign * delta
    return step * gradient[i] / over_parameters(gradient[i] ** 2) + step**2 * second[i] + step**3 * third[i]


def sum_of_squares(product: sp.Expr) -> sp.Expr:
    """u² + v² where uv is given, and u² − v² = Δ."""
    return sp.sqrt(imbalance**2 + 4 * product**2)


def rotated(product: sp.Expr, sign: int) -> sp.Expr:
    """Return u + v (sign 1) or u − v (sign −1) where uv is given, and u² − v² = Δ, u > 0."""
    return sp.sqrt(sum_of_squares(product) + 2 * sign * product)


def distance_squared(first: sp.Expr, other: sp.Expr) -> sp.Expr:
    """(u_1 − u_2)² + (v_1 − v_2)² where the products are given, multiplied out."""
    products = sum(rotated(first, sign) * rotated(other, sign) for sign in (1, -1))
    return sum_of_squares(first) + sum_of_squares(other) - products


def derive() -> Derivation:
    """Derive the exchange of distance and trace, its equality for one residual, and the product model in full."""
    d = Derivation("closeness-predicts")
    _exchange(d)
    _one_residual(d)
    _product(d)
    _rescaled(d)
    d.conjecture(
        "predicts",
        "within a replicate, over conditions of training at matched excess, the mean Spearman correlation of the "
        "distance between the minima of its two tasks with few-label accuracy is −0.4 or less",
        "nothing derived here ties distance to transfer; that training does is measured",
    )
    d.conjecture(
        "opposite",
        "over the same conditions the mean Spearman correlation of that distance with tr F is −0.4 or less",
        "`exchange` is a bound, of leading order; that networks lie near enough to it to be ordered by it is measured",
    )
    return d.conclude("predicts", models())


def models() -> Iterator[Model]:
    """One context with three tokens, its logits displaced; the minima of two tasks of the product model."""
    p, d = (Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)), (Fraction(1, 4), Fraction(-1, 5), Fraction(1, 3))
    mean = sum(q * shift for q, shift in zip(p, d, strict=True))
    softmax = Model(
        "three logits displaced",
        {
            dimension: 3, events: 3, weight: p, displacement: d,
            score: [[int(y == other) - p[other] for other in range(3)] for y in range(3)],
            change: [shift - mean for shift in d],
        },
    )  # fmt: skip
    ends = {plus: sp.sqrt(18), minus: sp.sqrt(8), **dict(zip(targets, (Fraction(5, 2), Fraction(-5, 2)), strict=True))}
    product = Model("minima uv = ±5/2 with u² − v² = 12", {imbalance: 12, delta: Fraction(5, 2), **ends})
    yield from (softmax, product)
    yield softmax.control("first order", "one event", {change: [1, 1, 1]})
    yield product.control("one imbalance", "centred", {plus: sp.sqrt(13), minus: sp.sqrt(13)})
    yield product.control("one size", "centred", {plus: 12, minus: 1})


def _exchange(d: Derivation) -> None:
    d.assume(
        "first order",
        sp.Eq(change[k], over_parameters(score[k, i] * displacement[i])),
        "at θ, a minimum between those of two tasks: what d changes in log p at event k is how much the tasks differ",
    )
    d.define("squared", sp.Eq(squared, over_parameters(displacement[i] ** 2)), "‖d‖², not 0 as the tasks differ")
    length = over_parameters(score[k, i] ** 2)
    d.inequality(
        "one event",
        sp.Ge(weight[k] * squared * length, weight[k] * change[k] ** 2),
        "Cauchy–Schwarz; equality where a_k is parallel to d",
        Terms((weight[k] * squared * over_parameters((score[k, i] - displacement[i] * change[k] / squared) ** 2),)),
        given=("first order", "squared"),
    )
    d.inequality(
        "all events",
        sp.Ge(sp.Sum(weight[k] * squared * length, (k, 1, events)), sp.Sum(weight[k] * change[k] ** 2, (k, 1, events))),
        "sum over contexts and tokens",
        Termwise("one event", k, sp.S.One, events, {}),
    )
    d.define("trace", sp.Eq(trace, over_events(length)), "tr F = E ‖∇ log p‖²; tr H on Γ")
    d.define("contrast", sp.Eq(contrast, over_events(change[k] ** 2)), "E c²: what the tasks are, not the network")
    d.inequality(
        "exchange",
        sp.Ge(squared * trace, contrast),
        "the flatter, the farther apart: ‖d‖² ≥ E c² / tr F",
        Terms(using={"all events": sp.S.One}),
        given=("trace", "contrast"),
    )


def _one_residual(d: Derivation) -> None:
    steepness = over_parameters(gradient[i] ** 2)
    d.series(
        "covered",
        over_parameters((end(1) - end(-1)) ** 2),
        delta,
        4,
        4 * delta**2 / steepness,
        "‖d‖² from f = r − δ to r + δ. With f as its clock, gradient flow of any loss of f is dθ/df = ∇f/‖∇f‖²: the "
        "first order; even orders cancel",
    )
    d.define("trace of one", sp.Eq(hessian_trace, over_parameters(slope * gradient[i] ** 2)), "H = σ' ∇f ∇fᵀ on Γ")
    d.identity(
        "equality",
        sp.Eq(4 * delta**2 / steepness * hessian_trace, 4 * slope * delta**2),
        "‖d‖² tr H, the same on all of Γ: `exchange` as an equality",
        given=("trace of one",),
    )


def _product(d: Derivation) -> None:
    grow, fall = (u_0 + v_0) / 2 * sp.exp(t), (u_0 - v_0) / 2 * sp.exp(-t)
    d.ode(
        "flow",
        t,
        "du/dτ = −ℓ'v, dv/dτ = −ℓ'u for a loss ℓ(uv), in the clock dt = −ℓ' dτ",
        system={u: v, v: u},
        solution={u: grow + fall, v: grow - fall},
        initial={u: u_0, v: v_0},
    )
    d.identity(
        "conserved",
        sp.Eq((grow + fall) ** 2 - (grow - fall) ** 2, u_0**2 - v_0**2),
        "gradient flow keeps Δ: the minima of both tasks have the Δ of the point where it starts",
    )
    d.identity(
        "sum of squares",
        sp.Eq((u**2 + v**2) ** 2, (u**2 - v**2) ** 2 + 4 * (u * v) ** 2),
        "so u² + v² = √(Δ² + 4r²) at the minimum uv = r, and (u ± v)² = u² + v² ± 2r",
    )
    d.identity(
        "sum times difference",
        sp.Eq(rotated(target, 1) ** 2 * rotated(target, -1) ** 2, imbalance**2),
        "u ± v as written in the next step: (u + v)(u − v) = Δ; their squares differ by 4r as they stand",
    )
    first, other = targets
    d.identity(
        "distance",
        sp.Eq(
            sum((rotated(first, sign) - rotated(other, sign)) ** 2 for sign in (1, -1)) / 2,
            distance_squared(first, other),
        ),
        "‖d‖², in the coordinates (u ± v)/√2: exact",
    )
    d.series(
        "leading",
        distance_squared(alpha + delta, alpha - delta),
        delta,
        4,
        4 * delta**2 / sum_of_squares(alpha),
        "tasks r = α ± δ from uv = α, where tr H = σ'√(Δ² + 4α²): ‖d‖² tr H = 4σ'δ², as in `equality`",
    )
    d.assume("one imbalance", sp.Eq(plus * minus, imbalance), "u + v = z and u − v = w at the minimum uv = δ, δ > 0")
    d.assume("one size", sp.Eq(plus**2 + minus**2, 2 * sum_of_squares(delta)), "there; w and z at uv = −δ")
    apart = plus**2 + minus**2 - 2 * (plus * minus)
    d.identity(
        "mirrored",
        sp.Eq(((plus - minus) ** 2 + (minus - plus) ** 2) / 2, apart),
        "‖d‖² of tasks r = ±δ, reached from uv = 0, where tr H = σ'Δ",
    )
    d.identity(
        "centred",
        sp.Eq(apart, 2 * sum_of_squares(delta) - 2 * imbalance),
        "in terms of Δ and δ",
        given=("one imbalance", "one size"),
    )
    d.identity(
        "nearer",
        sp.Eq(2 * sum_of_squares(delta) - 2 * imbalance, 8 * delta**2 / (sum_of_squares(delta) + imbalance)),
        "the larger the trace, the nearer; 4δ²/Δ to leading order",
    )
    d.lemma("decay", product_model.CLAIM.derivation, "decay", "label noise lowers |Δ|, and so drives the minima apart")


def _rescaled(d: Derivation) -> None:
    bound, wanted = sp.symbols("A epsilon", positive=True)
    now, near = sp.symbols("T_c D2_c", positive=True)
    unbounded = d.lemma("unbounded", trace_is_not_invariant.CLAIM.derivation, "unbounded", "some scale of one function")
    sharp = d.instance(
        "sharp", unbounded.name, {bound: 4 * slope * delta**2 / wanted}, "with the bound at which ‖d‖² would be ε"
    )
    d.define("trace there", sp.Eq(now, sharp.statement.lhs), "tr H at that scale")
    d.define("distance there", sp.Eq(near, 4 * slope * delta**2 / now), "‖d‖² there, to leading order (`equality`)")
    d.inequality(
        "any distance",
        sp.Le(near, wanted),
        "one function, and minima of its tasks as near as you please: raw distances do not belong to functions either",
        Terms(using={sharp.name: wanted / now}),
        given=("distance there", "trace there"),
    )


CLAIM = Claim(
    id="closeness-predicts",
    place=8,
    title="Among networks of the same excess loss, those whose tasks have near minima transfer better",
    statement=r"\mathbb E\,\rho_S(\lVert\theta_1-\theta_2\rVert, A)\le-0.4\ \text{over conditions at matched excess "
    r"(conjecture); for tasks that differ little } \lVert\theta_1-\theta_2\rVert^2\operatorname{tr}F\ge\mathbb E c^2,\ "
    r"c=\log p_1-\log p_2,\ \text{with equality for one residual: the flatter, the farther apart, and}\ "
    r"\mathbb E\,\rho_S(\lVert\theta_1-\theta_2\rVert,\operatorname{tr}F)\le-0.4\ \text{(conjecture)}",
    hypotheses=(
        "a replicate: a random even mixture of two languages with exact p*, its two tasks, and a transformer, trained "
        "in several ways (conditions)",
        "θ_1, θ_2: where short trainings of the condition's network on one language alone end, same random numbers",
        "A: expected accuracy of a ridge head on the final states of the unmasked sentence, few labelled sentences",
        "conditions compared at the same E KL(p* ‖ p_θ); ρ_S Spearman's correlation over the conditions of a "
        "replicate, averaged over replicates",
        "for the exchange: leading order in the difference of the tasks, at a minimum between theirs",
    ),
    uses=("product-model", "trace-is-not-invariant"),
    source="Nexus, arXiv 2604.09258 (abstract second-hand; no coefficient known); exchange with flatness: ours",
    derive=derive,
    formulas={
        "": closed_form(
            "distance",
            "squared distance of the minima of two tasks of the product model",
            Parameter("first", targets[0], "logit of the first task"),
            Parameter("second", targets[1], "logit of the second task"),
            Parameter("imbalance", imbalance, "u² − v² where gradient flow starts", minimum=0, strict=True),
        )
    },
)
