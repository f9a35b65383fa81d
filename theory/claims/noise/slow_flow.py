r"""As η → 0, SGD on the manifold of minimisers follows dθ/dτ = −¼ P_T ∇ tr H(θ).

Φ maps a point to the limit of gradient flow from it, so Φ is constant along gradient flow: ∂Φ(θ)[∇L(θ)] = 0 near Γ.
Katzenberger's theorem (cited) says that Φ(θ_k), with k = τB/η² steps, converges to the diffusion with drift
½ ∂²Φ[Σ] and martingale part ∂Φ Σ^{1/2} dW, Σ the noise covariance; the constant is derived here:

1. Along an eigendirection e_i of H, H e_i = h_i e_i, expand ∂Φ[∇L] = 0: the first order gives ∂Φ e_i = 0, so with
   Σ = H/B (`noise-covariance`) the martingale part vanishes; the second gives ∂²Φ[e_i, e_i] = −∂Φ D³L[e_i, e_i]/2h_i.
2. ½ ∂²Φ[H/B] = ½ Σ_i (h_i/B) ∂²Φ[e_i, e_i] = −(1/4B) ∂Φ Σ_i D³L[e_i, e_i]: the h_i cancel, which is why the noise
   covariance H leads to a gradient at all.
3. For v tangent, Σ_i D³L[e_i, e_i, v] = ∂_v tr H, because H P_T = 0 along Γ makes P_T (∂_v H) P_T = 0.
4. Momentum β: a constant force accumulates to 1/(1 − β) of itself and the variance across Γ (`plateau`) is that of the
   rate η/(1 − β), so η becomes η/(1 − β) in the slow time τ = kη²/(B(1 − β)²).

Along the flow d tr H/dτ = −¼ ‖P_T ∇ tr H‖².
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.noise import noise_covariance, plateau
from theory.claims.noise.plateau import batch, beta, eta
from theory.kernel import Derivation, Terms

s = sp.Symbol("s", real=True)
i, j, k, p = sp.symbols("i j k p", integer=True, positive=True)
normal, tangential, dimension = sp.symbols("r m D", integer=True, positive=True)
h = sp.IndexedBase("h", positive=True)
e = sp.IndexedBase("e")
"""e[i, j]: coordinate j of the i-th eigenvector of H across Γ."""
first, second = sp.IndexedBase("Phi1"), sp.IndexedBase("Phi2")
"""Φ1[j] = ∂_jΦ and Φ2[i, j] = derivative of ∂_jΦ along e_i, for any one component of Φ, at a point of Γ."""
third = sp.IndexedBase("L3")
"""L3[i, j] = D³L[e_i, e_i]_j."""
image, bend, force = (sp.Function(name) for name in ("P", "Q", "T"))
"""Functions of the index i of the normal direction: P = ∂Φ e_i, Q = ∂²Φ[e_i, e_i], T = ∂Φ D³L[e_i, e_i]."""
across, along = sp.Function("N"), sp.Function("F")
"""N(i) = D³L[e_i, e_i, v]; F(p) = D³L[t_p, t_p, v] for an orthonormal tangent basis t_p."""
slope = sp.Symbol("dtrH", nonzero=True)
"""∂_v tr H, for v a tangent direction."""


def over_coordinates(expr: sp.Expr) -> sp.Expr:
    """Σ_j over all D coordinates."""
    return sp.Sum(expr, (j, 1, dimension))


def over_normal(expr: sp.Expr) -> sp.Expr:
    """Σ_i over the r directions across Γ."""
    return sp.Sum(expr, (i, 1, normal))


def derive() -> Derivation:
    """Derive the constant of the slow flow, the vanishing of its diffusion, momentum, and the descent of tr H."""
    d = Derivation("slow-flow")
    _limit_map(d)
    _trace(d)
    _constant(d)
    _momentum(d)
    _descent(d)
    return d.conclude("flow")


def _limit_map(d: Derivation) -> None:
    d.lemma("noise-is-curvature", noise_covariance.CLAIM.derivation, because="Σ = H/B on Γ, and range H is normal")
    d.cite(
        "katzenberger",
        "as η → 0, Φ(θ_k) at k = τB/η² converges to dY = ½ ∂²Φ(Y)[BΣ] dτ + ∂Φ(Y)(BΣ)^{1/2} dW",
        "G. S. Katzenberger, Ann. Probab. 19 (1991), Theorem 6.3; for SGD: arXiv 2110.06914, Theorem 4.6",
    )
    a2, g3 = sp.IndexedBase("Phi3"), sp.IndexedBase("L4")
    jet_of_differential = first[j] + second[i, j] * s + a2[i, j] * s**2
    jet_of_gradient = h[i] * e[i, j] * s + third[i, j] * s**2 / 2 + g3[i, j] * s**3
    d.series(
        "along-a-normal",
        over_coordinates(jet_of_differential * jet_of_gradient),
        s,
        3,
        s * h[i] * over_coordinates(first[j] * e[i, j])
        + s**2 * (h[i] * over_coordinates(second[i, j] * e[i, j]) + over_coordinates(first[j] * third[i, j]) / 2),
        "∂Φ(θ)[∇L(θ)] at θ + s e_i, θ ∈ Γ: ∇L starts with H e_i s = h_i e_i s; Φ3 and L4, the next orders, drop out",
    )
    constant = "Φ is constant along gradient flow, so the function just expanded is 0 for every s: the coefficient of "
    d.assume(
        "flow-invariance-1",
        sp.Eq(h[i] * image(i), 0),
        constant + "s vanishes, P_i = Σ_j Φ1_j e_ij = ∂Φ e_i",
    )
    d.assume(
        "flow-invariance-2",
        sp.Eq(force(i), -2 * h[i] * bend(i)),
        constant + "s² vanishes, Q_i = Σ_j Φ2_ij e_ij = ∂²Φ[e_i, e_i] and T_i = Σ_j Φ1_j L3_ij = ∂Φ D³L[e_i, e_i]",
    )
    d.identity(
        "no-diffusion",
        sp.Eq(h[i] * image(i) ** 2 / batch, 0),
        "each term of the quadratic variation ∂Φ Σ ∂Φᵀ = Σ_i h_i P_i²/B is 0: the martingale part drops out",
        given=("flow-invariance-1",),
    )
    d.identity(
        "second-derivative",
        sp.Eq(bend(i), -force(i) / (2 * h[i])),
        "∂²Φ[e_i, e_i] = −∂Φ D³L[e_i, e_i] / 2h_i",
        given=("flow-invariance-2",),
    )


def _trace(d: Derivation) -> None:
    field, covector = sp.Function("t")(k, s), sp.Function("C")(k, s)

    def over_components(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (k, 1, dimension))

    d.identity(
        "leibniz",
        sp.Eq(
            over_components(field * sp.diff(covector, s)),
            sp.Derivative(over_components(field * covector), s) - over_components(sp.diff(field, s) * covector),
        ),
        "along a curve γ(s) on Γ with velocity v: t(s) a tangent field, C(s) = H(γ(s)) w for a fixed vector w",
    )
    d.assume(
        "flat-along-the-curve",
        sp.Eq(over_components(field * covector), 0),
        "H t = 0 on Γ, so wᵀH t = 0 all along",
        for_every=(s,),
    )
    d.assume("flat-here", sp.Eq(covector, 0), "at the point itself w is tangent too, so H w = 0")
    d.identity(
        "flat-to-first-order",
        sp.Eq(over_components(field * sp.diff(covector, s)), 0),
        "wᵀ(∂_vH)t = 0 for tangent w and t: P_T (∂_v H) P_T = 0",
        given=("leibniz", "flat-along-the-curve", "flat-here"),
    )
    d.assume("tangent-diagonal", sp.Eq(along(p), 0), "flat-to-first-order with w = t = t_p")
    d.assume(
        "basis",
        sp.Eq(slope, over_normal(across(i)) + sp.Sum(along(p), (p, 1, tangential))),
        "∂_v tr H = tr ∂_vH, written in the orthonormal basis of the e_i and the t_p",
    )
    d.identity(
        "trace-derivative",
        sp.Eq(over_normal(across(i)), slope),
        "Σ_i D³L[e_i, e_i, v] over the normal directions is all of ∂_v tr H",
        given=("basis", "tangent-diagonal"),
    )
    d.assume(
        "tangent-component",
        sp.Eq(force(i), across(i)),
        "Φ is the identity on Γ and ∂Φ e_i = 0, so ∂Φ = P_T; along v, T_i is D³L[e_i, e_i, v]",
    )


def _constant(d: Derivation) -> None:
    drift = over_normal(h[i] * bend(i) / batch) / 2
    d.identity(
        "drift",
        sp.Eq(drift, -over_normal(force(i)) / (4 * batch)),
        "½ ∂²Φ[Σ] with Σ = Σ_i h_i e_i e_iᵀ/B: the eigenvalues cancel",
        given=("second-derivative",),
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
    gradient, velocity = sp.Function("g", real=True)(p), sp.Function("w", real=True)(p)

    def over_tangent(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (p, 1, tangential))

    d.assume(
        "on-the-flow",
        sp.Eq(velocity, -gradient / 4),
        "the flow along tangent direction p, g(p) being the slope of tr H along it",
    )
    squares = over_tangent(gradient**2)
    d.identity(
        "descent",
        sp.Eq(over_tangent(gradient * velocity), -squares / 4),
        "chain rule: d tr H/dτ = −¼ ‖P_T ∇ tr H‖²",
        given=("on-the-flow",),
    )
    d.inequality(
        "never-rises",
        sp.Le(over_tangent(gradient * velocity), 0),
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
