r"""The flattest minimum of the pair language: every dimension, every width, even or odd.

On Γ = {Σ_j a_j (w_j·z)² = α z₁z₂ on {±1}^d}, α > 0, with m ≥ 2 neurons,

    tr H ≥ 6 σ'(α) d^{2/3} (α/2)^{4/3} (⌈m/2⌉^{−1/3} + ⌊m/2⌋^{−1/3}),

and only neurons along ±(e₁ + e₂) and ±(e₁ − e₂), alike within each class, attain it.

Proof by duality. Write x = ‖w‖² and g = 2w₁w₂, so that a neuron's coefficients in f are a·x (of 1) and a·g (of z₁z₂).
*One neuron* costs at least x² + g² + 4da²x, and for every price κ > 0 that is at least the linear functional

    x² + g² + 4 d a² x ≥ 2κ a (3x + g) − 2κ⁴/d²,   equality iff g = x = κ²/d, a = κ/d:

x + 2κ²/d times the gap is a sum of nonnegative terms. *One class*, the k neurons with a ≥ 0 or the l neurons with
a < 0, at the price (d²h/k)^{1/3} or (d²h/l)^{1/3}, h = α/2: sum over its neurons. *Both classes*: Γ fixes Σ a x = 0
and Σ a g = α, whatever the split the total is at least 6 d^{2/3} h^{4/3} (k^{−1/3} + l^{−1/3}). *Counting*: that is
least when k and l differ by at most one, because x ↦ x^{−1/3} lies above its secant through neighbouring integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import even_split, pair_class, pair_language
from theory.claims.minima._pair_networks import Network, on_gamma
from theory.claims.minima.even_split import k, l, odd, r, third
from theory.claims.minima.pair_class import MINUS, PLUS, h, of_class
from theory.claims.minima.pair_language import alpha, d
from theory.kernel import Derivation, Model, Terms, logistic_slope

m = sp.Symbol("m", integer=True, positive=True)
trace = pair_language.trace
z1, z2 = sp.symbols("z_1 z_2", real=True)
PRICE = 6 * logistic_slope(alpha) * d ** (2 * third) * h ** (4 * third)


def derive() -> Derivation:
    """Derive the bound, that it is attained, and where."""
    derivation = Derivation("flattest-pairs")
    moments = pair_language.derive()
    for step in ("curvature", "even-slope", "target-mean", "target-pair"):
        derivation.lemma(step, moments, step)
    for side in (PLUS, MINUS):
        for name in (f"class {side.label}", f"cap {side.label}"):
            derivation.lemma(name, pair_class.derive(side), name)
    derivation.lemma("even-split", even_split.derive())
    _both_classes(derivation)
    _conclusion(derivation)
    _attained(derivation)
    return derivation.conclude("flattest", models())


def models() -> Iterator[Model]:
    """Random points of Γ, and flattest networks, whose weights are simple numbers at α = 8 and d = 2."""
    alpha = Fraction(3, 2)
    net = on_gamma(alpha, (1, 2, -3), (Fraction(1, 2), (1, -1, 2)))
    model = Model("4 neurons, d = 3", _of_network(alpha, net))
    yield model
    yield Model("3 neurons, d = 2", _of_network(alpha, on_gamma(alpha, (2, -2), (Fraction(-1, 3), (2, 1)))))
    flattest = Network([1, 1, -1, -1], [[1, 1], [1, 1], [1, -1], [1, -1]])
    yield Model("the flattest 2 + 2 neurons, d = 2", _of_network(8, flattest))
    root = sp.cbrt(2)
    yield Model(
        "the flattest 2 + 1 neurons, d = 2", _of_network(8, Network([1, 1, -root], [[1, 1], [1, 1], [root, -root]]))
    )
    unbalanced = Network([1, -3], [[1, 1], [1, -1]])
    yield model.control("gamma-mean", "both-needed", _of_network(8, unbalanced))
    yield model.control("gamma-pair", "both-needed", _of_network(16, flattest))
    yield model.control("all-neurons", "flattest", {**_of_network(8, flattest), m: 2})


def _of_network(target: Any, net: Network) -> dict[Any, Any]:
    width = len(net.heads)
    return {
        **of_network(target, net), r: width // 2, odd: width % 2, z1: [1, -1], z2: [1, -1],
        **pair_language.along_a_weight(target, net, net.cube[1]),
    }  # fmt: skip


def of_weights(target: Any, heads: Sequence[Any], weights: Sequence[Sequence[Any]]) -> dict[Any, Any]:
    """What they stand for in the network Σ_j a_j (w_j·z)²."""
    return of_network(target, Network(heads, weights))


def of_network(target: Any, net: Network) -> dict[Any, Any]:
    """What the symbols of the theorem stand for in a network whose labels are 1 with probability σ(α z₁z₂)."""
    both = list(zip(net.heads, net.weights, strict=True))
    plus, minus = ([(side.sign * a, w) for a, w in both if side.sign * a > 0] for side in (PLUS, MINUS))
    return {
        alpha: target, m: len(both), trace: net.trace(target),
        **of_class(PLUS, *zip(*plus, strict=True)), **of_class(MINUS, *zip(*minus, strict=True)),
    }  # fmt: skip


def _both_classes(derivation: Derivation) -> None:
    """Put the classes together on Γ."""
    for side in (PLUS, MINUS):
        derivation.instance(
            f"priced {side.label}",
            f"class {side.label}",
            {side.price: side.best_price},
            "the price at which the bound is met by neurons that share h = α/2 evenly",
        )
    derivation.assume(
        "gamma-mean",
        sp.Eq(MINUS.mean, PLUS.mean),
        "θ ∈ Γ: f = f_plus − f_minus has the mean of its target, 0 (target-mean)",
    )
    derivation.assume(
        "gamma-pair",
        sp.Eq(MINUS.pair, PLUS.pair - alpha),
        "θ ∈ Γ: f has the z₁z₂-coefficient of its target, α (target-pair)",
    )
    kp, km = PLUS.best_price, MINUS.best_price
    gamma = ("gamma-mean", "gamma-pair")
    shares = sp.symbols("V_plus V_minus", real=True)
    derivation.inequality(
        "both-needed",
        sp.Ge(2 * PLUS.mean, alpha),
        "either class has a mean ≥ α/2 > 0, so neither is empty",
        Terms(using={"cap plus": sp.S.One, "cap minus": sp.S.One}),
        given=gamma,
    )
    least = sp.Symbol("C_star", real=True)
    derivation.define("least", sp.Eq(least, 6 * h * (kp + km)), "the least cost at this split")
    bounds = (2 * kp * (3 * PLUS.mean + PLUS.pair - h), 2 * km * (3 * PLUS.mean - PLUS.pair + h))
    for side, share, bound, used in zip((PLUS, MINUS), shares, bounds, ((), gamma), strict=True):
        label = side.label
        derivation.define(
            f"share {label}", sp.Eq(share, bound), "what the class pays, in coefficients of the plus class"
        )
        derivation.inequality(
            f"pays {label}",
            sp.Ge(side.cost, share),
            "on Γ the coefficients of one class give those of the other",
            Terms(using={f"priced {label}": sp.S.One}),
            given=(*used, f"share {label}"),
        )
    derivation.inequality(
        "duality",
        sp.Ge(sum(shares), least),
        "prices times constraints, plus caps: what Γ asks of the classes costs this, however they share it",
        Terms(using={"cap plus": 2 * (kp + 2 * km), "cap minus": 2 * (2 * kp + km)}),
        given=(*gamma, "share plus", "share minus", "least"),
    )
    derivation.inequality(
        "classes",
        sp.Ge(PLUS.cost + MINUS.cost, least),
        "both classes",
        Terms(using={"pays plus": sp.S.One, "pays minus": sp.S.One, "duality": sp.S.One}),
    )
    derivation.define(
        "trace",
        sp.Eq(trace, logistic_slope(alpha) * (PLUS.cost + MINUS.cost)),
        "tr H on Γ (curvature, even-slope), neurons sorted by the sign of a_j; those with w_j = 0 add nothing",
    )
    derivation.inequality(
        "split",
        sp.Ge(trace, PRICE * (k**-third + l**-third)),
        "with k neurons in one class and l in the other",
        Terms(using={"classes": logistic_slope(alpha)}),
        given=("trace", "least"),
    )


def _conclusion(derivation: Derivation) -> None:
    """State the bound in the width m."""
    derivation.inequality(
        "bound",
        sp.Ge(trace, PRICE * ((2 - odd) * r**-third + odd * (r + 1) ** -third)),
        "m = 2r + e neurons",
        Terms(using={"split": sp.S.One, "even-split": PRICE}),
    )
    half = sp.floor(m / 2)
    derivation.assume("all-neurons", sp.Ge(m - k - l, 0), "there are m neurons, dead ones included")
    derivation.inequality(
        "two-neurons",
        sp.Ge(m, 2),
        "one at least of each sign: ⌊m/2⌋ ≥ 1",
        Terms((k - 1, l - 1), using={"all-neurons": sp.S.One}),
    )
    derivation.instance(
        "flattest",
        "bound",
        {r: half, odd: m - 2 * half},
        "r = ⌊m/2⌋ and e = m − 2⌊m/2⌋: the last factor is ⌈m/2⌉^{−1/3} + ⌊m/2⌋^{−1/3}",
        ("two-neurons", "all-neurons"),
    )
    for name, width in (("even-width", 2 * r), ("odd-width", 2 * r + 1)):
        low, high = (rounding(width / 2, evaluate=False) for rounding in (sp.floor, sp.ceiling))
        derivation.identity(
            name,
            sp.Eq(
                (2 - width + 2 * low) * low**-third + (width - 2 * low) * (low + 1) ** -third,
                high**-third + low**-third,
            ),
            f"the last factor in words, at m = {width}",
        )


def _attained(derivation: Derivation) -> None:
    """Exhibit the flattest network and its cost."""
    sizes, heads = sp.symbols("s_plus s_minus", positive=True), sp.symbols("c_plus c_minus", positive=True)
    facts = []
    for side, size, head in zip((PLUS, MINUS), sizes, heads, strict=True):
        for name, symbol, value in (
            ("size", size, side.best_price / sp.sqrt(2 * d)),
            ("head", head, side.best_price / d),
        ):
            facts.append(f"{name} {side.label}")
            derivation.define(facts[-1], sp.Eq(symbol, value), "from the case of equality: ‖w‖² = κ²/d and |a| = κ/d")
    derivation.identity(
        "attained-function",
        sp.Eq(
            k * heads[0] * (sizes[0] * z1 + sizes[0] * z2) ** 2 - l * heads[1] * (sizes[1] * z1 - sizes[1] * z2) ** 2,
            alpha * z1 * z2,
        ),
        "k neurons s₊(e₁ + e₂) with head c₊ and l neurons s₋(e₁ − e₂) with head −c₋: a point of Γ",
        given=facts,
    )

    def cost(size: sp.Expr, head: sp.Expr) -> sp.Expr:
        return 3 * (2 * size**2) ** 2 - 2 * (2 * size**4) + 4 * d * head**2 * 2 * size**2

    total = k * cost(sizes[0], heads[0]) + l * cost(sizes[1], heads[1])
    derivation.identity(
        "attained-trace",
        sp.Eq(logistic_slope(alpha) * total, PRICE * (k**-third + l**-third)),
        "its trace is the bound of `split`; with k = ⌈m/2⌉ and l = ⌊m/2⌋ it is that of `flattest`",
        given=facts,
    )


CLAIM = Claim(
    id="flattest-pairs",
    place=1,
    title="The flattest minimum of the pair language uses two features, evenly, at every width",
    statement=r"\min_\Gamma \operatorname{tr} H = 6\,\sigma'(\alpha)\,d^{2/3}(\alpha/2)^{4/3}"
    r"\left(\lceil m/2\rceil^{-1/3}+\lfloor m/2\rfloor^{-1/3}\right),\ "
    r"\text{attained only along}\ \pm(e_1+e_2),\ \pm(e_1-e_2)",
    hypotheses=(
        "contexts uniform on {±1}^d, d ≥ 2; Pr(y = 1 | z) = σ(α z₁z₂), α > 0 (for α < 0 reflect one coordinate)",
        "model σ(Σ_j a_j (w_j·z)²) with m ≥ 2 neurons, no bias; θ ∈ Γ",
        "uniqueness up to signs of w_j, order of neurons and, for odd m, which class has one more",
    ),
    uses=(),
    source="ours; the pair-language counterpart of paper Theorem 6.1 (second-hand)",
    derive=derive,
    formulas={
        "": closed_form(
            "flattest",
            "least tr H on Γ",
            Parameter("d", d, "number of coordinates", minimum=2, step=1),
            Parameter("m", m, "number of neurons", minimum=2, step=1),
            Parameter("alpha", alpha, "logit of the target", minimum=0, strict=True),
        )
    },
)
