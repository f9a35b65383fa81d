r"""Label noise is a penalty: SGD on sampled labels moves as SGD on soft labels with (η/4B) tr F added to the loss.

*As η → 0* both follow one flow on Γ, where F = H (`noise-covariance`): a step on sampled labels goes as far down tr H
as a step of descent on λ tr H with λ = η/4B, or η/(4B(1 − β)) with momentum β (`flatness-mediates`).

*At a finite rate* they differ. In a valley L = ½ Σ_i h_i(s) x_i² everything is exact: the force along s is ½ Σ_i h_i'
V_i, with V_i the variance along x_i. At rest V_i = η/(B(2 − ηh_i)), so that SGD descends not (η/4B) Σ h_i but

    −(1/2B) Σ_i ln(1 − ηh_i/2) = (η/4B) Σ_i (h_i + ηh_i²/4) + O(η³):

sharp directions are penalised 1/(1 − ηh/2) times as strongly. Against this, noise needs time to build up: over t steps
from x = 0 the mean of V is 1 − (1 − q^t)/(t(1 − q)) of what it is at rest, q = (1 − ηh)², where a penalty acts from the
first step on. The product of the two is the *share* of the penalty η/4B that label noise comes to along h, above 1 for
sharp directions and below 1 for flat ones.

That transformers, near Γ and not on it, are moved as far by the one as by the other is believed and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.language_models import flatness_mediates
from theory.claims.language_models.noise_lowers_trace import steps
from theory.claims.language_models.plateau_transformer import over_modes
from theory.claims.noise import noise_covariance, plateau
from theory.claims.noise.plateau import batch, curvature, eta, h, i, modes, stationary_variance
from theory.kernel import Derivation, Model, Terms

climbs, variances = (sp.IndexedBase(name, real=True) for name in ("g", "V"))
"""g_i = dh_i/ds, and the variance along x_i."""
move, built, mean = sp.symbols("u A M", real=True)
"""Mean step along s; Σ of the variances of t steps along one direction, and their mean."""


def derive() -> Derivation:
    """Derive what a finite rate adds to the penalty that label noise is, and what the time to build up takes away."""
    d = Derivation("noise-is-a-penalty")
    d.lemma("fisher", noise_covariance.CLAIM.derivation, because="on Γ tr F = tr H: the penalty is on the same number")
    d.lemma("weight", flatness_mediates.CLAIM.derivation, "weight", "the penalty whose step is that of label noise")
    _at_rest(d)
    _building_up(d)
    d.conjecture(
        "as-far",
        "from a minimum of the masked loss sampled labels, and soft labels with penalty λ tr F, λ = η/4B, take "
        "transformers to the same tr F, up to what `share` says of the spectrum at this rate, and to the same "
        "few-label accuracy, once both have been brought down by gradient descent: E ln[tr F(sampled)/tr F(penalised)] "
        "= 0 and E[A(sampled) − A(penalised)] = 0 to leading order in η at fixed slow time",
        "near Γ and at a finite rate neither the slow flow nor F = H is proved; measured",
    )
    return d.conclude("as-far", models())


def models() -> Iterator[Model]:
    """Valleys whose curvatures change along s, after three and seven steps."""
    slopes, curvatures = (
        [Fraction(*each) for each in row] for row in (((1, 1), (1, 3), (-1, 5)), ((2, 1), (1, 2), (1, 7)))
    )
    for size, rate, count in ((1, Fraction(1, 2), 3), (2, Fraction(2, 3), 7)):
        rest = [rate / (size * (2 - rate * one)) for one in curvatures]
        grown = sum(rest[0] * (1 - (1 - rate * curvatures[0]) ** (2 * t)) for t in range(count))
        model = Model(
            f"a valley of three curvatures, batches of {size}, {count} steps",
            {
                batch: size, eta: rate, modes: 3, curvature: curvatures, h: curvatures[0], steps: count,
                climbs: slopes, variances: rest, move: _moved(rate, slopes, rest), i: range(1, 4), built: grown,
                mean: grown / count,
            },
        )  # fmt: skip
        yield model
    isotropic = [one / curved for one, curved in zip(rest, curvatures, strict=True)]
    yield model.control(
        "at-rest", "finite-rate", {variances: isotropic, move: _moved(rate, slopes, isotropic)}, "isotropic noise"
    )
    yield model.control("valley", "finite-rate", {move: 2 * _moved(rate, slopes, rest)}, "a loss that bends along x")
    yield model.control("stable", "stronger", {eta: 10}, "beyond the edge")


def _moved(rate: Fraction, slopes: list[Fraction], variance: list[Fraction]) -> Fraction:
    return -rate * sum((g * v for g, v in zip(slopes, variance, strict=True)), start=Fraction(0)) / 2


def _at_rest(d: Derivation) -> None:
    hi = curvature[i]
    d.lemma("variance", plateau.CLAIM.derivation, "fixed-point", "η/(B(2 − ηh)) is stationary, at any rate")
    d.assume("at-rest", sp.Eq(variances[i], stationary_variance(hi)), "every direction across Γ has come to rest")
    d.assume(
        "valley",
        sp.Eq(move, -eta * over_modes(climbs[i] * variances[i]) / 2),
        "the mean step along s of descent on ½ Σ_i h_i(s) x_i²",
    )
    d.identity(
        "finite-rate",
        sp.Eq(move, -(eta**2) / (4 * batch) * over_modes(climbs[i] / (1 - eta * hi / 2))),
        "the slope of every curvature has the weight 1/(1 − ηh/2), which is 1 under the penalty",
        given=("valley", "at-rest"),
    )
    potential = -sp.log(1 - eta * h / 2) / (2 * batch)
    d.identity(
        "potential",
        sp.Eq(sp.Derivative(potential, h), eta / (4 * batch) / (1 - eta * h / 2)),
        "so that at rate η SGD descends −(1/2B) Σ_i ln(1 − ηh_i/2)",
    )
    d.series(
        "in-the-rate",
        potential,
        eta,
        3,
        eta / (4 * batch) * (h + eta * h**2 / 4),
        "over all directions (η/4B)(tr H + (η/4) tr H²)",
    )
    d.assume("stable", 2 - eta * h > 0, "below the edge of stability, ηh < 2")
    d.inequality(
        "stronger",
        sp.Ge(1 / (1 - eta * h / 2), 1),
        "noise at rest is the stronger of the two",
        Terms((eta * h / (2 - eta * h),)),
        given=("stable",),
    )


def _building_up(d: Derivation) -> None:
    rest, left, off = stationary_variance(h), (1 - eta * h) ** (2 * steps), eta * h * (2 - eta * h)
    d.induction(
        "built",
        sp.Eq(built, rest * (steps - (1 - left) / off)),
        "sum over t steps of the variance S (1 − (1 − ηh)^{2t}), `rising` of noise-lowers-trace: a geometric sum",
        initial={steps: sp.S.Zero, built: sp.S.Zero},
        update={steps: steps + 1, built: built + rest * (1 - left)},
    )
    d.define("mean", sp.Eq(mean, built / steps), "mean of the variance over the t steps")
    d.identity(
        "share",
        sp.Eq(mean / (eta / (2 * batch)), (1 - (1 - left) / (steps * off)) / (1 - eta * h / 2)),
        "over η/2B, the variance whose force is that of the penalty: less for want of time, more by the rate",
        given=("mean", "built"),
    )


CLAIM = Claim(
    id="noise-is-a-penalty",
    place=10,
    title="Sampled labels move a transformer as a penalty of η/4B on tr F does",
    statement=r"\mathbb E\ln\frac{\operatorname{tr}F(\text{sampled labels})}"
    r"{\operatorname{tr}F(\text{soft labels and }\tfrac{\eta}{4B}\operatorname{tr}F)}=0\ "
    r"\text{to leading order in }\eta\ \text{(conjecture for transformers; on }\Gamma\text{ both follow one flow, and "
    r"along }h\text{, in }t\text{ steps, noise is the share }"
    r"\bigl(1-\tfrac{1-(1-\eta h)^{2t}}{t\eta h(2-\eta h)}\bigr)/(1-\eta h/2)\text{ of the penalty)}",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer trained to a minimum of the masked loss on it",
        "two ways on by SGD from there: labels sampled from p*; p* itself and a penalty (η/4B) tr F",
        "both brought down by the same descent on soft labels, nearly gradient flow, and compared at its end",
    ),
    uses=("noise-covariance", "plateau", "flatness-mediates"),
    source="ours; a consequence of paper Theorem 4.3 (second-hand), tried on transformers",
    derive=derive,
    formulas={
        "": closed_form(
            "share",
            "share of the penalty η/4B on tr F that label noise comes to along an eigendirection, in t steps from Γ",
            plateau.ETA,
            Parameter("h", h, "eigenvalue of F, below 2/η", minimum=0, strict=True),
            Parameter("t", steps, "steps from Γ", minimum=1, step=1),
        )
    },
)
