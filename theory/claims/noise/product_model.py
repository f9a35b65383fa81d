r"""The product model p = σ(uv): SGD solved in closed form.

One context, two tokens, Pr(y = 1) = σ(α), model σ(uv). The minimisers are the hyperbola Γ = {uv = α}, on which
tr H = σ'(α)(u² + v²) is least where u² = v². With g the batch mean of p − y, a step of SGD with rate η is
u ← u − η g v, v ← v − η g u, and the imbalance Δ = u² − v² obeys, exactly and at any rate,

    Δ_{k+1} = Δ_k (1 − η² g_k²).

On Γ the residual has mean 0 and variance σ'(α)/B, so that in the slow time τ = k η²/B the mean imbalance decays as
Δ(τ) = Δ(0) e^{−σ'(α) τ}, which is also what the slow flow −¼ P_T ∇ tr H gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Model, logistic, logistic_slope

alpha = sp.Symbol("alpha", real=True)
tau = sp.Symbol("tau", nonnegative=True)
eta = sp.Symbol("eta", positive=True)
batch, outcomes, j = sp.symbols("B c j", integer=True, positive=True)
drawn = sp.Symbol("b", integer=True, nonnegative=True)
u, v, g, u_next, v_next = sp.symbols("u v g u_1 v_1", real=True)
imbalance, start = sp.symbols("Delta Delta_0", real=True)
slope = sp.Symbol("s", positive=True)
prob, mean_residual = (sp.IndexedBase(name, real=True) for name in "qg")
"""Probability and value of outcome j of the mean residual of a batch."""
first, second = sp.symbols("M_1 M_2", real=True)
"""First and second moment of the sum of k residuals."""


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
    _mean(d)
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
        "k = τB/η² steps, each multiplying the mean imbalance by 1 − η²σ'(α)/B, the residual being that of Γ "
        "(`mean-recursion`, `katzenberger`)",
    )
    loss = sp.log(1 + sp.exp(f)) - logistic(alpha) * f
    d.identity(
        "trace",
        sp.Eq(sp.Derivative(loss, (u, 2)) + sp.Derivative(loss, (v, 2)), logistic_slope(f) * (u**2 + v**2)),
        "tr H of the mean loss log(1 + e^{uv}) − σ(α)uv, the label term being linear in u and in v",
    )
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
    d.ode(
        "flow-solution",
        tau,
        "dΔ/dτ = −sΔ: the slow flow and the limit of the recursion agree",
        system={imbalance: -logistic_slope(alpha) * imbalance},
        solution={imbalance: start * sp.exp(-logistic_slope(alpha) * tau)},
        initial={imbalance: start},
    )
    return d.conclude("decay", models())


def _mean(d: Derivation) -> None:
    """Add the second moment of the batch residual on Γ, and the mean of the recursion over it."""
    p = logistic(alpha)
    d.identity(
        "residual-mean",
        sp.Eq(p * (p - 1) + (1 - p) * p, 0, evaluate=False),
        "on Γ the label is 1 with probability p = σ(α): the residual p − y has mean 0",
    )
    d.induction(
        "residual-sum",
        sp.Eq(second, drawn * logistic_slope(alpha)),
        "E S_k² of the sum of k residuals: the next one is p − 1 with probability p and p else, whatever came before",
        initial={drawn: sp.S.Zero, first: sp.S.Zero, second: sp.S.Zero},
        update={
            drawn: drawn + 1,
            first: p * (first + p - 1) + (1 - p) * (first + p),
            second: p * (second + 2 * (p - 1) * first + (p - 1) ** 2) + (1 - p) * (second + 2 * p * first + p**2),
        },
    )
    d.instance("batch-sum", "residual-sum", {drawn: batch}, "a batch is B independent draws")

    def over_batches(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(prob[j] * expr, (j, 1, outcomes))

    d.assume("law", sp.Eq(sp.Sum(prob[j], (j, 1, outcomes)), 1), "the mean residual of a batch is g_j with chance q_j")
    d.assume(
        "batch-mean",
        sp.Eq(over_batches(mean_residual[j] ** 2), second / batch**2),
        "g is the sum of the B residuals of a batch over B",
    )
    d.identity(
        "residual-variance",
        sp.Eq(over_batches(mean_residual[j] ** 2), logistic_slope(alpha) / batch),
        "σ(1 − σ) = σ' divided by B",
        given=("batch-mean", "batch-sum"),
    )
    after = (u**2 - v**2) * (1 - eta**2 * mean_residual[j] ** 2)
    d.identity(
        "linear",
        sp.Eq(
            over_batches(after),
            (u**2 - v**2) * (sp.Sum(prob[j], (j, 1, outcomes)) - eta**2 * over_batches(mean_residual[j] ** 2)),
        ),
        "the mean is linear",
    )
    d.identity(
        "mean-recursion",
        sp.Eq(over_batches(after), (u**2 - v**2) * (1 - eta**2 * logistic_slope(alpha) / batch)),
        "mean of `recursion` over a fresh batch at a point of Γ: Δ is multiplied by 1 − η²σ'(α)/B",
        given=("linear", "law", "residual-variance"),
    )


def models() -> Iterator[Model]:
    """Points of Γ with a step of SGD there, by derivatives of the loss of a batch, and the law of all batches."""
    model = Model("u = 2, v = 1/3, batches of 2", _on_gamma(sp.Integer(2), sp.Rational(1, 3), 2))
    yield model
    yield Model("u = −1/2, v = 3/2, batches of 1", _on_gamma(sp.Rational(-1, 2), sp.Rational(3, 2), 1))
    chances, residuals = model.values[prob], model.values[mean_residual]
    yield model.control("law", "mean-recursion", {prob: [*chances, 1], mean_residual: [*residuals, 0], outcomes: 5})
    yield model.control("batch-mean", "residual-variance", {mean_residual: [2 * residual for residual in residuals]})


def _on_gamma(here: sp.Rational, there: sp.Rational, size: int) -> dict[Any, Any]:
    """The model at (u, v) with target σ(uv), all batches of a size, and a step on the first batch."""
    p, rate, batches = logistic(here * there), sp.Rational(3, 4), list(itertools.product((0, 1), repeat=size))
    chances = [sp.Mul(*(p if label else 1 - p for label in labels)) for labels in batches]
    residuals = [sum(p - label for label in labels) / size for labels in batches]
    loss = sum(sp.log(1 + sp.exp(u * v)) - label * u * v for label in batches[0]) / size
    after = [x - rate * sp.diff(loss, x) for x in (u, v)]
    return {
        alpha: here * there, u: here, v: there, eta: rate, batch: size, tau: sp.Rational(2, 3),
        slope: logistic_slope(here * there),
        u_next: after[0].subs({u: here, v: there}), v_next: after[1].subs({u: here, v: there}),
        g: residuals[0], prob: chances, mean_residual: residuals, outcomes: len(batches), start: here**2 - there**2,
        drawn: size, second: sum(chance * (size * r) ** 2 for chance, r in zip(chances, residuals, strict=True)),
    }  # fmt: skip


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
