r"""Label noise is a penalty: SGD on sampled labels moves as SGD on soft labels with (η/4B) tr F added to the loss.

*Leading order.* From a point of Γ the noisy run drifts by −(η²/4B) ∂_v tr H a step along a tangent v (`slow-flow`). Soft
labels stand still there, so that with a penalty λ tr F they move by −ηλ ∂_v tr F, and F = H on Γ (`noise-covariance`):

    difference of the two = −η (λ − η/4B) ∂_v tr H,   nothing iff λ = η/4B.

*At a finite rate* the two differ. In a valley L = ½ Σ_i h_i(s) x_i² everything is exact: the force along s is ½ Σ_i h_i'
S_i with S_i the variance along x_i. At rest S_i = η/(B(2 − ηh_i)), so that SGD descends not (η/4B) Σ h_i but

    −(1/2B) Σ_i ln(1 − ηh_i/2) = (η/4B) Σ_i (h_i + ηh_i²/4) + O(η³):

sharp directions are penalised 1/(1 − ηh/2) times as strongly. Against this, the noise needs time to build up: over k
steps from x = 0 the mean of S is a share 1 − (1 − q^k)/(k(1 − q)) of that at rest, q = (1 − ηh)², where a penalty acts
from the first step on. The product of the two is the *share* of the penalty η/4B that label noise comes to along h. It
is above 1 for sharp directions and below 1 for flat ones.

That transformers, near Γ and not on it, are moved as far by the one as by the other is believed and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.language_models.noise_lowers_trace import steps
from theory.claims.language_models.plateau_transformer import over_modes
from theory.claims.noise import noise_covariance, plateau, slow_flow
from theory.claims.noise.plateau import batch, curvature, eta, h, i, modes, stationary_variance
from theory.kernel import Derivation, Model, Terms

weight = sp.Symbol("lambda", positive=True)
climbs, variances = (sp.IndexedBase(name, real=True) for name in ("g", "V"))
"""g_i = ∂_v h_i, and the variance along x_i."""
trace_slope, drift, push, force, built = sp.symbols("G d u f A", real=True)
"""∂_v tr H; the steps along v of noise, of the penalty, and of noise in a valley; Σ of the variances of k steps."""
mean = sp.Symbol("M", real=True)


def derive() -> Derivation:
    """Derive the weight of the penalty, and at a finite rate what it lacks and what it is ahead by."""
    d = Derivation("noise-is-a-penalty")
    _leading_order(d)
    _at_rest(d)
    _building_up(d)
    d.conjecture(
        "as-far",
        "from a minimum of the masked loss, at a small fixed rate, sampled labels and soft labels with penalty λ tr F, "
        "λ = η/4B, take transformers to the same tr F and to the same few-label accuracy, once both have been brought "
        "down by gradient descent: E ln[tr F(sampled)/tr F(penalised)] = 0 and E[A(sampled) − A(penalised)] = 0, as "
        "η → 0 at fixed slow time",
        "near Γ and at a finite rate neither the slow flow nor F = H is proved; measured",
    )
    return d.conclude("as-far", models())


def models() -> Iterator[Model]:
    """Valleys whose curvatures fall along s, after three and seven steps of either run."""
    for size, rate, count in ((1, Fraction(1, 2), 3), (2, Fraction(2, 3), 7)):
        slopes = [Fraction(1), Fraction(1, 3), Fraction(-1, 5)]
        curvatures = [Fraction(2), Fraction(1, 2), Fraction(1, 7)]
        total = sum(slopes)
        penalty = rate / (4 * size) * Fraction(6, 5)
        rest = [rate / (size * (2 - rate * one)) for one in curvatures]
        model = Model(
            f"a valley of three curvatures, batches of {size}, {count} steps",
            {
                batch: size, eta: rate, modes: 3, curvature: curvatures, h: curvatures[0], steps: count,
                climbs: slopes, trace_slope: total, weight: penalty, push: -rate * penalty * total,
                drift: -(rate**2) * total / (4 * size), variances: rest,
                force: -rate * sum(g * s for g, s in zip(slopes, rest, strict=True)) / 2, i: range(1, 4),
            },
        )  # fmt: skip
        yield model
    isotropic = [rate / (size * one * (2 - rate * one)) for one in curvatures]
    moved = -rate * sum(g * s for g, s in zip(slopes, isotropic, strict=True)) / 2
    yield model.control("at-rest", "finite-rate", {variances: isotropic, force: moved}, "isotropic noise")
    yield model.control("valley", "finite-rate", {force: 2 * moved}, "another force")
    yield model.control("penalised", "difference", {push: -rate * (1 + penalty * total)}, "off the minimum")
    yield model.control("noisy", "difference", {drift: 0}, "no noise")
    yield model.control("stable", "stronger", {eta: 10}, "beyond the edge")


def _leading_order(d: Derivation) -> None:
    constant = d.lemma("constant", slow_flow.CLAIM.derivation, "constant", "drift of noise over −∂_v tr H, per η²")
    d.lemma("fisher", noise_covariance.CLAIM.derivation, because="on Γ tr F = tr H: the penalty is on the same number")
    d.assume("noisy", sp.Eq(drift, -(eta**2) * constant.statement.rhs * trace_slope), "a step on sampled labels")
    d.lemma("still", noise_covariance.CLAIM.derivation, "centred", "on Γ the gradient with p* as label is 0")
    d.assume(
        "penalised", sp.Eq(push, -eta * weight * trace_slope), "a step on soft labels with penalty λ tr F, by `still`"
    )
    d.identity(
        "difference",
        sp.Eq(push - drift, -eta * (weight - eta / (4 * batch)) * trace_slope),
        "the two runs part unless λ = η/4B",
        given=("noisy", "penalised"),
    )
    d.identity(
        "weight",
        sp.Eq(-drift / (eta * trace_slope), eta / (4 * batch)),
        "the penalty whose step is that of the noise",
        given=("noisy",),
    )


def _at_rest(d: Derivation) -> None:
    hi = curvature[i]
    d.lemma("variance", plateau.CLAIM.derivation, "fixed-point", "S = η/(B(2 − ηh)) is stationary, at any rate")
    d.assume("at-rest", sp.Eq(variances[i], stationary_variance(hi)), "every direction across Γ has come to rest")
    d.assume(
        "valley",
        sp.Eq(force, -eta * over_modes(climbs[i] * variances[i]) / 2),
        "the mean step along s: the loss is ½ Σ_i h_i(s) x_i²",
    )
    d.identity(
        "finite-rate",
        sp.Eq(force, -(eta**2) / (4 * batch) * over_modes(climbs[i] / (1 - eta * hi / 2))),
        "every curvature's slope has the weight 1/(1 − ηh/2), which is 1 in the penalty",
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
        "(η/4B)(tr H + (η/4) tr H²) over all directions",
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
        "Σ_{t<k} S_t of S_t = S (1 − (1 − ηh)^{2t}), `risen` of noise-lowers-trace: a geometric sum",
        initial={steps: sp.S.Zero, built: sp.S.Zero},
        update={steps: steps + 1, built: built + rest * (1 - left)},
    )
    d.define("mean", sp.Eq(mean, built / steps), "mean of the variance over the k steps")
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
    r"{\operatorname{tr}F(\text{soft labels}+\lambda\operatorname{tr}F)}=0,\quad\lambda=\frac{\eta}{4B}\quad"
    r"\text{as }\eta\to0\ \text{(conjecture for transformers; on }\Gamma\text{ the two flows are the same)}",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer trained to a minimum of the masked loss on it",
        "two runs of SGD from there, on the same examples: labels sampled from p*; p* itself and a penalty (η/4B) tr F",
        "both brought down by gradient descent on soft labels, and compared there",
    ),
    uses=("noise-covariance", "plateau", "slow-flow"),
    source="ours; a consequence of paper Theorem 4.3 (second-hand), tried on transformers",
    derive=derive,
    formulas={
        "": closed_form("weight", "λ, the penalty on tr F that label noise is", plateau.ETA, plateau.BATCH),
        "share": closed_form(
            "share",
            "share of that penalty along an eigendirection, at a finite rate, in t steps from Γ",
            plateau.ETA,
            Parameter("h", h, "eigenvalue of F, below 2/η", minimum=0, strict=True),
            Parameter("t", steps, "steps from Γ", minimum=1, step=1),
        ),
    },
)
