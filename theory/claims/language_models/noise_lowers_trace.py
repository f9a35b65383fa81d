r"""Sampled labels lower the trace where soft labels leave it alone.

Two runs of SGD on one network: labels y ~ p* in one, p* itself as a soft label in the other.

On Γ soft labels have no noise at all (`still`): the gradient at a context is Σ_y p_y ∂ℓ_y = 0. Near Γ they have little:
its square is at most the share χ²(p*‖p) of the curvature F_x that sampled labels have as noise (`soft-share`),

    (Σ_y (p*_y − p_y) a_y)² ≤ χ²(p*‖p) F_x,   χ² = Σ_y (p*_y − p_y)²/p_y ≈ 2 KL(p*‖p),

a_y the derivative of log p_y, by Cauchy–Schwarz. So as η → 0 the soft run stands still at tr H(0), and in the other
`slow-flow` gives d tr H/dτ = −¼ ‖P_T ∇ tr H‖². With G the mean of ‖P_T ∇ tr H‖² over [0, τ], the ratio of the traces is
1 − τG/(4 tr H(0)) ≤ 1, and at most 9/10 once τG ≥ (2/5) tr H(0).

Meanwhile the loss of the noisy run rises to its plateau: along an eigendirection of curvature h, t steps from Γ,

    ½ h S_t = (η/2B) h/(2 − ηh) (1 − (1 − ηh)^{2t}),

which is why the traces are compared at matched excess. That transformers at a finite rate, near Γ and not on it, lose a
tenth is believed and measured, not proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import hyperbola, noise_covariance, plateau, slow_flow
from theory.claims.noise.plateau import batch, eta, h, stationary_variance
from theory.kernel import Derivation, Model, Terms

y, tokens = sp.symbols("y c", integer=True, positive=True)
model = sp.IndexedBase("p", positive=True)
truth, score = (sp.IndexedBase(name, real=True) for name in ("P", "a"))
"""p*_y and the derivative a_y of log p_y along any one direction."""
chi_square = sp.Symbol("chi2", positive=True)
soft_gradient, ratio = sp.symbols("g rho", real=True)
tau, start = sp.symbols("tau trH_0", positive=True)
now = sp.Symbol("trH_tau", real=True)
slope = sp.Symbol("G", nonnegative=True)
"""Mean of ‖P_T ∇ tr H‖² over [0, τ]."""
steps = sp.Symbol("t", integer=True, nonnegative=True)
variance = sp.Symbol("S", real=True)


def over_tokens(expr: sp.Expr) -> sp.Expr:
    """Σ_y expr."""
    return sp.Sum(expr, (y, 1, tokens))


def derive() -> Derivation:
    """Derive the noise of soft labels, the fall of the trace and the rise to the plateau; state what is believed."""
    d = Derivation("noise-lowers-trace")
    _soft_labels(d)
    _sampled_labels(d)
    _plateau(d)
    d.conjecture(
        "a-tenth",
        "trained on from a minimum at a small fixed rate, transformers lose a tenth of tr F or more with sampled "
        "labels against the same run on soft labels, at matched excess: E ln[tr F(sampled)/tr F(soft)] ≤ ln 0.9",
        "near Γ and at finite η neither the slow flow nor the size of G is proved; measured",
    )
    return d.conclude("a-tenth", models())


def models() -> Iterator[Model]:
    """The hyperbola uv = 3/2 along the slow flow; beside it a context of three tokens, off Γ, moved along one score."""
    three, (first, second) = [sp.Rational(1, n) for n in (2, 3, 6)], (sp.Rational(4), sp.Rational(1, 3))
    scores = [1, -1, 3]
    along = sum(p * x for p, x in zip(three, scores, strict=True))
    tokens_off = {
        tokens: 3, model: three, truth: [sp.Rational(1, 4), sp.Rational(1, 4), sp.Rational(1, 2)],
        score: [x - along for x in scores], eta: sp.Rational(1, 2), batch: 2, h: sp.Rational(2, 3), steps: 3,
    }  # fmt: skip
    late = Model("slow flow on uv = 3/2 from u² − v² = 5, late", {**tokens_off, **_on_the_flow(first)})
    yield late
    early = _on_the_flow(second)
    yield late.control("integrated", "fallen", {now: _on_the_flow(4 * first)[now]}, "momentum ½, four times as fast")
    yield late.control("long-enough", "tenth-after", early, "early")


def _on_the_flow(time: sp.Rational) -> dict[Any, Any]:
    target, imbalance = sp.Rational(3, 2), sp.Rational(5)
    return {
        tau: time, start: hyperbola.trace(target, imbalance), slope: hyperbola.mean_square(target, imbalance, time),
        now: hyperbola.trace(target, hyperbola.moved(target, imbalance, time)),
    }  # fmt: skip


def _soft_labels(d: Derivation) -> None:
    d.lemma(
        "still",
        noise_covariance.CLAIM.derivation,
        "centred",
        "on Γ the gradient with p* as label is Σ_y p_y ∂ℓ_y = −Σ_y ∂p_y = 0 at every context: no noise, no motion",
    )
    off = (truth[y] - model[y]) / model[y]
    d.define(
        "chi-square", sp.Eq(chi_square, over_tokens(model[y] * off**2)), "χ²(p*‖p) at a context off Γ, so positive"
    )
    d.define(
        "soft-gradient",
        sp.Eq(soft_gradient, over_tokens(model[y] * off * score[y])),
        "Σ_y (p*_y − p_y) a_y: less the gradient with p* as label, since Σ_y p_y a_y = Σ_y ∂p_y = 0",
    )
    d.inequality(
        "soft-share",
        sp.Le(soft_gradient**2, chi_square * over_tokens(model[y] * score[y] ** 2)),
        "Cauchy–Schwarz with weights p_y: the squared soft gradient against χ² times the Fisher information "
        "F_x, along any direction and at any context; sum over directions for the trace",
        Terms((chi_square * over_tokens(model[y] * (score[y] - off * soft_gradient / chi_square) ** 2),)),
        given=("chi-square", "soft-gradient"),
    )


def _sampled_labels(d: Derivation) -> None:
    d.lemma("slow-flow", slow_flow.CLAIM.derivation, because="on Γ, as η → 0: dθ/dτ = −¼ P_T ∇ tr H")
    d.lemma("descent", slow_flow.CLAIM.derivation, "descent", "d tr H/dτ = −¼ ‖P_T ∇ tr H‖²")
    d.assume(
        "integrated", sp.Eq(now, start - tau * slope / 4), "descent integrated over [0, τ], G the mean squared slope"
    )
    d.define("ratio", sp.Eq(ratio, now / start), "noisy run over soft run: the latter still has tr H(0), by `still`")
    d.identity(
        "fallen",
        sp.Eq(ratio, 1 - tau * slope / (4 * start)),
        "how far the trace has fallen in slow time τ",
        given=("ratio", "integrated"),
    )
    d.inequality("at-most-one", sp.Le(ratio, 1), "a mean of squares", Terms((tau * slope / (4 * start),)), ("fallen",))
    d.assume("long-enough", tau * slope - 2 * start / 5 >= 0, "the run lasts until τG ≥ (2/5) tr H(0)")
    d.inequality(
        "tenth-after",
        sp.Le(ratio, sp.Rational(9, 10)),
        "the slow time τ = kη²/B after which a tenth is gone, at the mean slope of the way",
        Terms(((tau * slope - 2 * start / 5) / (4 * start),)),
        given=("fallen", "long-enough"),
    )


def _plateau(d: Derivation) -> None:
    d.lemma("one-step", plateau.CLAIM.derivation, "variance-recursion", "S ← (1 − ηh)² S + η² h/B")
    d.induction(
        "rising",
        sp.Eq(variance, stationary_variance(h) * (1 - (1 - eta * h) ** (2 * steps))),
        "variance along an eigendirection t steps after a start on Γ",
        initial={steps: sp.S.Zero, variance: sp.S.Zero},
        update={steps: steps + 1, variance: (1 - eta * h) ** 2 * variance + eta**2 * h / batch},
    )
    d.identity(
        "risen",
        sp.Eq(h * variance / 2, eta * h / (2 * batch * (2 - eta * h)) * (1 - (1 - eta * h) ** (2 * steps))),
        "excess of one eigendirection after t steps; (η/2B) h/(2 − ηh) in the end",
        given=("rising",),
    )


CLAIM = Claim(
    id="noise-lowers-trace",
    place=2,
    title="Sampled labels lower tr F, soft labels leave it alone",
    statement=r"\mathbb E\ln\frac{\operatorname{tr}F(\text{sampled labels})}{\operatorname{tr}F(\text{soft labels})}"
    r"\le\ln 0.9\ \text{at matched excess (conjecture; the ratio is}\ "
    r"1-\tfrac{\tau}{4}\overline{\lVert P_T\nabla\operatorname{tr}H\rVert^2}/\operatorname{tr}H(0)\ "
    r"\text{on }\Gamma\text{ as }\eta\to0)",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer trained to a minimum of the masked loss on it",
        "two runs of SGD from there, on the same examples: labels sampled from p*, and p* itself",
        "both brought to the same E KL(p* ‖ p_θ) by a short training on soft labels",
    ),
    uses=("noise-covariance", "plateau", "slow-flow"),
    source="ours; a consequence of paper Theorem 4.3 (second-hand), tried on transformers",
    derive=derive,
    formulas={
        "": closed_form(
            "risen",
            "excess loss of one eigendirection after t steps with sampled labels",
            plateau.ETA,
            plateau.BATCH,
            Parameter("h", h, "eigenvalue of H, below 2/η", minimum=0, strict=True),
            Parameter("t", steps, "steps since a start on Γ", minimum=0, step=1),
        )
    },
)
