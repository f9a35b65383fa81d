r"""On the minimisers, the covariance of the mini-batch gradient is the Hessian.

Any number c of tokens, any number of contexts x of probability q_x, any true conditional p*, any parameters: the
model is the softmax of scores s(x, y, ·) about which nothing is assumed but two derivatives. Second-order objects
are bilinear, so two directions of parameter space say all there is to say: s(x, y, i, θ, φ) is the score at a
displacement θ along the i-th coordinate and φ along any other direction.

Off Γ = {p_θ = p*} the covariance of ∇ℓ, ℓ = −log p_θ, misses H = ∇²L by an exact gap,

    Cov − H = E Σ_y (p*_y/p_y) ∂²p_y − ∇L ∇Lᵀ,

because −∂ₛ∂ₜ log p = ∂ₛp ∂ₜp/p² − ∂ₛ∂ₜp/p holds term by term. On Γ both parts of the gap vanish: Σ_y p_y = 1 at every
θ, so Σ_y ∂²p_y = 0 and E[∇ℓ | x] = 0. A batch of B independent draws divides by B; B of n without replacement also
multiplies by (n − B)/(n − 1), because deviations from a population mean sum to 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.kernel import Derivation, Model, logistic

s, t = sp.symbols("theta phi", real=True)
x, y, i = sp.symbols("x y i", integer=True, positive=True)
contexts, tokens, dimension = sp.symbols("X c D", integer=True, positive=True)
score = sp.Function("s")
context_prob, truth = sp.IndexedBase("q"), sp.IndexedBase("P", real=True)

batch = sp.Symbol("B", integer=True, positive=True)
population = sp.Symbol("n", integer=True, positive=True)
drawn = sp.Symbol("k", integer=True, nonnegative=True)
variance, pair, partial = sp.symbols("v kappa V", real=True)
a, b = sp.IndexedBase("a"), sp.IndexedBase("b")
alpha, wrong_alpha = sp.symbols("alpha alpha_label", real=True)


def cross_entropy(*coordinates: sp.Expr) -> sp.Expr:
    """Return ℓ = −log p(y | x) = log Σ_{y'} e^{s(x, y', …)} − s(x, y, …)."""
    other = sp.Symbol("y_1", integer=True, positive=True)
    return sp.log(sp.Sum(sp.exp(score(x, other, *coordinates)), (other, 1, tokens))) - score(x, y, *coordinates)


def softmax(*coordinates: sp.Expr) -> sp.Expr:
    """Return p(y | x) = e^{−ℓ}, which sympy writes e^{s(x, y, …)} / Σ_{y'} e^{s(x, y', …)}."""
    return sp.exp(-cross_entropy(*coordinates))


def over_tokens(expr: sp.Expr) -> sp.Expr:
    """Σ_y expr."""
    return sp.Sum(expr, (y, 1, tokens))


def mean(expr: sp.Expr, conditional: sp.Expr = truth[x, y]) -> sp.Expr:
    """E_x Σ_y p*(y | x) expr: the mean over a sample whose token has the given conditional."""
    return sp.Sum(context_prob[x] * over_tokens(conditional * expr), (x, 1, contexts))


def derive() -> Derivation:
    """Derive the exact gap, that it vanishes on Γ, the trace, and the factors of the batch."""
    d = Derivation("noise-covariance")
    _gap(d)
    _on_the_manifold(d)
    _traps(d)
    _batch(d)
    return d.conclude("covariance-is-hessian", models())


def _gap(d: Derivation) -> None:
    density = sp.Function("p")(s, t)
    d.identity(
        "termwise",
        sp.Eq(
            -sp.diff(sp.log(density), s, t),
            sp.diff(density, s) * sp.diff(density, t) / density**2 - sp.diff(density, s, t) / density,
        ),
        "chain rule, for any p: the Hessian of one term is the product of its gradients less ∂²p/p",
    )
    p, loss = softmax(i, s, t), cross_entropy(i, s, t)
    slope_s, slope_t = mean(sp.diff(loss, s)), mean(sp.diff(loss, t))
    covariance = mean(sp.diff(loss, s) * sp.diff(loss, t)) - slope_s * slope_t
    hessian = mean(sp.diff(loss, s, t))
    d.identity(
        "gap",
        sp.Eq(covariance - hessian, mean(sp.diff(p, s, t) / p) - slope_s * slope_t),
        "E over contexts and tokens of the termwise identity: exact at every θ, on and off Γ",
    )


def _on_the_manifold(d: Derivation) -> None:
    p, loss = softmax(i, s, t), cross_entropy(i, s, t)
    d.identity(
        "normalised",
        sp.Eq(over_tokens(p), 1),
        "a softmax sums to 1 at every θ, so its derivatives sum to 0",
    )
    d.assume(
        "on-gamma",
        sp.Eq(truth[x, y], p),
        "θ ∈ Γ: at this point the model's conditional is the true one, for every context and token",
    )
    d.identity(
        "centred",
        sp.Eq(over_tokens(truth[x, y] * sp.diff(loss, s)), 0),
        "E[∂ₛℓ | x] = −Σ_y ∂ₛp_y = 0 for every context x",
        given=("on-gamma",),
    )
    d.identity(
        "curvature-sums-to-zero",
        sp.Eq(over_tokens(truth[x, y] * (sp.diff(p, s, t) / p)), 0),
        "Σ_y (p*_y/p_y) ∂ₛ∂ₜp_y = ∂ₛ∂ₜ Σ_y p_y = 0 for every context x",
        given=("on-gamma",),
    )
    slope_s, slope_t = mean(sp.diff(loss, s)), mean(sp.diff(loss, t))
    d.identity(
        "covariance-is-hessian",
        sp.Eq(mean(sp.diff(loss, s) * sp.diff(loss, t)) - slope_s * slope_t, mean(sp.diff(loss, s, t))),
        "Cov(∂ₛℓ, ∂ₜℓ) = ∂ₛ∂ₜL on Γ: both parts of the gap are 0",
        given=("on-gamma",),
    )
    over_coordinates = (i, 1, dimension)
    d.identity(
        "trace",
        sp.Eq(
            sp.Sum(mean(sp.diff(loss, s, 2)), over_coordinates),
            sp.Sum(mean(sp.diff(loss, s) ** 2), over_coordinates),
        ),
        "second derivatives along all coordinates: tr H = E‖∇ log p‖² on Γ, first derivatives suffice",
        given=("on-gamma",),
    )


def _traps(d: Derivation) -> None:
    p, loss = softmax(i, s, t), cross_entropy(i, s, t)
    from_model = mean(sp.diff(loss, s) * sp.diff(loss, t), p)
    d.identity(
        "model-labels",
        sp.Eq(
            mean(sp.diff(loss, s, t)) - from_model,
            mean(sp.diff(loss, s, t), truth[x, y] - p),
        ),
        "labels drawn from the model give the Fisher matrix at every θ; it is H where p = p*, not elsewhere",
    )
    residual, wrong = logistic(alpha), logistic(wrong_alpha)
    d.identity(
        "wrong-labels",
        sp.Eq(
            (wrong * (1 - residual) ** 2 + (1 - wrong) * residual**2) / (residual * (1 - residual)),
            wrong * sp.exp(-alpha) + (1 - wrong) * sp.exp(alpha),
        ),
        "two tokens, logit ±α on every context, labels of logit ±α' : E(p − y)² over the variance that makes H; "
        "the second moment is this multiple of H, and the multiple is 1 at α' = α",
    )
    d.identity(
        "right-labels",
        sp.Eq(residual * sp.exp(-alpha) + (1 - residual) * sp.exp(alpha), 1),
        "labels of the right logit: the multiple is 1",
    )


def _batch(d: Derivation) -> None:
    d.induction(
        "sum-of-draws",
        sp.Eq(partial, drawn * variance + drawn * (drawn - 1) * pair),
        "covariance of the sum of k exchangeable draws: one more draw adds its own v and 2k pairs κ",
        initial={drawn: sp.S.Zero, partial: sp.S.Zero},
        update={drawn: drawn + 1, partial: partial + variance + 2 * drawn * pair},
    )
    d.instance("sum-of-batch", "sum-of-draws", {drawn: batch}, "a batch is B draws")
    d.assume("independent", sp.Eq(pair, 0), "fresh samples: distinct draws are uncorrelated")
    d.identity(
        "batch",
        sp.Eq(partial / batch**2 / variance, 1 / batch),
        "the mean of B independent draws has 1/B of the covariance",
        given=("sum-of-batch", "independent"),
    )
    j = sp.Symbol("j", integer=True, positive=True)

    def total(expr: sp.Expr, index: sp.Symbol) -> sp.Expr:
        return sp.Sum(expr, (index, 1, population))

    def deviation(base: sp.IndexedBase, index: sp.Symbol) -> sp.Expr:
        return base[index] - total(base[index], index) / population

    own = total(deviation(a, i) * deviation(b, i), i)
    d.identity(
        "pair-covariance",
        sp.Eq(
            (total(total(deviation(a, i) * deviation(b, j), j), i) - own) / (population * (population - 1)),
            -own / population / (population - 1),
        ),
        "two different members of a population: its deviations sum to 0, so κ = −v/(n − 1)",
    )
    exhaustive = sp.Symbol("kappa_n", real=True)
    d.define(
        "without-replacement-pair",
        sp.Eq(exhaustive, -variance / (population - 1)),
        "κ of draws without replacement, by the step before",
    )
    d.instance("sum-without-replacement", "sum-of-draws", {drawn: batch, pair: exhaustive}, "B draws with that κ")
    d.identity(
        "without-replacement",
        sp.Eq(
            partial / batch**2 / variance,
            (population - batch) / ((population - 1) * batch),
        ),
        "B of n drawn without replacement: 1/B times the finite-population factor (n − B)/(n − 1)",
        given=("sum-without-replacement", "without-replacement-pair"),
    )


def models() -> Iterator[Model]:
    """A softmax of two contexts, three tokens and two parameters, on and off Γ; a population, its draws enumerated."""
    model = Model("softmax of 2 contexts, 3 tokens, on Γ", {**_softmax(), **_draws()})
    yield model
    other = [[Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)], [Fraction(1, 5), Fraction(3, 5), Fraction(1, 5)]]
    yield Model("the same softmax, off Γ", {**model.values, truth: other})
    yield model.control("on-gamma", "covariance-is-hessian", {truth: other})
    left_out = {pair: _covariance(itertools.permutations(range(len(POPULATION)), 2))}
    yield model.control("independent", "batch", left_out, "pairs drawn without replacement")


def _softmax() -> dict[Any, Any]:
    """Scores that are quadratic in two parameters, along both and along (1, 2), at a point where they are the truth."""
    place, along = (Fraction(1, 2), Fraction(-1, 3)), ((1, 0), (0, 1))

    def at(context: int, token: int, one: sp.Expr, two: sp.Expr) -> sp.Expr:
        return (context + token) * one + (token - 2) * context * one * two + token**2 * two**2 / 3

    def moved(context: int, token: int, e: tuple[int, int]) -> sp.Lambda:
        return sp.Lambda((s, t), at(context, token, place[0] + e[0] * s + t, place[1] + e[1] * s + 2 * t))

    weights = [[sp.exp(at(context, token, *map(sp.Rational, place))) for token in (1, 2, 3)] for context in (1, 2)]
    return {
        contexts: 2, tokens: 3, dimension: 2, s: 0, t: 0, context_prob: [Fraction(1, 3), Fraction(2, 3)], i: [1, 2],
        x: [1, 2], y: [1, 2, 3],
        score: [[[moved(context, token, e) for e in along] for token in (1, 2, 3)] for context in (1, 2)],
        truth: [[weight / sp.Add(*row) for weight in row] for row in weights],
    }  # fmt: skip


POPULATION = ((-3, 1), (1, 2), (2, -2), (5, 4))
"""Pairs of gradients."""


def _covariance(draws: Iterable[Sequence[int]]) -> Fraction:
    """Covariance of the first gradient of one member and the second of another, over equally likely draws."""
    listed = list(draws)
    centre = [Fraction(sum(entries), len(POPULATION)) for entries in zip(*POPULATION, strict=True)]
    terms = ((POPULATION[one][0] - centre[0]) * (POPULATION[other][1] - centre[1]) for one, other in listed)
    return sum(terms, Fraction(0)) / len(listed)


def _draws() -> dict[Any, Any]:
    """Variance of one draw, and the covariance of two independent ones, from all pairs."""
    members = range(len(POPULATION))
    first, second = ([Fraction(entry) for entry in entries] for entries in zip(*POPULATION, strict=True))
    return {
        population: len(POPULATION), a: first, b: second, batch: 3, alpha: 1, wrong_alpha: Fraction(-1, 2),
        variance: _covariance((k, k) for k in members), pair: _covariance(itertools.product(members, repeat=2)),
    }  # fmt: skip


BATCH = Parameter("B", batch, "batch size", minimum=1, step=1)


CLAIM = Claim(
    id="noise-covariance",
    place=1,
    title="On the minimisers the covariance of the mini-batch gradient is the Hessian",
    statement=r"\operatorname{Cov}(\nabla\ell)-H=\mathbb E\sum_y\frac{p^*_y}{p_y}\nabla^2p_y-\nabla L\nabla L^\top"
    r"\ \text{everywhere, and } \operatorname{Cov}(\nabla\ell)=H,\ \operatorname{tr}H=\mathbb E\|\nabla\log p\|^2"
    r"\ \text{on }\Gamma;\ \text{a batch divides it by }B",
    hypotheses=(
        "finitely many contexts; c tokens; a softmax of scores that are twice differentiable in the parameters",
        "θ ∈ Γ: the model's conditional is the true one (for Cov = H; the gap needs no such thing)",
        "labels drawn from the true conditional, contexts from the distribution of the loss, one mask per sample",
    ),
    uses=(),
    source="paper Lemma 4.2 (second-hand); the gap off Γ and the finite-population factor are ours",
    derive=derive,
    formulas={
        "": closed_form("batch", "Cov(batch gradient) / H on Γ", BATCH),
        "without-replacement": closed_form(
            "without-replacement",
            "Cov(batch gradient) / H on Γ, drawing without replacement",
            BATCH,
            Parameter("n", population, "population that batches are drawn from", minimum=2, step=1),
        ),
        "wrong-labels": closed_form(
            "wrong-labels",
            "E ∇ℓ∇ℓᵀ / H where |logit| = α on every context and labels have logit α'",
            Parameter("alpha", alpha, "logit of the model on every context, up to sign"),
            Parameter("alpha_label", wrong_alpha, "logit of the labels"),
        ),
    },
)
