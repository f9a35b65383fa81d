r"""The product model p = σ(uv): SGD solved in closed form.

One context, two tokens, Pr(y = 1) = σ(α), model σ(uv). The minimisers are the hyperbola Γ = {uv = α}, on which
tr H = σ'(α)(u² + v²) is least where u² = v². With g the batch mean of p − y, a step of SGD with rate η is
u ← u − η g v, v ← v − η g u, and the imbalance Δ = u² − v² obeys, exactly and at any rate,

    Δ_{k+1} = Δ_k (1 − η² g_k²).

On Γ the residual has mean 0 and variance σ'(α)/B, so that in the slow time τ = k η²/B the mean imbalance decays as
Δ(τ) = Δ(0) e^{−σ'(α) τ}, which is also what the slow flow −¼ P_T ∇ tr H gives.
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, logistic, logistic_slope

alpha = sp.Symbol("alpha", real=True)
tau = sp.Symbol("tau", nonnegative=True)
eta, batch = sp.symbols("eta B", positive=True)
u, v, g, u_next, v_next = sp.symbols("u v g u_1 v_1", real=True)
imbalance = sp.Symbol("Delta", real=True)


def derive() -> Derivation:
    """Derive the exact recursion of the imbalance, its mean on Γ, its limit η → 0, and the slow flow's law."""
    d = Derivation("product-model")
    f = u * v
    d.define("step-u", sp.Eq(u_next, u - eta * g * v), "SGD step: ∂ℓ/∂u = (p − y) v, averaged over the batch")
    d.define("step-v", sp.Eq(v_next, v - eta * g * u), "SGD step: ∂ℓ/∂v = (p − y) u")
    d.identity(
        "recursion",
        sp.Eq(u_next**2 - v_next**2, (u**2 - v**2) * (1 - eta**2 * g**2)),
        "the cross terms 2ηguv cancel: exact at every rate, on and off Γ",
        given=("step-u", "step-v"),
    )
    p = logistic(alpha)
    d.identity(
        "residual-mean",
        sp.Eq(p * (p - 1) + (1 - p) * p, 0, evaluate=False),
        "on Γ the label is 1 with probability p = σ(α): the residual p − y has mean 0",
    )
    d.identity(
        "residual-variance",
        sp.Eq((p * (p - 1) ** 2 + (1 - p) * p**2) / batch, logistic_slope(alpha) / batch),
        "its variance is σ(1 − σ) = σ', divided by B for a mean of B independent residuals",
    )
    d.cite(
        "katzenberger",
        "as η → 0 the iterates stay within o(1) of Γ on every bounded interval of slow time",
        "G. S. Katzenberger, Ann. Probab. 19 (1991), Theorem 6.3; for SGD: arXiv 2110.06914, Theorem 4.6",
    )
    mean_factor = 1 - eta**2 * logistic_slope(alpha) / batch
    d.limit(
        "decay",
        mean_factor ** (tau * batch / eta**2),
        eta,
        sp.S.Zero,
        sp.exp(-logistic_slope(alpha) * tau),
        "k = τB/η² steps, each multiplying the mean imbalance by 1 − η²σ'(α)/B: recursion, with the variance of a "
        "residual on Γ (katzenberger, residual-variance)",
    )
    slope = sp.Symbol("s", positive=True)
    trace = slope * (u**2 + v**2)
    normal = sp.Matrix([sp.diff(f, u), sp.diff(f, v)])
    gradient = sp.Matrix([sp.diff(trace, u), sp.diff(trace, v)])
    tangential = gradient - normal * (normal.dot(gradient) / normal.dot(normal))
    flow = -tangential / 4
    d.define("imbalance", sp.Eq(imbalance, u**2 - v**2), "the imbalance Δ")
    d.identity(
        "flow",
        sp.Eq(2 * u * flow[0] - 2 * v * flow[1], -slope * imbalance),
        "dΔ/dτ along −¼ P_T ∇ tr H, with tr H = s(u² + v²) and normal ∇(uv) = (v, u)",
        given=("imbalance",),
    )
    start = sp.Symbol("Delta_0", real=True)
    d.ode(
        "flow-solution",
        tau,
        "dΔ/dτ = −sΔ: the slow flow and the limit of the recursion agree",
        system={imbalance: -logistic_slope(alpha) * imbalance},
        solution={imbalance: start * sp.exp(-logistic_slope(alpha) * tau)},
        initial={imbalance: start},
    )
    return d.conclude("decay")


CLAIM = Claim(
    id="product-model",
    place=4,
    title="SGD on the product model balances its factors exponentially fast",
    statement=r"\Delta_{k+1} = \Delta_k(1-\eta^2 g_k^2)\ \text{exactly};\quad \eta\to0:\ "
    r"\frac{\Delta(\tau)}{\Delta(0)} = e^{-\sigma'(\alpha)\tau},\ \tau = k\eta^2/B",
    hypotheses=(
        "one context, two tokens, target σ(α) with α finite",
        "start on Γ: uv = α, u² ≠ v²",
        "SGD with labels sampled from the target, batch B, rate η → 0",
    ),
    uses=(),
    source="ours; an instance of paper Theorem 4.3 (second-hand) that can be solved",
    derive=derive,
    formulas={
        "": closed_form(
            "decay",
            "imbalance ratio Δ(τ)/Δ(0)",
            Parameter("alpha", alpha, "logit of the target"),
            Parameter("tau", tau, "slow time kη²/B", minimum=0),
        )
    },
)
