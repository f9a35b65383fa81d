r"""The flattest minimum of the bracket language: min tr H = 2α√(T−1) σ'(α), and only along ±(1, …, 1).

Contexts are balanced words of even length T ≥ 4 with one token masked, the token y = −Σz kept with probability σ(α);
the net has m ≥ 2 relu neurons without bias and is trained with the cross-entropy, so f = αy on Γ. There

    tr H = σ'(α) E Σ_j [ relu(w_j·z)² + a_j² (T − 1) 1{w_j·z > 0} ] ≥ 2α√(T−1) σ'(α),

attained exactly when w_j = −a_j√(T−1)·(1, …, 1) for every neuron that is ever active, all others having w_j = 0.
With the squared loss (f − y)², where f = y, the minimum is 4√(T−1).

Uniqueness. In the case of equality a neuron with a > 0 is closed where y = −1, and where y = +1 its pre-activation is
0 or κ = a√(T−1), as z ↦ −z exchanges the classes. Moving the mask from i to j changes w·z by w_i − w_j, swapping two
unequal unmasked tokens by 2(w_i − w_j); both are differences of two numbers in {0, κ}, so w_i = w_j. Swaps need T ≥ 4.
The lemma `bracket_angle` says how fast tr H grows away from the axis, `bracket_counterexamples` what happens at T = 2,
on nested words and with biases.
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import bracket_angle
from theory.claims.minima.bracket_counterexamples import biases, nested_words, shortest_words
from theory.claims.minima.bracket_language import (
    D,
    T,
    alpha,
    c,
    gradient_bound,
    i,
    j,
    margin,
    over_contexts,
    squared_gradient,
    z,
)
from theory.kernel import Derivation, Terms, logistic, logistic_slope

root = sp.sqrt(T - 1)
slope = logistic_slope(alpha)
kappa, output = sp.symbols("kappa a", positive=True)


def derive() -> Derivation:
    """Derive the bound for both losses, that it is attained, and which points attain it."""
    d = Derivation("flattest-brackets")
    d.assume("length", sp.Ge(T, 4), "words have even length T ≥ 4; only uniqueness needs more than 2")
    _curvature(d)
    d.lemma("gradient", gradient_bound())
    d.instance("gradient-brackets", "gradient", {D: T - 1}, "no bias, so D = |z|² = T − 1")
    d.inequality(
        "bound",
        sp.Ge(slope * over_contexts(squared_gradient(T - 1)), 2 * alpha * root * slope),
        "tr H = σ'(α) E|∇f|² on Γ: a bound on every point of Γ, at any width and under any law of the contexts",
        Terms(using={"gradient-brackets": slope}),
    )
    _attainment(d)
    _squared_loss(d)
    _uniqueness(d)
    d.lemma("off-axis", bracket_angle.derive(), because="off the axis, with no pre-activation 0, a sharper bound holds")
    d.lemma("length-two", shortest_words())
    d.lemma("nested-words", nested_words(), because="on nested words w = (ω, …, ω, −κ), ω ≤ −κ/2, is as flat")
    d.lemma("biases", biases(), because="with biases neurons that memorise one context each are as flat as any")
    return d.conclude("bound")


def _curvature(d: Derivation) -> None:
    """Add the second derivatives on Γ of both losses along a coordinate t of θ."""
    t, token = sp.Symbol("t", real=True), sp.Symbol("y", integer=True)
    p = sp.Symbol("p", positive=True)
    f = sp.Function("f", real=True)(t)
    cross_entropy = sp.log(1 + sp.exp(f)) - p * f
    d.assume("true-model", sp.Eq(p, logistic(f)), "θ ∈ Γ: the model's probability is the true one")
    d.identity(
        "curvature",
        sp.Eq(sp.diff(cross_entropy, t, 2), logistic_slope(f) * sp.diff(f, t) ** 2),
        "cross-entropy: the term with f'' has the residual σ(f) − p = 0 as its factor; so tr H = E σ'(f)|∇f|²",
        given=("true-model",),
    )
    d.identity(
        "even-slope",
        sp.Eq(logistic(-alpha) * (1 - logistic(-alpha)), slope),
        "f = ±α on Γ and σ' is even: σ'(f) is the constant σ'(α)",
    )
    d.identity(
        "curvature-squared",
        sp.Eq(sp.diff((f - token) ** 2, t, 2), 2 * sp.diff(f, t) ** 2 + 2 * (f - token) * sp.diff(f, t, 2)),
        "squared loss: on Γ, where f = y, tr H = 2 E|∇f|²",
    )


def _attainment(d: Derivation) -> None:
    """Add the points at which the bound is attained: the margin split at will over the neurons of each class."""
    count = sp.Symbol("m_1", integer=True, positive=True)
    kappas = sp.IndexedBase("kappa", positive=True)
    squares = sp.Sum(kappas[j] ** 2, (j, 1, count))
    weight = sp.Symbol("omega", real=True)
    d.assume("balance-plus", sp.Eq(sp.Sum(z[i, c], (i, 1, T)), -1), "contexts with y = +1; those with y = −1 are −z")
    d.assume("equal-weights", sp.Eq(weight, -kappa), "a neuron with w = −κ(1, …, 1), a = κ/√(T−1)")
    d.identity(
        "attained-response",
        sp.Eq(weight * sp.Sum(z[i, c], (i, 1, T)), kappa),
        "w·z = κ where y = +1, hence −κ where y = −1: it is open on its class alone",
        given=("balance-plus", "equal-weights"),
    )
    d.assume(
        "split", sp.Eq(squares, alpha * root), "m₁ ≥ 1 such neurons share the margin: Σ a_j κ_j = Σ κ_j²/√(T−1) = α"
    )
    d.identity(
        "split-exists",
        sp.Eq(sp.Sum(alpha * root / count, (j, 1, count)), alpha * root),
        "for one, in equal parts κ_j² = α√(T−1)/m₁",
    )
    d.identity(
        "cost",
        sp.Eq(sp.Sum(kappas[j] ** 2 + (kappas[j] / root) ** 2 * (T - 1), (j, 1, count)), 2 * squares),
        "|∇f|² on a context of their class: both halves of a neuron's squared gradient are κ_j²",
    )
    d.identity(
        "minimum",
        sp.Eq(slope * 2 * squares, 2 * alpha * root * slope),
        "tr H at these points is the bound: so it is the minimum for every m ≥ 2, one neuron or more for each class",
        given=("split",),
    )


def _squared_loss(d: Derivation) -> None:
    """Add the bound of the squared loss, and that the same points attain it."""
    d.assume("margin-one", sp.Eq(margin, 1), "squared loss: f = y on Γ, so the margin is 1 in place of α")
    d.instance("gradient-squared", "gradient", {D: T - 1, alpha: sp.S.One}, "α = 1", given=("margin-one",))
    d.inequality(
        "bound-squared",
        sp.Ge(2 * over_contexts(squared_gradient(T - 1)), 4 * root),
        "tr H = 2 E|∇f|² on Γ",
        Terms(using={"gradient-squared": sp.S(2)}),
    )
    squares = d["split"].statement.lhs
    d.assume("split-one", sp.Eq(squares, root), "the margin 1 is shared out instead of α")
    d.identity(
        "minimum-squared", sp.Eq(2 * 2 * squares, 4 * root), "attained by the same directions", given=("split-one",)
    )


def _uniqueness(d: Derivation) -> None:
    """Add what the equality of a neuron with a > 0 forces; one with a < 0 is its mirror image under z ↦ −z."""
    u, mirrored = sp.symbols("u r_-", real=True)
    gate = sp.Symbol("s", nonnegative=True)
    weight = sp.Symbol("w_0", real=True)
    d.assume("relu", sp.Ge(mirrored, -u), "u = w·z where y = +1; the response at −z, where y = −1, is relu(−u) ≥ −u")
    d.assume("closed", sp.Le(output * mirrored, 0), "equality: |a| r h = 0, and h = 1 at −z; so a relu(−u) = 0")
    d.inequality(
        "nonnegative",
        sp.Ge(u, 0),
        "no pre-activation is negative where y = +1; here the symmetry of balanced words is used",
        Terms(using={"relu": sp.S.One, "closed": 1 / output}),
    )
    d.assume("gate", sp.Eq(u, gate * u), "as u ≥ 0 the response is u itself, and s = 1{u > 0}")
    d.assume("full", sp.Eq(gate * u, kappa * gate), "equality: s (r − κ) = 0 with κ = a√(T−1)")
    d.identity("two-values", sp.Eq(u, kappa * gate), "w·z is 0 or κ on contexts with y = +1", given=("gate", "full"))
    w_i, w_j, z_i, z_j = sp.symbols("w_i w_j z_i z_j", real=True)
    d.identity(
        "exchange",
        sp.Eq(w_i * z_i + w_j * z_j - (w_i * z_j + w_j * z_i), (w_i - w_j) * (z_i - z_j)),
        "exchanging the contents of positions i and j keeps Σz: a factor 1 for a mask and a closing bracket, "
        "(z_i, z_j) = (0, −1), and a factor 2 for the unequal tokens (1, −1)",
    )
    d.inequality(
        "room",
        sp.Ge(T / 2 - 2, 0),
        "besides i and j a context of the swap has the mask, T/2 − 2 opening and T/2 − 1 closing brackets: T ≥ 4",
        Terms(using={"length": sp.Rational(1, 2)}),
    )
    gates = sp.symbols("s_1:5", integer=True)
    swap, move = gates[0] - gates[1], gates[2] - gates[3]
    d.enumeration(
        "equal",
        sp.Implies(sp.Eq(swap, 2 * move), sp.Eq(move, 0)),
        "2(w_i − w_j) = κ(s₁ − s₂) by the swap and w_i − w_j = κ(s₃ − s₄) by the move, all gates 0 or 1: so w_i = w_j",
        ({gate: (case >> k) & 1 for k, gate in enumerate(gates)} for case in range(16)),
    )
    d.assume("common", sp.Eq(u, weight * sp.Sum(z[i, c], (i, 1, T))), "all weights are w₀: w·z = w₀ Σz")
    d.identity("pre-activation", sp.Eq(weight, -u), "Σz = −1 where y = +1", given=("common", "balance-plus"))
    d.identity(
        "unique",
        sp.Eq(weight, -kappa * gate),
        "w = −κ(1, …, 1) for a neuron that is ever open (s = 1), w = 0 for one that never is (s = 0)",
        given=("pre-activation", "two-values"),
    )


_LENGTH = Parameter("T", T, "length of the words", minimum=4, step=2)
_TANGENT = Parameter("tangent", bracket_angle.tangent, "tangent of the least angle to the axis", minimum=0)
_ALPHA = Parameter("alpha", alpha, "logit with which the masked token is kept", minimum=0, strict=True)


CLAIM = Claim(
    id="flattest-brackets",
    place=2,
    title="The flattest bracket predictor has all its neurons along ±(1, …, 1)",
    statement=r"\min_{\Gamma}\operatorname{tr} H = 2\alpha\sqrt{T-1}\,\sigma'(\alpha),\ "
    r"\text{attained iff every active } w_j = -a_j\sqrt{T-1}\,(1,\dots,1)",
    hypotheses=(
        "balanced words of even length T ≥ 4, one token masked, kept with probability σ(α), α > 0",
        "f(z) = Σ_j a_j relu(w_j·z), any width m ≥ 2, no bias, relu'(0) = 0",
        "θ ∈ Γ: f = αy under the cross-entropy, f = y under the squared loss",
    ),
    uses=(),
    source="ours, after paper Theorem 6.1 (second-hand, T ≥ 6)",
    derive=derive,
    formulas={
        "": closed_form("minimum", "least tr H on Γ, cross-entropy", _LENGTH, _ALPHA),
        "squared": closed_form("minimum-squared", "least tr H on Γ, squared loss", _LENGTH),
        "angle": closed_form(
            "off-axis",
            "bound on tr H for directions at an angle to the axis, no pre-activation 0",
            _LENGTH,
            _ALPHA,
            _TANGENT,
        ),
    },
)
