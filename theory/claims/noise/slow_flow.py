r"""As η → 0, SGD on the manifold of minimisers follows dθ/dτ = −¼ P_T ∇ tr H(θ).

Φ maps a point to the limit of gradient flow from it, so Φ is constant along gradient flow: ∂Φ(θ)[∇L(θ)] = 0 near Γ.
Katzenberger's theorem (cited) says that Φ(θ_k), with k = τB/η² steps, converges to the diffusion with drift
½ ∂²Φ[Σ] and martingale part ∂Φ Σ^{1/2} dW, Σ the noise covariance; the constant is derived here:

1. Along an eigendirection e_i of H, H e_i = h_i e_i, differentiate ∂Φ[∇L] = 0 once: ∂Φ e_i = 0, so with Σ = H/B
   (`noise-covariance`) the martingale part vanishes; twice: ∂²Φ[e_i, e_i] = −∂Φ D³L[e_i, e_i]/2h_i.
2. ½ ∂²Φ[H/B] = ½ Σ_i (h_i/B) ∂²Φ[e_i, e_i] = −(1/4B) ∂Φ Σ_i D³L[e_i, e_i]: the h_i cancel, which is why the noise
   covariance H leads to a gradient at all.
3. For v tangent, v·∂Φ = v, as both have the same components along the e_i and the tangents. Σ_i D³L[e_i, e_i, v] =
   ∂_v tr H, because H P_T = 0 along Γ makes P_T (∂_v H) P_T = 0.
4. Momentum β: a constant force accumulates to 1/(1 − β) of itself and the variance across Γ (`plateau`) is that of the
   rate η/(1 − β), so η becomes η/(1 − β) in the slow time τ = kη²/(B(1 − β)²).

Along the flow d tr H/dτ = −¼ ‖P_T ∇ tr H‖².
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import _slow_flow_models, noise_covariance, plateau
from theory.claims.noise.frame import (
    across,
    climb,
    differential,
    e,
    field,
    first,
    gradient,
    h,
    hessian,
    i,
    j,
    k,
    noise,
    other,
    over_coordinates,
    over_normal,
    over_tangent,
    s,
    slope,
    speed,
    v,
)
from theory.claims.noise.plateau import batch, beta, eta
from theory.kernel import Derivation, Terms

bend = over_coordinates(sp.diff(differential, s) * e[i, j])
"""Q_i = ∂²φ[e_i, e_i]."""
force = over_coordinates(first[j] * sp.diff(gradient, s, 2))
"""T_i = ∂φ D³L[e_i, e_i]."""
complete = over_normal(e[i, j] * e[i, k]) + over_tangent(field.subs(k, j) * field)
"""Σ_i e_i e_iᵀ + Σ_p t_p t_pᵀ, its entry (j, k)."""


def derive() -> Derivation:
    """Derive the constant of the slow flow, the vanishing of its diffusion, momentum, and the descent of tr H."""
    d = Derivation("slow-flow")
    _limit_map(d)
    _basis(d)
    _trace(d)
    _constant(d)
    _momentum(d)
    _descent(d)
    return d.conclude("flow", _slow_flow_models.models())


def _limit_map(d: Derivation) -> None:
    d.lemma("noise-is-curvature", noise_covariance.CLAIM.derivation, because="Σ = H/B on Γ, and range H is normal")
    d.cite(
        "katzenberger",
        "as η → 0, Φ(θ_k) at k = τB/η² converges to dY = ½ ∂²Φ(Y)[BΣ] dτ + ∂Φ(Y)(BΣ)^{1/2} dW",
        "G. S. Katzenberger, Ann. Probab. 19 (1991), Theorem 6.3; for SGD: arXiv 2110.06914, Theorem 4.6",
    )
    pairing = over_coordinates(differential * gradient)
    d.assume(
        "constant-on-the-flow",
        sp.Eq(pairing, 0),
        "gradient flow does not change its limit: ∂φ[∇L] = 0 near Γ, for φ = v·Φ any component of Φ",
        for_every=(s,),
    )
    d.assume("critical", sp.Eq(gradient, 0), "θ ∈ Γ")
    d.assume("eigendirection", sp.Eq(sp.diff(gradient, s), h[i] * e[i, j]), "H e_i = h_i e_i, h_i > 0")
    d.assume("one-point", sp.Eq(first[j], differential), "the lines θ + s e_i all pass through θ")
    d.identity(
        "leibniz-1",
        sp.Eq(
            over_coordinates(differential * sp.diff(gradient, s)),
            sp.Derivative(pairing, s) - over_coordinates(sp.diff(differential, s) * gradient),
        ),
        "product rule",
    )
    d.identity(
        "leibniz-2",
        sp.Eq(
            over_coordinates(differential * sp.diff(gradient, s, 2)),
            sp.Derivative(pairing, (s, 2))
            - 2 * over_coordinates(sp.diff(differential, s) * sp.diff(gradient, s))
            - over_coordinates(sp.diff(differential, s, 2) * gradient),
        ),
        "product rule, twice",
    )
    onward = over_coordinates(first[j] * e[i, j])
    d.identity(
        "first-order",
        sp.Eq(onward, over_coordinates(differential * sp.diff(gradient, s)) / h[i]),
        "∂φ e_i = ∂φ H e_i/h_i",
        given=("one-point", "eigendirection"),
    )
    d.identity(
        "flow-invariance-1",
        sp.Eq(onward, 0),
        "the first derivative of ∂φ[∇L] = 0 along e_i: ∂φ e_i = 0",
        given=("first-order", "leibniz-1", "constant-on-the-flow", "critical"),
    )
    d.identity(
        "flow-invariance-2",
        sp.Eq(over_coordinates(differential * sp.diff(gradient, s, 2)), -2 * h[i] * bend),
        "the second derivative: ∂φ D³L[e_i, e_i] = −2h_i ∂²φ[e_i, e_i]",
        given=("leibniz-2", "constant-on-the-flow", "critical", "eigendirection"),
    )
    d.identity(
        "no-diffusion",
        sp.Eq(noise[i] * onward**2, 0),
        "each term of the quadratic variation ∂φ Σ ∂φᵀ is 0: the martingale part drops out",
        given=("flow-invariance-1",),
    )
    d.identity(
        "second-derivative",
        sp.Eq(bend, -force / (2 * h[i])),
        "∂²φ[e_i, e_i] = −∂φ D³L[e_i, e_i] / 2h_i",
        given=("one-point", "flow-invariance-2"),
    )


def _basis(d: Derivation) -> None:
    """∂φ = v, by its components along a basis."""
    d.assume(
        "orthonormal",
        sp.Eq(complete, sp.KroneckerDelta(j, k)),
        "the r eigenvectors e_i and m = D − r tangents t_p of Γ are an orthonormal basis: rank H = codim Γ",
        for_every=(j, k),
    )
    tangent = field.subs(k, j)
    d.assume("tangent", sp.Eq(over_coordinates(v[j] * e[other, j]), 0), "v is tangent to Γ")
    d.assume(
        "identity-on-gamma",
        sp.Eq(over_coordinates(first[j] * tangent), over_coordinates(v[j] * tangent)),
        "Φ is the identity on Γ, so ∂Φ t = t for tangent t",
    )
    third = sp.diff(gradient.subs(j, k), s, 2)

    def component(direction: sp.Expr) -> sp.Expr:
        """((∂φ − v)·direction) times the component of D³L[e_i, e_i] along it."""
        along = over_coordinates(first[j] * direction) - over_coordinates(v[j] * direction)
        return along * over_coordinates(third * direction.subs(j, k), k)

    deviation = over_coordinates(third * over_coordinates((first[j] - v[j]) * complete), k)
    d.identity(
        "expanded",
        sp.Eq(deviation, over_normal(component(e[other, j]), other) + over_tangent(component(tangent))),
        "the components of ∂φ − v and of D³L[e_i, e_i], sums interchanged",
    )
    d.identity(
        "in-the-basis",
        sp.Eq(force, across(i) + deviation),
        "T_i − N_i = (∂φ − v)·D³L[e_i, e_i]",
        given=("orthonormal",),
    )
    d.instance("across-every-direction", "flow-invariance-1", {i: other}, "∂φ e_l = 0 for every l")
    d.identity(
        "tangent-component",
        sp.Eq(force, across(i)),
        "∂φ and v have the same components, so ∂φ = v (∂Φ = P_T): T_i is D³L[e_i, e_i, v]",
        given=("in-the-basis", "expanded", "across-every-direction", "tangent", "identity-on-gamma"),
    )


def _trace(d: Derivation) -> None:
    product = over_coordinates(hessian * field, k)
    turned = hessian.subs({j: k, k: j}, simultaneous=True)
    quadratic = over_coordinates(field.subs(k, j) * over_coordinates(sp.diff(hessian, s) * field, k))
    d.assume("flat", sp.Eq(product, 0), "H t = 0 all along the curve on Γ, t a field of tangents", for_every=(s,))
    d.assume("symmetric", sp.Eq(turned, hessian), "second derivatives commute")
    d.identity(
        "leibniz",
        sp.Eq(
            quadratic,
            over_coordinates(field.subs(k, j) * sp.Derivative(product, s))
            - over_coordinates(sp.diff(field.subs(k, j), s) * over_coordinates(turned * field, k)),
        ),
        "product rule, sums interchanged",
    )
    d.identity(
        "flat-to-first-order",
        sp.Eq(quadratic, 0),
        "tᵀ(∂_vH)t = 0 for tangent t: P_T (∂_v H) P_T = 0",
        given=("leibniz", "symmetric", "flat"),
    )
    d.define("slope", sp.Eq(slope, over_coordinates(sp.diff(hessian.subs(k, j), s))), "∂_v tr H")
    along_normal = over_coordinates(e[i, j] * over_coordinates(sp.diff(hessian, s) * e[i, k], k))
    d.bridge(
        "third-derivatives",
        sp.Eq(across(i), along_normal),
        "D³L is symmetric: twice along e_i and then along v, or once along v and then twice along e_i",
    )
    d.identity(
        "trace-in-basis",
        sp.Eq(
            over_normal(along_normal),
            over_coordinates(over_coordinates(sp.diff(hessian, s) * complete, k)) - over_tangent(quadratic),
        ),
        "Σ_i e_iᵀ(∂_vH)e_i + Σ_p t_pᵀ(∂_vH)t_p, sums interchanged",
    )
    d.identity(
        "trace-derivative",
        sp.Eq(over_normal(across(i)), slope),
        "Σ_i D³L[e_i, e_i, v] over the normal directions is all of ∂_v tr H",
        given=("third-derivatives", "trace-in-basis", "orthonormal", "flat-to-first-order", "slope"),
    )


def _constant(d: Derivation) -> None:
    d.assume("noise", sp.Eq(noise[i], h[i] / batch), "Σ = H/B by noise-is-curvature: its variance along e_i")
    drift = over_normal(noise[i] * bend) / 2
    d.identity(
        "drift",
        sp.Eq(drift, -over_normal(force) / (4 * batch)),
        "½ ∂²φ[Σ] with Σ = Σ_i S_i e_i e_iᵀ: the eigenvalues cancel",
        given=("noise", "second-derivative"),
    )
    d.identity(
        "constant",
        sp.Eq(-drift / slope, 1 / (4 * batch)),
        "drift along v over −∂_v tr H: the constant of the flow, in steps times η²",
        given=("drift", "tangent-component", "trace-derivative"),
    )
    d.identity(
        "flow",
        sp.Eq(-drift / slope / (1 / batch), sp.Rational(1, 4)),
        "in the slow time τ = kη²/B, with dτ = 1/B per step and η²: dθ/dτ = −¼ P_T ∇ tr H",
        given=("drift", "tangent-component", "trace-derivative"),
    )


def _momentum(d: Derivation) -> None:
    d.lemma(
        "variance-across",
        plateau.CLAIM.derivation,
        "heavy-ball-limit",
        "stationary variance across Γ with momentum, over η, as η → 0",
    )
    d.cite(
        "momentum-averages",
        "with momentum β fixed and η → 0 the same limit holds, with η replaced by η/(1 − β)",
        "R. Wang, S. Malladi, T. Wang, K. Lyu, Z. Li, arXiv 2307.15196 (slow dynamics of SGD with momentum)",
    )
    push, velocity, power = sp.symbols("f mu P", real=True)
    d.induction(
        "accumulated-force",
        sp.Eq(velocity, push * (1 - power) / (1 - beta)),
        "a constant force f, through μ ← βμ + f, accumulates to f(1 − β^k)/(1 − β), P = β^k",
        initial={velocity: sp.S.Zero, power: sp.S.One},
        update={velocity: beta * velocity + push, power: beta * power},
    )
    variance = sp.Symbol("S_h", positive=True)
    d.define("variance", sp.Eq(variance, eta / (2 * batch * (1 - beta))), "variance-across, times η")
    d.identity(
        "effective-rate",
        sp.Eq(
            eta / (1 - beta) * variance / 2 / eta**2,
            1 / (4 * batch * (1 - beta) ** 2),
        ),
        "tangent force ½ S_h Σ_i D³L[e_i, e_i, v], with one S_h for all directions, times η/(1 − β) by "
        "accumulated-force, per step and η²; at β = 0 this is the constant again, found without Katzenberger",
        given=("variance",),
    )


def _descent(d: Derivation) -> None:
    d.assume(
        "on-the-flow",
        sp.Eq(speed, -climb / 4),
        "the flow along tangent direction p, g(p) being the slope of tr H along it",
    )
    squares = over_tangent(climb**2)
    d.identity(
        "descent",
        sp.Eq(over_tangent(climb * speed), -squares / 4),
        "chain rule: d tr H/dτ = −¼ ‖P_T ∇ tr H‖²",
        given=("on-the-flow",),
    )
    d.inequality(
        "never-rises",
        sp.Le(over_tangent(climb * speed), 0),
        "tr H never rises along the flow, and stands still only where P_T ∇ tr H = 0",
        Terms((squares / 4,)),
        given=("descent",),
    )


BATCH = Parameter("B", batch, "batch size", minimum=1, step=1)
MOMENTUM = Parameter("beta", beta, "momentum", minimum=0, below=1)


CLAIM = Claim(
    id="slow-flow",
    place=3,
    title="On the minimisers SGD follows −¼ of the tangential gradient of tr H",
    statement=r"\frac{d\theta}{d\tau}=-\tfrac14 P_T\nabla\operatorname{tr}H(\theta)\ \text{on }\Gamma,\quad"
    r"\tau=\frac{k\eta^2}{B(1-\beta)^2},\ \eta\to0",
    hypotheses=(
        "Γ a C³ manifold of minimisers near the trajectory, with rank H = codim Γ; L of class C⁴",
        "labels sampled from the true conditional, fresh batches of B, momentum β < 1 fixed",
        "start on Γ (or in the basin, then from its limit under gradient flow); bounded slow time; η → 0",
    ),
    uses=("noise-covariance", "plateau"),
    source="paper Theorem 4.3 (second-hand); arXiv 2110.06914 for Σ = H; the constant is derived here",
    derive=derive,
    formulas={
        "": closed_form("flow", "c in dθ/dτ = −c P_T ∇ tr H, τ = kη²/(B(1 − β)²)"),
        "steps": closed_form("effective-rate", "c in dθ/d(kη²) = −c P_T ∇ tr H, k counting steps", BATCH, MOMENTUM),
    },
)
