r"""The pair language and its model: what the trace of the Hessian and the constraints of Γ are, in any dimension.

A context z is uniform on {±1}^d; the masked token is ±1 with Pr(y = 1 | z) = σ(α z₁z₂). The model is σ(f) with
f(z) = Σ_j a_j (w_j·z)², and Γ = {f = α z₁z₂ on the whole cube}. Then

    tr H = σ'(α) Σ_j [3‖w_j‖⁴ − 2‖w_j‖₄⁴ + 4 d a_j² ‖w_j‖²]   on Γ,
    Σ_j a_j ‖w_j‖² = 0 and Σ_j 2 a_j w_j1 w_j2 = α             on Γ.

Both rest on moments of w·z, which follow one coordinate at a time: averaging over one more sign ±x turns E S⁴ into
E S⁴ + 6x² E S² + x⁴. "Cost" is short for the trace without its factor σ'(α).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp

from theory.claims.minima._pair_networks import Context, Network, dot, on_gamma
from theory.kernel import Derivation, Model, logistic, logistic_slope

d = sp.Symbol("d", integer=True, positive=True)
m, n = (sp.Symbol(name, integer=True, nonnegative=True) for name in "mn")
alpha = sp.Symbol("alpha", positive=True)
cost, mean, pair = sp.symbols("C f_0 f_12", real=True)
i, j, c = (sp.Symbol(name, integer=True, positive=True) for name in ("i", "j", "c"))
a = sp.IndexedBase("a", real=True)
w = sp.IndexedBase("w", real=True)
trace, probability = sp.Symbol("trH", real=True), sp.Symbol("p", positive=True)
coordinate = sp.Symbol("t", real=True)
along = sp.Function("f", real=True)
"""f at one context, along a coordinate of θ."""
head, projection = sp.symbols("a S", real=True)
token = sp.IndexedBase("z", real=True)
"""One neuron at one context: its head, w·z, and the tokens."""
second, fourth, x = sp.symbols("M_2 M_4 x", real=True)
weights, S, R = (sp.IndexedBase(name, real=True) for name in "uSR")
patterns = sp.Symbol("K", integer=True, positive=True)
"""One neuron on average: E(w·z)², E(w·z)⁴, its weights, and w·z on the sign patterns of some coordinates."""


@dataclass(frozen=True)
class Neurons:
    """A family of neurons a_j (w_j·z)², j = 1…count.

    Attributes:
        a: head weights.
        w: input weights w_{j,i}.
        count: how many there are.
    """

    a: sp.IndexedBase
    w: sp.IndexedBase
    count: sp.Expr

    def power_sum(self, power: int, neuron: sp.Expr = j) -> sp.Sum:
        """Σ_i w_{j,i}^power over all d coordinates."""
        return sp.Sum(self.w[neuron, i] ** power, (i, 1, d))

    def overlap(self, neuron: sp.Expr = j) -> sp.Expr:
        """2 w_{j,1} w_{j,2}, the coefficient of z₁z₂ in (w_j·z)²."""
        return 2 * self.w[neuron, 1] * self.w[neuron, 2]

    def cost(self, neuron: sp.Expr = j) -> sp.Expr:
        """3‖w_j‖⁴ − 2‖w_j‖₄⁴ + 4 d a_j² ‖w_j‖²."""
        square = self.power_sum(2, neuron)
        return 3 * square**2 - 2 * self.power_sum(4, neuron) + 4 * d * self.a[neuron] ** 2 * square

    def total(self, summand: sp.Expr) -> sp.Sum:
        """Σ_{j=1}^{count} of an expression in j."""
        return sp.Sum(summand, (j, 1, self.count))


def over_signs(expr: sp.Expr, *signs: sp.Symbol) -> sp.Expr:
    """Average over all values of the given signs, written as a sum over bits."""
    bits = {sign: sp.Symbol(f"b_{place}", integer=True) for place, sign in enumerate(signs, 1)}
    spun = expr.subs({sign: 2 * bit - 1 for sign, bit in bits.items()}, simultaneous=True)
    return sp.Sum(spun, *((bit, 0, 1) for bit in bits.values())) / 2 ** len(signs)


def add_network(
    derivation: Derivation, label: str, family: Neurons, cost: sp.Symbol, mean: sp.Symbol, pair: sp.Symbol
) -> None:
    """Add cost, mean and z₁z₂-coefficient of a family of neurons, neuron by neuron; one neuron is a lemma.

    Steps: `cost LABEL`, `mean LABEL`, `pair LABEL`, each an equation whose left side is the given symbol.
    """
    parts = (
        ("cost", cost, family.cost(), "a neuron adds its own two blocks of the gradient, by neuron-cost"),
        ("mean", mean, family.a[j] * family.power_sum(2), "averages add up; for one neuron, second-moment"),
        ("pair", pair, family.a[j] * family.overlap(), "averages add up; for one neuron, pair-moment"),
    )
    for name, symbol, summand, because in parts:
        derivation.induction(
            f"{name} {label}".strip(),
            sp.Eq(symbol, family.total(summand)),
            because,
            initial={family.count: sp.S.Zero, symbol: sp.S.Zero},
            update={family.count: family.count + 1, symbol: symbol + summand.subs(j, family.count + 1)},
        )


@cache
def derive() -> Derivation:
    """Derive the trace formula and the two constraints of Γ for any d, any width."""
    derivation = Derivation("pair-language")
    _curvature(derivation)
    _gradient(derivation)
    _moments(derivation)
    add_network(derivation, "", Neurons(a, w, m), cost, mean, pair)
    derivation.define("trace", sp.Eq(trace, logistic_slope(alpha) * cost), "curvature: tr H = σ'(α) E‖∇f‖² on Γ")
    derivation.identity(
        "trace-formula",
        sp.Eq(trace, logistic_slope(alpha) * Neurons(a, w, m).total(Neurons(a, w, m).cost())),
        "tr H on Γ, in any dimension and at any width",
        given=("trace", "cost"),
    )
    return derivation.conclude("trace-formula", models())


def models() -> Iterator[Model]:
    """Networks at random points of Γ, with all quantities enumerated on the cube."""
    alpha = Fraction(3, 2)
    model = Model("4 neurons, d = 3", _of_network(alpha, on_gamma(alpha, (1, 2, -3), (Fraction(1, 2), (1, -1, 2)))))
    yield model
    off_gamma = Network([Fraction(1), Fraction(-3)], [[Fraction(1), Fraction(3)], [Fraction(2), Fraction(-1)]])
    yield Model("2 neurons, off Γ", _of_network(alpha, off_gamma))
    yield Model("3 neurons, d = 2", _of_network(alpha, on_gamma(alpha, (2, -2), (Fraction(-1, 3), (2, 1)))))
    yield model.control("saturation", "curvature", {probability: Fraction(1, 3)})
    yield model.control("cube", "weight-gradient", {token: [2, 2, 2]})


def _of_network(target: Fraction, net: Network) -> dict[Any, Any]:
    z = net.cube[1]
    return {
        d: len(z), m: len(net.heads), alpha: target, a: net.heads, w: net.weights, trace: net.trace(target),
        cost: net.squared_gradient(), mean: net.mean(net.output), pair: net.mean(lambda z: z[0] * z[1] * net.output(z)),
        **along_a_weight(target, net, z), **_of_one_neuron(net.heads[0], net.weights[0], z),
    }  # fmt: skip


def along_a_weight(target: Any, net: Network, z: Context) -> dict[Any, Any]:
    """Return f at a context along a weight of the first neuron, and the probability of the label 1."""
    slope, bend = list(net.along(z))[1]
    moved = net.output(z) + slope * coordinate + bend * coordinate**2
    return {along: sp.Lambda(coordinate, moved), coordinate: 0, probability: 1 / (1 + sp.exp(-target * z[0] * z[1]))}


def _of_one_neuron(a: Any, row: Sequence[Any], z: Context) -> dict[Any, Any]:
    one = Network([a], [row])
    others = list(itertools.product((1, -1), repeat=len(row) - 1))
    return {
        n: len(row), head: a, projection: dot(row, z), token: z,
        second: one.mean(lambda z: dot(row, z) ** 2), fourth: one.mean(lambda z: dot(row, z) ** 4), weights: row,
        patterns: len(others), S: [dot(row[:-1], signs) for signs in others], x: row[-1],
        R: [dot([*row[2:], 0], signs) for signs in others],
    }  # fmt: skip


def _curvature(derivation: Derivation) -> None:
    t, p, f = coordinate, probability, along(coordinate)
    loss = sp.log(1 + sp.exp(f)) - p * f
    derivation.assume("saturation", sp.Eq(p, logistic(f)), "θ ∈ Γ: the model's probability is the true one")
    derivation.identity(
        "curvature-anywhere",
        sp.Eq(sp.diff(loss, t, 2), logistic_slope(f) * sp.diff(f, t) ** 2 + (logistic(f) - p) * sp.diff(f, t, 2)),
        "cross-entropy of one context along any coordinate t of θ",
    )
    derivation.identity(
        "curvature",
        sp.Eq(sp.diff(loss, t, 2), logistic_slope(f) * sp.diff(f, t) ** 2),
        "on Γ the residual is 0, so tr H = E σ'(f) ‖∇f‖²",
        given=("saturation",),
    )
    derivation.identity(
        "even-slope",
        sp.Eq(logistic(-alpha) * (1 - logistic(-alpha)), logistic_slope(alpha)),
        "σ' is even, and f = ±α on Γ: the factor σ'(f) is the constant σ'(α)",
    )


def _gradient(derivation: Derivation) -> None:
    weight, rest = sp.symbols("w R", real=True)
    slope = sp.diff(head * (rest + weight * token[i]) ** 2, weight).subs(rest, projection - weight * token[i])
    derivation.assume("cube", sp.Eq(token[i] ** 2, 1), "contexts lie in {±1}^d")
    derivation.identity(
        "weight-gradient",
        sp.Eq(slope**2, 4 * head**2 * projection**2),
        "∂/∂w_i of a(R + w_i z_i)², where R = S − w_i z_i and S = w·z",
        given=("cube",),
    )
    derivation.identity(
        "weight-gradient-square",
        sp.Eq(sp.Sum(slope**2, (i, 1, n)), 4 * head**2 * projection**2 * n),
        "Σ_i (∂f/∂w_i)² over n coordinates",
        given=("weight-gradient",),
    )


def _moments(derivation: Derivation) -> None:
    K = patterns
    z1, z2 = sp.symbols("z_1 z_2", real=True)

    def average(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (c, 1, K)) / K

    def power_sum(power: int, top: sp.Expr = n) -> sp.Sum:
        return sp.Sum(weights[i] ** power, (i, 1, top))

    for power, name, rest in ((2, "second", x**2), (4, "fourth", 6 * x**2 * average(S[c] ** 2) + x**4)):
        derivation.identity(
            f"{name}-moment-update",
            sp.Eq(average(((S[c] + x) ** power + (S[c] - x) ** power) / 2), average(S[c] ** power) + rest),
            "one more coordinate: average over its sign, S_c being w·z on the K sign patterns of the others",
        )
    derivation.induction(
        "second-moment",
        sp.Eq(second, power_sum(2)),
        "E(w·z)² = Σ w_i², one coordinate at a time, by second-moment-update",
        initial={n: sp.S.Zero, second: sp.S.Zero},
        update={n: n + 1, second: second + weights[n + 1] ** 2},
    )
    derivation.induction(
        "fourth-moment",
        sp.Eq(fourth, 3 * power_sum(2) ** 2 - 2 * power_sum(4)),
        "E(w·z)⁴ = 3‖w‖⁴ − 2‖w‖₄⁴, one coordinate at a time, by fourth-moment-update and second-moment",
        initial={n: sp.S.Zero, fourth: sp.S.Zero},
        update={n: n + 1, fourth: fourth + 6 * weights[n + 1] ** 2 * power_sum(2) + weights[n + 1] ** 4},
    )
    derivation.identity(
        "neuron-cost",
        sp.Eq(
            fourth + 4 * n * head**2 * second,
            3 * power_sum(2) ** 2 - 2 * power_sum(4) + 4 * n * head**2 * power_sum(2),
        ),
        "E[(∂f/∂a)² + Σ_i(∂f/∂w_i)²] in n dimensions, the second part by weight-gradient-square",
        given=("second-moment", "fourth-moment"),
    )
    derivation.identity(
        "pair-moment",
        sp.Eq(
            average(over_signs(z1 * z2 * (weights[1] * z1 + weights[2] * z2 + R[c]) ** 2, z1, z2)),
            2 * weights[1] * weights[2],
        ),
        "E z₁z₂(w·z)², with R_c the part of w·z on the K sign patterns of the other coordinates",
    )
    for name, weight, value in (("target-mean", sp.S.One, sp.S.Zero), ("target-pair", z1 * z2, alpha)):
        derivation.identity(
            name,
            sp.Eq(over_signs(weight * alpha * z1 * z2, z1, z2), value),
            "coefficients of the target α z₁z₂: f = α z₁z₂ on the cube makes those of f the same",
        )
