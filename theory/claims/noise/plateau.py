r"""The training loss stops above the entropy floor, at a height proportional to η tr H / B.

Near θ ∈ Γ the deviation δ from Γ along an eigendirection of H with eigenvalue h > 0 obeys δ ← (1 − ηh) δ + η ξ, with
Var ξ = h/B by `noise-covariance`. Its variance has one stationary value, reached geometrically iff 0 < ηh < 2,

    S = η / (B (2 − ηh)),      excess = L − L* = (η/2B) Σ_i h_i/(2 − ηh_i) = (η/4B) tr H + O(η²).

With momentum β the deviation obeys a recursion of order two and
S = η(1 + β) / (B(1 − β)(2(1 + β) − ηh)): to leading order, η becomes η/(1 − β).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import noise_covariance
from theory.kernel import Derivation, Model, Terms

eta, h, trace = sp.symbols("eta h trace", positive=True)
batch = sp.Symbol("B", integer=True, positive=True)
modes = sp.Symbol("r", integer=True, positive=True)
i = sp.Symbol("i", integer=True, positive=True)
curvature = sp.IndexedBase("h", positive=True)
beta = sp.Symbol("beta", nonnegative=True)
second_moment = sp.Symbol("S", real=True)
delta = sp.Symbol("delta", real=True)
"""Deviation from Γ along an eigendirection."""
j, c = sp.symbols("j c", integer=True, positive=True)
prob, noise, after = sp.IndexedBase("q"), sp.IndexedBase("xi"), sp.IndexedBase("delta_1")
"""Probability and value of outcome j of the noise of a batch, and the deviation one step later."""
momentum_variance = eta * (1 + beta) / (batch * (1 - beta) * (2 * (1 + beta) - eta * h))


def stationary_variance(h: sp.Expr) -> sp.Expr:
    """S = η/(B(2 − ηh))."""
    return eta / (batch * (2 - eta * h))


def derive() -> Derivation:
    """Derive the stationary variance with and without momentum, the plateau and its expansion in η."""
    d = Derivation("plateau")
    _recursion(d)
    _stationary(d)
    _plateau(d)
    _momentum(d)
    return d.conclude("plateau", models())


def models() -> Iterator[Model]:
    """Logits of three contexts whose next token is 1 with probability p: along each h = p(1 − p), ξ is p − 1 or p."""
    p, batches = Fraction(1, 3), "logits of three contexts, batches of"
    law = [(p, p - 1), (1 - p, p)]
    model = Model(f"{batches} 1", _along_a_logit(p, law))
    pairs = [(q * r, (x + y) / 2) for (q, x), (r, y) in itertools.product(law, repeat=2)]
    yield model
    yield Model(f"{batches} 2", _along_a_logit(p, pairs, size=2))
    yield Model(f"{batches} 1, at rate 10", _along_a_logit(p, law, rate=10))
    yield model.control("noise-law", "variance-recursion", _along_a_logit(p, [*law, (Fraction(1, 2), 0)]))
    shifted = [(q, sp.sqrt(2) / 3) for q, _ in law]
    yield model.control("noise-mean", "variance-recursion", _along_a_logit(p, shifted))
    yield model.control("noise-variance", "variance-recursion", _along_a_logit(p, [(q, 2 * x) for q, x in law]))
    yield model.control("linearised", "variance-recursion", {after: [Fraction(1, 7), Fraction(1, 5)]})
    yield model.control("stable", "contraction", {eta: 10})
    yield model.control("beyond-the-edge", "edge", {})


def _along_a_logit(p: Fraction, law: Sequence[tuple[Any, Any]], size: int = 1, rate: int = 1) -> dict[Any, Any]:
    """The recursion along the logit of a token of probability p, with the noise of a batch by its law of (q, ξ)."""
    slopes = [other * (1 - other) for other in (p, Fraction(1, 2), Fraction(1, 5))]
    here = Fraction(1, 5)
    return {
        batch: size, eta: rate, modes: len(slopes), curvature: slopes, h: slopes[0], delta: here, c: len(law),
        prob: [q for q, _ in law], noise: [xi for _, xi in law],
        after: [(1 - rate * slopes[0]) * here + rate * xi for _, xi in law],
    }  # fmt: skip


def _recursion(d: Derivation) -> None:
    d.lemma("noise-is-curvature", noise_covariance.CLAIM.derivation, because="Cov(∇ℓ) = H on Γ")
    d.lemma("batch-divides", noise_covariance.CLAIM.derivation, "batch", "Cov of the batch mean is H/B")

    def over_noise(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (j, 1, c))

    d.assume("noise-law", sp.Eq(over_noise(prob[j]), 1), "the c values ξ_j of the batch noise have probabilities q_j")
    d.assume("noise-mean", sp.Eq(over_noise(prob[j] * noise[j]), 0), "E ξ = 0: ξ is a deviation from its mean")
    d.assume(
        "noise-variance",
        sp.Eq(over_noise(prob[j] * noise[j] ** 2), h / batch),
        "Var ξ = h/B along an eigendirection, by noise-is-curvature and batch-divides",
    )
    d.assume(
        "linearised",
        sp.Eq(after[j], (1 - eta * h) * delta + eta * noise[j]),
        "δ ← (1 − ηh) δ + η ξ: near Γ the mean gradient along the eigendirection is hδ",
    )
    d.identity(
        "one-step",
        sp.Eq(
            over_noise(prob[j] * after[j] ** 2),
            (1 - eta * h) ** 2 * delta**2 * over_noise(prob[j])
            + 2 * eta * (1 - eta * h) * delta * over_noise(prob[j] * noise[j])
            + eta**2 * over_noise(prob[j] * noise[j] ** 2),
        ),
        "E over the fresh noise of the squared deviation after a step",
        given=("linearised",),
    )
    d.identity(
        "variance-recursion",
        sp.Eq(over_noise(prob[j] * after[j] ** 2), (1 - eta * h) ** 2 * delta**2 + eta**2 * h / batch),
        "the cross term has mean 0: S ← (1 − ηh)² S + η² h/B",
        given=("one-step", "noise-law", "noise-mean", "noise-variance"),
    )


def _stationary(d: Derivation) -> None:
    fixed = stationary_variance(h)
    d.identity(
        "fixed-point",
        sp.Eq((1 - eta * h) ** 2 * fixed + eta**2 * h / batch, fixed),
        "S = η/(B(2 − ηh)) is stationary, at any rate",
    )
    power, start = sp.symbols("P S_0", real=True)
    d.induction(
        "geometric",
        sp.Eq(second_moment, fixed + power * (start - fixed)),
        "after k steps S is off by P = (1 − ηh)^{2k} of what it was off at the start: the fixed point is unique",
        initial={second_moment: start, power: sp.S.One},
        update={
            second_moment: (1 - eta * h) ** 2 * second_moment + eta**2 * h / batch,
            power: (1 - eta * h) ** 2 * power,
        },
    )
    stable = d.assume("stable", 2 - eta * h > 0, "below the edge of stability, ηh < 2")
    d.inequality(
        "contraction",
        sp.Lt((1 - eta * h) ** 2, 1),
        "1 − (1 − ηh)² = ηh (2 − ηh)",
        Terms((eta * h * (2 - eta * h),)),
        given=(stable.name,),
    )
    beyond = d.assume("beyond-the-edge", eta * h - 2 >= 0, "the opposite case, for the step `edge` alone")
    d.inequality(
        "edge",
        sp.Ge((1 - eta * h) ** 2, 1),
        "(1 − ηh)² − 1 = ηh (ηh − 2): from ηh = 2 on nothing contracts",
        Terms((eta * h * (eta * h - 2),)),
        given=(beyond.name,),
    )
    steps, rate = sp.symbols("K lambda", positive=True)
    d.limit(
        "forgetting",
        sp.exp(-rate * steps),
        steps,
        sp.oo,
        sp.S.Zero,
        "(1 − ηh)^{2K} = e^{−λK} with λ = −2 log|1 − ηh| > 0 by contraction: every start is forgotten",
    )


def _plateau(d: Derivation) -> None:
    def over_modes(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (i, 1, modes))

    hi = curvature[i]
    excess = over_modes(hi * stationary_variance(hi)) / 2
    d.identity(
        "excess",
        sp.Eq(excess, eta / (2 * batch) * over_modes(hi / (2 - eta * hi))),
        "to second order in δ the excess loss is ½ Σ_i h_i δ_i²",
    )
    d.series("series", excess, eta, 2, eta / (4 * batch) * over_modes(hi), "leading order in η")
    stationary = sp.Symbol("S_h", positive=True)
    d.define("stationary", sp.Eq(stationary, stationary_variance(h)), "the fixed point, along one eigendirection")
    d.identity(
        "one-mode",
        sp.Eq(h * stationary / 2, eta * h / (2 * batch * (2 - eta * h))),
        "excess of a single eigendirection, at any stable rate",
        given=("stationary",),
    )
    rest = eta**2 * h**2 / (4 * batch * (2 - eta * h))
    d.identity(
        "one-mode-split",
        sp.Eq(h * stationary / 2, eta * h / (4 * batch) + rest),
        "leading term and remainder of one eigendirection, exactly",
        given=("stationary",),
    )
    d.define("trace", sp.Eq(trace, over_modes(hi)), "tr H is the sum of the r eigenvalues that are not 0")
    d.identity(
        "plateau",
        sp.Eq(
            excess - eta**2 / (4 * batch) * over_modes(hi**2 / (2 - eta * hi)),
            eta * trace / (4 * batch),
        ),
        "the excess is (η/4B) tr H, and beyond it exactly (η²/4B) Σ_i h_i²/(2 − ηh_i) = O(η²)",
        given=("trace",),
    )
    d.inequality(
        "remainder",
        sp.Ge(eta * h / (2 * batch * (2 - eta * h)), eta * h / (4 * batch)),
        "the plateau lies above its leading term: the remainder of one mode is nonnegative",
        Terms((rest,)),
        given=("stable",),
    )


def _momentum(d: Derivation) -> None:
    a = 1 + beta - eta * h
    now, lagged = momentum_variance, a * momentum_variance / (1 + beta)
    velocity, gradient = sp.symbols("m g", real=True)
    before = delta + eta * velocity
    d.identity(
        "heavy-ball",
        sp.Eq(delta - eta * (beta * velocity + gradient), (1 + beta) * delta - beta * before - eta * gradient),
        "velocity m ← βm + g, δ ← δ − ηm: with the deviation δ + ηm of one step ago, a recursion of order two",
    )
    d.identity(
        "heavy-ball-lag",
        sp.Eq(lagged, a * now - beta * lagged),
        "stationary E δ_k δ_{k−1}: multiply the recursion by δ_{k−1}",
    )
    d.identity(
        "heavy-ball-variance",
        sp.Eq((a**2 + beta**2) * now - 2 * a * beta * lagged + eta**2 * h / batch, now),
        "stationary E δ²: square the recursion; exact at any stable rate",
    )
    d.limit(
        "heavy-ball-limit",
        now / eta,
        eta,
        sp.S.Zero,
        1 / (2 * batch * (1 - beta)),
        "to leading order S = (η/(1 − β))/(2B), the same in every direction",
    )
    d.identity(
        "plateau-momentum",
        sp.Eq(
            sp.Sum(curvature[i] * eta / (2 * batch * (1 - beta)), (i, 1, modes)) / 2,
            eta * trace / (4 * batch * (1 - beta)),
        ),
        "½ Σ h_i S_i to leading order: the plateau of the effective rate η/(1 − β)",
        given=("trace",),
    )


ETA = Parameter("eta", eta, "learning rate η", minimum=0, strict=True)
BATCH = Parameter("B", batch, "batch size", minimum=1, step=1)
TRACE = Parameter("trace", trace, "tr H at the point of Γ, nats per squared parameter", minimum=0, strict=True)


CLAIM = Claim(
    id="plateau",
    place=2,
    title="The training loss plateaus above the entropy floor by η tr H / 4B",
    statement=r"L-L^*=\frac{\eta}{2B}\sum_i\frac{h_i}{2-\eta h_i}=\frac{\eta}{4B}\operatorname{tr}H+O(\eta^2),"
    r"\quad \eta h_i<2",
    hypotheses=(
        "SGD linearised at a point of Γ; fresh samples with labels from the true conditional",
        "every eigenvalue of H below 2/η",
        "excess loss to second order in the deviation from Γ",
    ),
    uses=("noise-covariance",),
    source="ours; the stationary variance of linearised SGD is classical",
    derive=derive,
    formulas={
        "": closed_form("plateau", "excess loss L − L*, to leading order in η", ETA, BATCH, TRACE),
        "mode": closed_form(
            "one-mode",
            "excess loss of one eigendirection",
            ETA,
            BATCH,
            Parameter("h", h, "eigenvalue of H, below 2/η", minimum=0, strict=True),
        ),
        "momentum": closed_form(
            "plateau-momentum",
            "excess loss with momentum, to leading order in η",
            ETA,
            BATCH,
            Parameter("beta", beta, "momentum", minimum=0, below=1),
            TRACE,
        ),
    },
)
