r"""SGD with sampled labels reaches a flattest minimum of the pair language, as far as the signs of its heads allow.

What is proved: as η → 0 the motion along Γ is the slow flow (`slow-flow`, given its citations); along it tr H never
rises, and the mean of ‖P_T ∇ tr H‖² over [0, τ] is at most 4 (tr H(0) − M)/τ, M the least tr H on Γ, so the flow
comes as near as one likes to critical points of tr H on Γ; M has a closed form (`flattest-pairs`). The least tr H
with k positive and l negative heads is M(k, l), attained with every head away from 0. A point near such a network has
the same signs, so each split, and not the even one alone, is a local minimum of tr H, at the height

    M(k, l) / M = (k^{−1/3} + l^{−1/3}) / (⌈m/2⌉^{−1/3} + ⌊m/2⌋^{−1/3}) ≥ 1.

So the flow does not reach the global minimum from almost every start: an uneven split stops it a little above, such
as 2.7% for (2, 4) in place of (3, 3). What is believed and measured, and not proved: that from random minimisers it
ends at one of these splits on the two features, mostly within 10% of the least, and that SGD at a fixed small η over
long times does the same. That makes the claim a conjecture.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import flattest_pairs
from theory.claims.minima.even_split import k, l
from theory.claims.minima.pair_language import alpha
from theory.claims.minima.pair_language import d as dimension
from theory.claims.noise import hyperbola, slow_flow
from theory.kernel import Derivation, Model, Terms

tau = sp.Symbol("tau", positive=True)
start, now, least = sp.symbols("trH_0 trH_tau M", positive=True)
average = sp.Symbol("G", nonnegative=True)
"""Mean of ‖P_T ∇ tr H‖² over [0, τ]."""


def derive() -> Derivation:
    """Collect what is proved, and state the conjecture."""
    d = Derivation("sgd-reaches-flattest")
    d.lemma("slow-flow", slow_flow.CLAIM.derivation, because="on Γ, as η → 0: dθ/dτ = −¼ P_T ∇ tr H")
    d.lemma("descent", slow_flow.CLAIM.derivation, "descent", "d tr H/dτ = −¼ ‖P_T ∇ tr H‖²")
    d.lemma("never-rises", slow_flow.CLAIM.derivation, "never-rises", "the flow descends")
    d.lemma("least-trace", flattest_pairs.CLAIM.derivation, because="the least tr H on Γ, and where it is attained")

    d.assume(
        "integrated",
        sp.Eq(average, 4 * (start - now) / tau),
        "G, the mean of ‖P_T ∇ tr H‖² over [0, τ]: descent integrated",
    )
    d.assume("stays-on-gamma", now - least >= 0, "the flow stays on Γ, where tr H ≥ M by least-trace")
    d.inequality(
        "becomes-critical",
        sp.Le(average, 4 * (start - least) / tau),
        "the mean squared slope of tr H is O(1/τ): the flow comes arbitrarily near to critical points",
        Terms(using={"stays-on-gamma": 4 / tau}),
        given=("integrated",),
    )
    d.lemma(
        "every-split",
        flattest_pairs.CLAIM.derivation,
        "split",
        "the least tr H with k positive and l negative heads; attained with no head at 0, so a local minimum on Γ",
    )
    d.lemma(
        "split-attained",
        flattest_pairs.CLAIM.derivation,
        "attained-trace",
        "two features, every head κ/d or −κ/d and so away from 0: nearby points of Γ have the same k and l",
    )
    d.conjecture(
        "global",
        "from random minimisers the slow flow of the pair language converges to a network of two features with k "
        "positive and l negative heads, tr H being the least for that split, and SGD at a small fixed rate follows it; "
        "the global minimum is reached when the split is even",
        "neither the absence of other attracting critical points nor the limit τ → ∞ at fixed η is proved; measured",
    )
    return d.conclude("global", models())


def models() -> Iterator[Model]:
    """The hyperbola uv = α from two starts; the flattest point is u² = v², at tr H = 2ασ'."""
    target, time = sp.Rational(3, 2), sp.Rational(8)
    for imbalance in (sp.Rational(3), sp.Rational(1, 2)):
        end = hyperbola.moved(target, imbalance, time)
        model = Model(
            f"slow flow on uv = 3/2 from u² − v² = {imbalance}",
            {
                tau: time, start: hyperbola.trace(target, imbalance), now: hyperbola.trace(target, end),
                least: hyperbola.trace(target, sp.S.Zero), average: hyperbola.mean_square(target, imbalance, time),
            },
        )  # fmt: skip
        yield model
    at_start = hyperbola.slope(target, imbalance) ** 2
    yield model.control("integrated", "becomes-critical", {average: at_start, tau: 80}, "the slope at the start")
    below = hyperbola.trace(target, sp.S.Zero) / 2
    off = {now: below, average: 4 * (hyperbola.trace(target, imbalance) - below) / time}
    yield model.control("stays-on-gamma", "becomes-critical", off, "a trace below the least on Γ")


CLAIM = Claim(
    id="sgd-reaches-flattest",
    place=3,
    title="SGD with sampled labels comes to the flattest minimum that its split of signs allows",
    statement=r"\lim_{\tau\to\infty}\lim_{\eta\to0}\operatorname{tr}H(\theta_{\tau B/\eta^2})"
    r"=M(k,l)=6\,\sigma'(\alpha)\,d^{2/3}(\alpha/2)^{4/3}(k^{-1/3}+l^{-1/3})\ge\min_\Gamma\operatorname{tr}H"
    r"\ \text{(conjecture; descent and } M(k,l)\text{ proved)}",
    hypotheses=(
        "those of slow-flow and flattest-pairs",
        "a generic start on Γ, such as a retracted Gaussian point",
    ),
    uses=("slow-flow", "flattest-pairs"),
    source="ours; numeric consequence of paper Theorems 4.3 and 6.1 (second-hand)",
    derive=derive,
    formulas={
        "": lambda _: flattest_pairs.CLAIM.formula(),
        "split": closed_form(
            "every-split",
            "least tr H on Γ with these signs, a local minimum",
            Parameter("d", dimension, "number of coordinates", minimum=2, step=1),
            Parameter("plus", k, "neurons with a positive head", minimum=1, step=1),
            Parameter("minus", l, "neurons with a negative head", minimum=1, step=1),
            Parameter("alpha", alpha, "logit of the target", minimum=0, strict=True),
        ),
    },
)
