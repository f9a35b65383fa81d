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

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import bracket_angle, bracket_language, pair_language
from theory.claims.minima._bracket_networks import Network, contexts, mirrored, on_gamma
from theory.claims.minima.bracket_counterexamples import biases, nested_words, shortest_words
from theory.claims.minima.bracket_language import D, T, alpha, gradient_bound, i, j, over_contexts, squared_gradient
from theory.claims.minima.bracket_language import tokens as x
from theory.kernel import Derivation, Model, Terms, logistic_slope

root = sp.sqrt(T - 1)
slope = logistic_slope(alpha)
kappa, output = sp.symbols("kappa a", positive=True)
count = sp.Symbol("m_1", integer=True, positive=True)
shares = sp.IndexedBase("g", positive=True)
"""Parts of the margin that the neurons of one class have."""
u, opposite, weight = sp.symbols("u r_- w_0", real=True)
gate = sp.Symbol("s", nonnegative=True)
"""A neuron at a context z with y = +1: w·z, its response at −z, its only weight, and whether it is open."""


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
    d.inequality(
        "bound-squared",
        sp.Ge(2 * over_contexts(squared_gradient(T - 1)), 4 * alpha * root),
        "squared loss: tr H = 2 E|∇f|² where f = αy on Γ; labels ±1 are α = 1",
        Terms(using={"gradient-brackets": sp.S(2)}),
    )
    _attainment(d)
    _uniqueness(d)
    d.lemma("off-axis", bracket_angle.derive(), because="off the axis, with no pre-activation 0, a sharper bound holds")
    d.lemma("length-two", shortest_words())
    d.lemma("nested-words", nested_words(), because="on nested words w = (ω, …, ω, −κ), ω ≤ −κ/2, is as flat")
    d.lemma("biases", biases(), because="with biases neurons that memorise one context each are as flat as any")
    return d.conclude("bound", models())


def models() -> Iterator[Model]:
    """Networks on Γ at T = 4, on the contexts with y = +1: one at random, one of the flattest."""
    margin, kappas = 5 / sp.sqrt(3), [1, 2, -sp.sqrt(5)]
    flattest = Network([k / sp.sqrt(3) for k in kappas], [[-k] * 4 for k in kappas])
    random = on_gamma(Fraction(3, 2), Fraction(2, 3), (Fraction(1, 2), (2, -1, Fraction(7, 2), 1)))
    model = Model("3 flattest neurons, T = 4", {bracket_angle.tangent: 0, **_of_network(margin, flattest)})
    yield model
    yield Model("4 neurons, T = 4", {bracket_angle.tangent: Fraction(1, 3), **_of_network(Fraction(3, 2), random)})
    low, high, head = Fraction(-1, 2), Fraction(-3, 2), sp.sqrt(23) / 6
    tilted = mirrored((low, high) * 2, (high, low) * 2, head)
    at_angle = {bracket_angle.tangent: Fraction(1, 2), **_of_network(2 * head, tilted)}
    yield Model("4 mirrored neurons, T = 4, the flattest at their angle", at_angle)
    yield model.control("length", "room", {T: 2})
    yield model.control("balance-plus", "attained-response", {x: [0, 1, 1, -1]})
    yield model.control("shares", "minimum", {shares: [Fraction(1, 5), Fraction(2, 5)]})
    yield model.control("relu", "nonnegative", {u: -1, opposite: 0})
    yield model.control("closed", "nonnegative", {u: -1, opposite: 1})
    yield model.control("open", "two-values", {gate: 0})
    yield model.control("full", "two-values", {u: Fraction(1, 2)})
    yield model.control("common", "pre-activation", {weight: -2})


def _of_network(margin: Any, net: Network) -> dict[Any, Any]:
    rows = [(z, token) for z, token in contexts(4, nested=False) if token == 1]
    z, _ = rows[0]
    flat = Network([1 / sp.sqrt(3)], [[-1] * 4])
    return {
        alpha: margin, **bracket_language.of_network(net, rows), **bracket_angle.of_network(net, rows),
        kappa: 1, output: flat.heads[0], count: 2, shares: [Fraction(1, 5), Fraction(4, 5)], x: z,
        u: flat.before(z)[0], opposite: flat.responses(tuple(-token for token in z))[0], gate: flat.gates(z)[0],
        weight: -1,
    }  # fmt: skip


