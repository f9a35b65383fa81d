r"""The excess loss that sampled labels add to a transformer, at any time and over the whole spectrum of F.

On Γ the Fisher matrix F is the Hessian, and every eigendirection rises by itself (`noise-lowers-trace`). After t steps

    excess = Σ_i (η/2B) h_i/(2 − ηh_i) (1 − (1 − ηh_i)^{2t}).

In the end each direction has its plateau, together (η/4B) tr F + O(η²); before any has settled it is η² t tr F²/(2B),
which the largest eigenvalues rule. Both bound the law from above. At a given time s = ηt one direction is

    (η/4B) h (1 − e^{−2hs}) + (η²/4B) h² (½ (1 − e^{−2hs}) + hs e^{−2hs}) + O(η³),

so that the law's own correction is positive, and of relative order ηh.

A transformer has no quadratic loss, its noise depends on where it is, and at the end of training it is near Γ and not
on it. Third and fourth derivatives of the loss and the change of the noise act on a deviation of variance η/(2B), so at
relative order η; the law is believed to hold to leading order in η, and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.language_models import noise_lowers_trace
from theory.claims.language_models.noise_lowers_trace import steps, variance
from theory.claims.noise import plateau
from theory.claims.noise.plateau import batch, curvature, eta, h, i, modes, stationary_variance
from theory.kernel import Derivation, Model, Terms

time = sp.Symbol("s", positive=True)
"""s = ηt."""
variances = sp.IndexedBase("S", real=True)
"""S_i, the variance along eigendirection i after t steps."""


def law(h: sp.Expr) -> sp.Expr:
    """(η/2B) h/(2 − ηh) (1 − (1 − ηh)^{2t})."""
    return eta * h / (2 * batch * (2 - eta * h)) * (1 - (1 - eta * h) ** (2 * steps))


def over_modes(expr: sp.Expr) -> sp.Expr:
    """Σ_i expr, over the eigenvalues that are not 0."""
    return sp.Sum(expr, (i, 1, modes))


def derive() -> Derivation:
    """Derive the law over the spectrum, its bounds, both ends and the correction in η; state what is believed."""
    d = Derivation("plateau-transformer")
    _spectrum(d)
    _bounds(d)
    _ends(d)
    _correction(d)
    d.conjecture(
        "to-leading-order",
        "for a transformer at a minimum of the masked loss, the excess loss that t steps of SGD with sampled labels "
        "add, divided by Σ_i (η/2B) h_i/(2 − ηh_i)(1 − (1 − ηh_i)^{2t}) over the eigenvalues of F at the start, tends "
        "to 1 as η → 0 at fixed ηt",
        "the loss is not quadratic, the noise moves with θ, and the start is near Γ, not on it; measured",
    )
    return d.conclude("to-leading-order", models())


def models() -> Iterator[Model]:
    """Logits of three contexts, whose curvatures are p(1 − p): after three steps, and at rest long after."""
    slopes = [p * (1 - p) for p in (Fraction(1, 3), Fraction(1, 2), Fraction(1, 5))]
    for size, rate, count in ((1, Fraction(1), 3), (2, Fraction(3, 2), 7)):
        model = Model(
            f"logits of three contexts, batches of {size}, {count} steps",
            {
                batch: size, eta: rate, modes: len(slopes), curvature: slopes, h: slopes[0], steps: count,
                time: Fraction(1, 2), i: range(1, len(slopes) + 1),
            },
        )  # fmt: skip
        yield model
    yield model.control("stable", "below-the-plateau", {eta: 10}, "beyond the edge")


def _spectrum(d: Derivation) -> None:
    d.lemma("fisher", plateau.CLAIM.derivation, "noise-is-curvature", "on Γ: Cov(∇ℓ) = H, which is F there")
    d.lemma("risen", noise_lowers_trace.CLAIM.derivation, "risen", "excess of one eigendirection, t steps from Γ")
    hi = curvature[i]
    d.induction(
        "every-direction",
        sp.Eq(variances[i], stationary_variance(hi) * (1 - (1 - eta * hi) ** (2 * steps))),
        "risen along each eigendirection",
        initial={steps: sp.S.Zero, variances[i]: sp.S.Zero},
        update={steps: steps + 1, variances[i]: (1 - eta * hi) ** 2 * variances[i] + eta**2 * hi / batch},
    )
    d.identity(
        "spectrum",
        sp.Eq(
            over_modes(hi * variances[i]) / 2,
            eta / (2 * batch) * over_modes(hi / (2 - eta * hi) * (1 - (1 - eta * hi) ** (2 * steps))),
        ),
        "to second order in the deviation the excess loss is the sum over eigendirections",
        given=("every-direction",),
    )


def _bounds(d: Derivation) -> None:
    plateau_of_one = eta * h / (2 * batch * (2 - eta * h))
    d.assume("stable", 2 - eta * h > 0, "below the edge of stability, ηh < 2")
    d.inequality(
        "below-the-plateau",
        sp.Le(law(h), plateau_of_one),
        "what is missing is (1 − ηh)^{2t} of the plateau; so over the spectrum, term by term",
        Terms((plateau_of_one * (1 - eta * h) ** (2 * steps),)),
        given=("stable",),
    )
    d.induction(
        "below-the-start",
        sp.Le(variance, steps * eta**2 * h / batch),
        "t steps add at most t times the noise of one: over the spectrum the excess is at most η² t tr F²/(2B)",
        initial={steps: sp.S.Zero, variance: sp.S.Zero},
        update={steps: steps + 1, variance: (1 - eta * h) ** 2 * variance + eta**2 * h / batch},
        certificate=Terms(
            (eta * h * (2 - eta * h) * steps * eta**2 * h / batch,), using={"previous": (1 - eta * h) ** 2}
        ),
        given=("stable",),
    )


def _ends(d: Derivation) -> None:
    rate = sp.Symbol("lambda", positive=True)
    d.limit(
        "in-the-end",
        stationary_variance(h) * h / 2 * (1 - sp.exp(-rate * steps)),
        steps,
        sp.oo,
        eta * h / (2 * batch * (2 - eta * h)),
        "(1 − ηh)^{2t} = e^{−λt}, λ = −2 log|1 − ηh| > 0 below the edge: the plateau of one eigendirection",
    )
    d.series(
        "at-first",
        law(h),
        eta,
        3,
        eta**2 * steps * h**2 / (2 * batch),
        "at a given t the bound below-the-start is the leading order",
    )


def _correction(d: Derivation) -> None:
    at_time, left = law(h).subs(steps, time / eta), sp.exp(-2 * h * time)
    leading = h * (1 - left) / (4 * batch)
    d.limit(
        "at-a-time",
        at_time / eta,
        eta,
        sp.S.Zero,
        leading,
        "t = s/η steps, (1 − ηh)^{2s/η} → e^{−2hs}: the leading order at a given ηt",
    )
    d.limit(
        "next-order",
        (at_time - eta * leading) / eta**2,
        eta,
        sp.S.Zero,
        h**2 * ((1 - left) / 2 + h * time * left) / (4 * batch),
        "the correction that the law itself has, of relative order ηh; a departure from the law is another one",
    )


CLAIM = Claim(
    id="plateau-transformer",
    place=1,
    title="Sampled labels raise a transformer's loss as the spectrum of F says, at every time",
    statement=r"L(t)-L_{\text{soft}}(t)=\frac{\eta}{2B}\sum_i\frac{h_i}{2-\eta h_i}\bigl(1-(1-\eta h_i)^{2t}\bigr)"
    r"\,(1+O(\eta)),\quad h_i\ \text{the eigenvalues of}\ F\ \text{at the start (conjecture for transformers; "
    r"proved for the linearised process on }\Gamma)",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer trained to a minimum of the masked loss on it",
        "t steps of SGD at rate η on fresh batches of B from there: labels sampled from p*, or p* itself",
        "excess loss, E KL(p* ‖ p_θ), of the first run minus that of the second; ηt fixed as η → 0",
    ),
    uses=("plateau", "noise-lowers-trace"),
    source="ours; the linearised law is classical, that it holds on transformers is tried here",
    derive=derive,
    formulas={
        "": closed_form(
            "risen",
            "excess loss along one eigendirection; the sum over the spectrum of F is what sampled labels add",
            plateau.ETA,
            plateau.BATCH,
            Parameter("h", h, "eigenvalue of F at the start, below 2/η", minimum=0, strict=True),
            Parameter("t", steps, "steps since the start", minimum=0, step=1),
        )
    },
)
