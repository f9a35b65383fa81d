r"""Is it flatness that makes features transfer? Two interventions, and what the theory says that each of them does.

*A penalty is a temperature.* On Γ descent on L + λ tr H moves along −λ P_T ∇ tr H, in the direction of the slow flow,
and as fast as SGD with sampled labels if (momentum β multiplies one by 1/(1 − β), the other by 1/(1 − β)²)

    λ = η / (4B(1 − β)),

so that λ tr H is the height of the plateau. A penalty ±λ tr F thus does what the noise would do, or undoes it.

*Isotropic noise of the same norm does not do it.* Noise of variance V in every direction has the stationary variance
ηV/(h(2 − ηh)) along an eigendirection h, and in place of −(1/4B) ∂_v tr H the drift along a tangent v is

    −(V/4) Σ_i (∂_v h_i)/h_i = −(V/4) ∂_v log pdet H   (and diffusion along Γ).

With the norm of label noise, V = tr H/(BD) in D dimensions, and with r equal curvatures this is the drift of sampled
labels times r/D, the share of the noise that lies across Γ. Where r ≪ D, what sampled labels recover beyond isotropic
noise is what the fall of the trace is worth. That it is worth something to a head is believed, and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import frame, plateau, slow_flow
from theory.claims.noise.frame import across, dimension, i, normal, over_normal, slope
from theory.claims.noise.plateau import batch, beta, eta, h
from theory.kernel import Derivation, Model

curvature = frame.h
noise, total, penalty = sp.symbols("V trH lambda", positive=True)
"""Variance of isotropic noise along each coordinate; tr H; weight of the penalty."""
isotropic, sampled, step = sp.symbols("drift_iso drift step")
"""Drift along v in steps times η², of isotropic noise and of sampled labels; a step of the latter, over −∂_v tr H."""


def derive() -> Derivation:
    """Derive the penalty that equals the noise, and the drift of isotropic noise; state what is believed."""
    d = Derivation("flatness-mediates")
    d.lemma("slow-flow", slow_flow.CLAIM.derivation, because="sampled labels: −¼ P_T ∇ tr H in slow time")
    _penalty(d)
    _isotropic(d)
    d.conjecture(
        "mediates",
        "at matched excess few-label accuracy is higher by 0.02 or more in the mean after training on with +λ tr F "
        "than with −λ tr F, and from the adversarial network it recovers by 0.02 or more beyond under sampled labels "
        "than under isotropic noise of the same norm: E[A(flat) − A(sharp)] ≥ 0.02, E[A(sampled) − A(isotropic)] ≥ "
        "0.02",
        "what the interventions do to the trace is derived as η → 0 on Γ; what the trace does to transfer is not; "
        "measured",
    )
    return d.conclude("mediates", models())


def models() -> Iterator[Model]:
    """The loss ½h(1 + z)(x² + y²): Γ is the z axis, where both curvatures are h(1 + z)."""
    height, at, zero = Fraction(2, 9), frame.s, sp.S.Zero
    across_x = [height * at, zero, height * at**2 / 2]
    along_gamma = [[height * (1 + at) * int(j == k < 2) for k in range(3)] for j in range(3)]
    model = Model(
        "½h(1 + z)(x² + y²)",
        {
            dimension: 3, normal: 2, frame.tangential: 1, batch: 2, eta: Fraction(1, 3), beta: Fraction(1, 2),
            h: height, curvature: [height, height], total: 2 * height, noise: 2 * height / 6,
            frame.e: [[1, 0, 0], [0, 1, 0]], frame.v: [0, 0, 1], at: [0], plateau.trace: 2 * height,
            frame.gradient.func: [
                [sp.Lambda(at, entry) for entry in row]
                for row in (across_x, [across_x[1], across_x[0], across_x[2]])
            ],
            frame.hessian.func: [[sp.Lambda(at, entry) for entry in row] for row in along_gamma],
            frame.field.func: [[sp.Lambda(at, entry) for entry in (0, 0, 1)]],
        },
    )  # fmt: skip
    yield model
    yield model.control("norm", "share", {noise: height})
    yield model.control("equal", "share", {curvature: [height / 2, 3 * height / 2]})


def _penalty(d: Derivation) -> None:
    rate = d.lemma(
        "noise-moves",
        slow_flow.CLAIM.derivation,
        "effective-rate",
        "sampled labels: this multiple of −P_T ∇ tr H in steps times η²",
    ).statement.rhs
    height = d.lemma("plateau", plateau.CLAIM.derivation, "plateau-momentum", "height of the plateau").statement.rhs
    d.define("step", sp.Eq(step, eta**2 * rate), "one step of SGD with sampled labels")
    d.identity(
        "weight",
        sp.Eq(step / (eta / (1 - beta)), eta / (4 * batch * (1 - beta))),
        "λ at which a step of descent on λ tr H, which momentum accumulates to ηλ/(1 − β), moves as far",
        given=("step",),
    )
    d.define("penalty", sp.Eq(penalty, eta / (4 * batch * (1 - beta))), "that weight")
    d.identity(
        "height",
        sp.Eq(penalty * plateau.trace, height),
        "λ tr H is the plateau: noise charges for the trace what the trace costs in loss",
        given=("penalty",),
    )


def _isotropic(d: Derivation) -> None:
    fixed = eta * noise / (h * (2 - eta * h))
    d.identity(
        "stationary",
        sp.Eq((1 - eta * h) ** 2 * fixed + eta**2 * noise, fixed),
        "S ← (1 − ηh)² S + η² V: isotropic noise of variance V piles up where the curvature is small",
    )
    d.limit("variance", fixed / eta, eta, sp.S.Zero, noise / (2 * h), "S/η as η → 0, against 1/(2B) for sampled labels")
    d.lemma(
        "trace-slope",
        slow_flow.CLAIM.derivation,
        "trace-derivative",
        "Σ_i N_i = ∂_v tr H, where N_i = D³L[e_i, e_i, v] = ∂_v h_i",
    )
    d.define(
        "isotropic",
        sp.Eq(isotropic, -over_normal(noise / (2 * curvature[i]) * across(i)) / 2),
        "tangent force −½ Σ_i (S_i/η) D³L[e_i, e_i, v] with `variance` in every direction: −(V/4) ∂_v log pdet H",
    )
    d.define("sampled", sp.Eq(sampled, -over_normal(across(i)) / (4 * batch)), "the same with 1/(2B) for V/2h_i")
    d.identity(
        "sampled-drift", sp.Eq(sampled, -slope / (4 * batch)), "the slow flow again", given=("sampled", "trace-slope")
    )
    d.assume("norm", sp.Eq(noise, total / (batch * dimension)), "the norm of label noise: V D = tr H/B")
    d.assume(
        "equal", sp.Eq(curvature[i], total / normal), "all r curvatures equal; where they differ, small ones weigh more"
    )
    d.identity(
        "share",
        sp.Eq(isotropic / sampled, normal / dimension),
        "isotropic noise of the same norm drifts down the trace too, but r/D times as fast: the share of it across Γ",
        given=("isotropic", "sampled", "norm", "equal"),
    )


CLAIM = Claim(
    id="flatness-mediates",
    place=9,
    title="Making a network flatter at the same excess loss makes it transfer better",
    statement=r"\mathbb E[A(\text{flat})-A(\text{sharp})]\ge0.02,\ "
    r"\mathbb E[A(\text{sampled})-A(\text{isotropic})]\ge0.02\ \text{at matched excess (conjecture); "
    r"on }\Gamma\text{, as }\eta\to0\text{: label noise moves as the penalty }\tfrac{\eta}{4B}\operatorname{tr}H,"
    r"\text{ isotropic noise of its norm }r/D\text{ times as far down the trace}",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer trained to a minimum of the masked loss on it",
        "flat, sharp: trained on with λ tr F and with −λ tr F; sampled, isotropic: from the adversarial network, SGD "
        "with labels from p*, and with p* as label and isotropic noise of the same norm",
        "A: expected accuracy of a ridge head on the final states of the unmasked sentence, few labelled sentences",
        "conditions compared at the same E KL(p* ‖ p_θ)",
    ),
    uses=("plateau", "slow-flow"),
    source="paper §5 taken causally (second-hand); penalty and isotropic drift are ours, after arXiv 2110.06914",
    derive=derive,
    formulas={
        "": closed_form(
            "weight",
            "λ for which descent on L + λ tr H moves along Γ as SGD with sampled labels does",
            plateau.ETA,
            plateau.BATCH,
            Parameter("beta", beta, "momentum", minimum=0, below=1),
        ),
        "share": closed_form(
            "share",
            "drift down the trace under isotropic noise of the same norm over that under sampled labels, equal "
            "curvatures",
            Parameter("r", normal, "rank of H on Γ", minimum=1, step=1),
            Parameter("D", dimension, "number of parameters", minimum=1, step=1),
        ),
    },
)