def _curvature(d: Derivation) -> None:
    """Add the second derivatives on Γ of both losses along a coordinate t of θ."""
    cross_entropy = pair_language.derive()
    d.lemma("curvature", cross_entropy, "curvature", "cross-entropy: on Γ the residual σ(f) − p = 0 is a factor of f''")
    d.lemma("even-slope", cross_entropy, "even-slope", "f = ±α on Γ and σ' is even: tr H = σ'(α) E|∇f|²")
    f, t, token = pair_language.along, pair_language.coordinate, sp.Symbol("y", integer=True)
    d.identity(
        "curvature-squared",
        sp.Eq(sp.diff((f(t) - token) ** 2, t, 2), 2 * sp.diff(f(t), t) ** 2 + 2 * (f(t) - token) * sp.diff(f(t), t, 2)),
        "squared loss: on Γ, where f = y, tr H = 2 E|∇f|²",
    )


def _attainment(d: Derivation) -> None:
    """Add the points at which the bound is attained: the margin split at will over the neurons of each class."""
    flat = sp.Symbol("omega", real=True)
    d.assume("balance-plus", sp.Eq(sp.Sum(x[i], (i, 1, T)), -1), "contexts with y = +1; those with y = −1 are −z")
    d.define("equal-weights", sp.Eq(flat, -kappa), "a neuron with w = −κ(1, …, 1), a = κ/√(T−1)")
    d.identity(
        "attained-response",
        sp.Eq(flat * sp.Sum(x[i], (i, 1, T)), kappa),
        "w·z = κ where y = +1, hence −κ where y = −1: it is open on its class alone",
        given=("balance-plus", "equal-weights"),
    )
    whole = sp.Sum(shares[j], (j, 1, count))
    d.assume("shares", sp.Eq(whole, 1), "m₁ ≥ 1 such neurons share the margin at will, κ_j² = g_j α√(T−1)")

    def response(margin: sp.Expr) -> sp.Expr:
        return sp.sqrt(shares[j] * margin * root)

    d.identity(
        "attained-margin",
        sp.Eq(sp.Sum(response(alpha) ** 2 / root, (j, 1, count)), alpha * whole),
        "Σ a_j κ_j on a context of their class is α: this is a point of Γ",
    )
    for name, margin, factor in (("", alpha, slope), ("-squared", sp.S.One, sp.S(2))):
        cost = sp.Sum(response(margin) ** 2 + (response(margin) / root) ** 2 * (T - 1), (j, 1, count))
        d.identity(
            f"cost{name}",
            sp.Eq(cost, 2 * margin * root * whole),
            "|∇f|² on a context of their class: both halves of a neuron's squared gradient are κ_j²",
        )
        d.identity(
            f"minimum{name}",
            sp.Eq(factor * cost, 2 * margin * root * factor),
            "tr H at these points is the bound: so it is the minimum for every m ≥ 2, each class having a neuron",
            given=(f"cost{name}", "shares"),
        )


def _uniqueness(d: Derivation) -> None:
    """Add what the equality of a neuron with a > 0 forces; one with a < 0 is its mirror image under z ↦ −z."""
    d.assume("relu", sp.Ge(opposite, -u), "u = w·z where y = +1; the response at −z, where y = −1, is relu(−u) ≥ −u")
    d.assume("closed", sp.Le(output * opposite, 0), "equality: |a| r h = 0, and h = 1 at −z; so a relu(−u) = 0")
    d.inequality(
        "nonnegative",
        sp.Ge(u, 0),
        "no pre-activation is negative where y = +1; here the symmetry of balanced words is used",
        Terms(using={"relu": sp.S.One, "closed": 1 / output}),
    )
    d.assume("open", sp.Eq(u, gate * u), "as u ≥ 0 the response is u itself, and s = 1{u > 0}")
    d.assume("full", sp.Eq(gate * u, kappa * gate), "equality: s (r − κ) = 0 with κ = a√(T−1)")
    d.identity("two-values", sp.Eq(u, kappa * gate), "w·z is 0 or κ on contexts with y = +1", given=("open", "full"))
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
    d.bridge(
        "common",
        sp.Eq(u, weight * sp.Sum(x[i], (i, 1, T))),
        "as w_i = w_j for any two positions, all weights are w₀ and w·z = w₀ Σz: see the note of the claim",
    )
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
