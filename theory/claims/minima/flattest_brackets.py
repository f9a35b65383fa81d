r"""The flattest minimum of the bracket language: min tr H = 2α√(T−1) σ'(α), and only along ±(1, …, 1).

Contexts are balanced words of even length T ≥ 4 with one token masked, the token y = −Σz kept with probability σ(α);
the net has m ≥ 2 relu neurons without bias and is trained with the cross-entropy, so f = αy on Γ. There

    tr H = σ'(α) E Σ_j [ relu(w_j·z)² + a_j² (T − 1) 1{w_j·z > 0} ] ≥ 2α√(T−1) σ'(α),

attained exactly when w_j = −a_j√(T−1)·(1, …, 1) for every neuron that is ever active, all others having w_j = 0.
With the squared loss (f − y)², where f = y, the minimum is 4√(T−1).

Uniqueness. In the case of equality a neuron with a > 0 is closed where y = −1, and where y = +1 its pre-activation is
0 or κ = a√(T−1), as z ↦ −z exchanges the classes. Moving the mask from i to 1 changes w·z by w_i − w_1, swapping two
unequal unmasked tokens by 2(w_i − w_1); both are differences of two numbers in {0, κ}, so w_i = w_1. Swaps need T ≥ 4.
The lemma `bracket_angle` says how fast tr H grows away from the axis, `bracket_counterexamples` what happens at T = 2,
on nested words and with biases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import bracket_angle, bracket_language, pair_language
from theory.claims.minima._bracket_networks import Context, Network, contexts, mirrored, on_gamma
from theory.claims.minima.bracket_counterexamples import biases, nested_words, shortest_words
from theory.claims.minima.bracket_language import D, T, alpha, gradient_bound, i, j, over_contexts, squared_gradient
from theory.kernel import Derivation, Model, Terms, logistic_slope

root = sp.sqrt(T - 1)
slope = logistic_slope(alpha)
kappa, output = sp.symbols("kappa a", positive=True)
count = sp.Symbol("m_1", integer=True, positive=True)
shares = sp.IndexedBase("g", positive=True)
"""Parts of the margin that the neurons of one class have."""
word, place = sp.symbols("v l", integer=True, positive=True)
words, w = sp.IndexedBase("X", real=True), sp.IndexedBase("w_+", real=True)
"""X_{v,i,l}: for each position i all contexts v with y = +1; the first two are a swap of positions i and 1, the next
two a move of the mask. And the weights of a neuron with a > 0."""
opposite, gate = sp.IndexedBase("r_-", real=True), sp.IndexedBase("s_+", nonnegative=True)
"""The response of the neuron at −X_{v,i}, and whether it is open at X_{v,i}."""


def over_places(term: sp.Expr) -> sp.Sum:
    """Return Σ_{l=1}^T term."""
    return sp.Sum(term, (place, 1, T))


def before(context: sp.Expr) -> sp.Sum:
    """Return w·X_{v,i} for context v of position i."""
    return over_places(w[place] * words[context, i, place])


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
    model = Model(
        "3 flattest neurons, T = 4", {bracket_angle.tangent: 0, **_of_network(margin, flattest), word: range(1, 6)}
    )
    yield model
    yield Model("4 neurons, T = 4", {bracket_angle.tangent: Fraction(1, 3), **_of_network(Fraction(3, 2), random)})
    low, high, head = Fraction(-1, 2), Fraction(-3, 2), sp.sqrt(23) / 6
    tilted = mirrored((low, high) * 2, (high, low) * 2, head)
    at_angle = {bracket_angle.tangent: Fraction(1, 2), **_of_network(2 * head, tilted)}
    yield Model("4 mirrored neurons, T = 4, the flattest at their angle", at_angle)
    yield model.control("length", "room", {T: 2})
    yield model.control("shares", "minimum", {shares: [Fraction(1, 5), Fraction(2, 5)]})
    yield model.control("relu", "nonnegative", {w: [1] * 4, opposite: 0})
    yield model.control("closed", "nonnegative", {w: [1] * 4, opposite: 1})
    yield model.control("open", "two-values", {gate: 0})
    yield model.control("full", "two-values", {w: [Fraction(-1, 2)] * 4})
    first, second, third, *others = model.values[words]
    uneven = {w: [-1, -2, -3, -5]}
    yield model.control("balance-plus", "attained-response", {words: second[0]})
    yield model.control("swap", "doubled", {words: [second, first, third, *others], **uneven})
    yield model.control("move", "moved", {words: [first, second, first, *others], **uneven})


def _of_network(margin: Any, net: Network) -> dict[Any, Any]:
    rows = [(z, token) for z, token in contexts(4, nested=False) if token == 1]
    listed = _exchanges([z for z, _ in rows])
    return {
        alpha: margin, **bracket_language.of_network(net, rows), **bracket_angle.of_network(net, rows),
        count: 2, shares: [Fraction(1, 5), Fraction(4, 5)], place: range(1, 5),
        words: listed, word: 3,
        kappa: net.heads[0] * sp.sqrt(3), output: net.heads[0], w: net.weights[0],
        gate: [[net.gates(z)[0] for z in row] for row in listed],
        opposite: [[net.responses(tuple(-token for token in z))[0] for z in row] for row in listed],
    }  # fmt: skip


def _exchanges(rows: Sequence[Context]) -> list[Sequence[Context]]:
    """X_{v,i} for every position i: a swap with position 1, a move, and one more context; found among these."""
    columns = []
    for at in range(len(rows[0])):

        def image(z: Context, at: int = at) -> Context:
            return tuple(z[0] if k == at else z[at] if k == 0 else token for k, token in enumerate(z))

        found = [next(z for z in rows if image(z) in rows and z[at] - z[0] == (apart if at else 0)) for apart in (2, 1)]
        columns.append([*(z for first in found for z in (first, image(first))), rows[0]])
    return bracket_language.transposed(columns)


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
    total = over_places(words[word, i, place])
    d.assume("balance-plus", sp.Eq(total, -1), "contexts with y = +1; those with y = −1 are −z")
    d.define("equal-weights", sp.Eq(flat, -kappa), "a neuron with w = −κ(1, …, 1), a = κ/√(T−1)")
    d.identity(
        "attained-response",
        sp.Eq(flat * total, kappa),
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
    u, s = before(word), gate[word, i]
    d.assume("relu", sp.Ge(opposite[word, i], -u), "u = w·z where y = +1; the response at −z is relu(−u) ≥ −u")
    d.assume(
        "closed", sp.Le(output * opposite[word, i], 0), "equality: |a| r h = 0, and h = 1 at −z; so a relu(−u) = 0"
    )
    d.inequality(
        "nonnegative",
        sp.Ge(u, 0),
        "no pre-activation is negative where y = +1; here the symmetry of balanced words is used",
        Terms(using={"relu": sp.S.One, "closed": 1 / output}),
    )
    d.assume("open", sp.Eq(s * u, u), "as u ≥ 0 the response is u itself, and s = 1{u > 0}")
    d.assume("full", sp.Eq(kappa * s, s * u), "equality: s (r − κ) = 0 with κ = a√(T−1)")
    d.identity("two-values", sp.Eq(u, kappa * s), "w·z is 0 or κ on contexts with y = +1", given=("full", "open"))
    d.identity("times-gate", sp.Eq(u**2, kappa * s * u), "u = κs, times u", given=("two-values",))
    d.identity("square", sp.Eq(u**2, kappa * u), "w·z is 0 or κ, without the gate", given=("times-gate", "open"))
    d.inequality(
        "room",
        sp.Ge(T / 2 - 2, 0),
        "besides i and 1 a context of the swap has the mask, T/2 − 2 opening and T/2 − 1 closing brackets: T ≥ 4",
        Terms(using={"length": sp.Rational(1, 2)}),
    )
    _equal_weights(d)
    d.identity("pre-activation", sp.Eq(w[1], -u), "Σz = −1 where y = +1", given=("common", "balance-plus"))
    d.identity(
        "unique",
        sp.Eq(w[1], -kappa * s),
        "w = −κ(1, …, 1) for a neuron that is ever open (s = 1), w = 0 for one that never is (s = 0)",
        given=("pre-activation", "two-values"),
    )


def _equal_weights(d: Derivation) -> None:
    """Add that a swap and a move leave no other choice than w_i = w_1, for every position i."""
    among = sp.Sum(sp.KroneckerDelta(i, j), (j, 1, T))
    apart = (w[i] - w[1]) * among
    d.assume(
        "move",
        sp.Eq(
            words[3, i, place],
            words[4, i, place] + sp.KroneckerDelta(i, place) - sp.KroneckerDelta(1, place) * among,
        ),
        "words 3 and 4: the mask at i and a closing bracket at 1, and the two exchanged; Σ_j δ_ij = 1 for i = 1, …, T",
        for_every=(i, place),
    )
    d.assume(
        "swap",
        sp.Eq(words[1, i, place], words[2, i, place] + 2 * (words[3, i, place] - words[4, i, place])),
        "words 1 and 2: the unequal tokens 1 at i and −1 at 1, and the two exchanged: twice the difference of a move",
    )
    d.identity("moved", sp.Eq(apart, before(3) - before(4)), "a move changes w·z by w_i − w_1", given=("move",))

    def cubic(u: sp.Expr, v: sp.Expr) -> sp.Expr:
        """(u − v)³ − κ²(u − v): 0 if each is 0 or κ."""
        return (u**2 - kappa * u) * (u + kappa - 3 * v) + (v**2 - kappa * v) * (3 * u - v - kappa)

    d.identity(
        "doubled",
        sp.Eq(before(3), before(4) + (cubic(before(1), before(2)) - 8 * cubic(before(3), before(4))) / (6 * kappa**2)),
        "differences e of the move and 2e of the swap: 6κ²e = ((2e)³ − κ²·2e) − 8 (e³ − κ²e)",
        given=("swap",),
    )
    squares = tuple(f"square-{number}" for number in range(1, 5))
    for number, name in enumerate(squares, 1):
        d.instance(name, "square", {word: number}, f"word {number}")
    d.identity(
        "equal",
        sp.Eq(before(3), before(4)),
        "both cubic terms are 0, a difference of two numbers in {0, κ} being 0 or ±κ: so e = 0",
        given=("doubled", *squares),
    )
    d.identity("equal-weights-at", sp.Eq(apart, 0), "w_i = w_1 at every position i", given=("moved", "equal"))
    d.instance("equal-at-each", "equal-weights-at", {i: place}, "at each position")
    whole = over_places(words[word, i, place])
    d.identity(
        "one-by-one",
        sp.Eq(before(word), w[1] * whole + over_places(words[word, i, place] * apart.subs(i, place))),
        "w·z against w_1 Σz, position by position",
    )
    d.identity(
        "common",
        sp.Eq(before(word), w[1] * whole),
        "all weights are w_1, so w·z = w_1 Σz",
        given=("one-by-one", "equal-at-each"),
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
