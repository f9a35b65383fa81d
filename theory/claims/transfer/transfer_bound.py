r"""What the other minima cannot do: order d² labels are needed when the features favour no pair of coordinates.

A head predicts χ₁₂(z) = z₁z₂ from n labelled contexts by a function in an at most n-dimensional space V that depends
on the features and the contexts but not on the labels: the span of the kernel functions of the contexts, for
least-norm and ridge heads. If the joint law of features and contexts does not change when the d coordinates are
permuted, then, with the labels noiseless,

    E[test MSE] ≥ 1 − n / C(d, 2).

The C(d, 2) products χ_S = z_i z_j are orthonormal, so V captures at most dim V ≤ n of their total energy C(d, 2)
(Bessel), and by symmetry each of them gets the same share in expectation; what is not captured is error (Pythagoras).
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima.pair_language import over_signs
from theory.kernel import Derivation, Terms, Termwise

n, d, dimension, pairs, draws = sp.symbols("n d nu N W", integer=True, positive=True)
s, q, draw = sp.symbols("j q omega", integer=True, positive=True)
target, weight = (sp.IndexedBase(name, real=True) for name in "tw")
captured = sp.IndexedBase("E", nonnegative=True)
error, residual = (sp.IndexedBase(name, real=True) for name in ("rho", "epsilon"))
mse, share = sp.symbols("MSE e", real=True)


def derive() -> Derivation:
    """Derive the bound on the expected error of any such head."""
    derivation = Derivation("transfer-bound")
    derivation.define("pairs", sp.Eq(pairs, d * (d - 1) / 2), "pairs of coordinates")
    _orthonormal(derivation)
    _pythagoras(derivation)
    _bessel(derivation)
    _symmetry(derivation)
    return derivation.conclude("bound")


def _orthonormal(derivation: Derivation) -> None:
    z = sp.symbols("z_1:5", real=True)
    for name, first, second, value in (
        ("same pair", (0, 1), (0, 1), 1),
        ("one coordinate shared", (0, 1), (0, 2), 0),
        ("no coordinate shared", (0, 1), (2, 3), 0),
    ):
        used = [z[place] for place in sorted({*first, *second})]
        product = z[first[0]] * z[first[1]] * z[second[0]] * z[second[1]]
        derivation.identity(
            name,
            sp.Eq(over_signs(product, *used), value),
            "E χ_S χ_S' over the coordinates of S and S', in any dimension: two pairs share 2, 1 or 0 coordinates",
        )
    c, K = sp.symbols("c K", integer=True, positive=True)
    rest, unit = (sp.IndexedBase(name, real=True) for name in "rb")
    h, t = sp.symbols("w t", real=True)

    def mean(expr: sp.Expr) -> sp.Expr:
        return sp.Sum(expr, (c, 1, K)) / K

    derivation.identity(
        "expansion",
        sp.Eq(
            mean((rest[c] - h * unit[c]) ** 2),
            mean(rest[c] ** 2) - 2 * h * mean(rest[c] * unit[c]) + h**2 * mean(unit[c] ** 2),
        ),
        "taking w·b off a function r, over the K contexts",
    )
    derivation.assume("unit-length", sp.Eq(mean(unit[c] ** 2), 1), "b is one of an orthonormal family")
    derivation.assume("component", sp.Eq(mean(rest[c] * unit[c]), t), "t is the component of r along b")
    derivation.identity(
        "removal",
        sp.Eq(
            mean(rest[c] ** 2) - 2 * h * mean(rest[c] * unit[c]) + h**2 * mean(unit[c] ** 2),
            mean(rest[c] ** 2) - t**2 + (h - t) ** 2,
        ),
        "so the squared length falls by t², up to (w − t)²",
        given=("unit-length", "component"),
    )
    member = sp.IndexedBase("g", real=True)
    derivation.assume("orthogonal", sp.Eq(mean(unit[c] * member[c]), 0), "g is another one of the family")
    derivation.identity(
        "others",
        sp.Eq(mean(rest[c] * member[c]) - h * mean(unit[c] * member[c]), mean(rest[c] * member[c])),
        "components along the rest of the family stay as they were",
        given=("orthogonal",),
    )


def _pythagoras(derivation: Derivation) -> None:
    t, h = target[draw, s], weight[draw, s]
    total, missed = (sp.Sum(term, (s, 1, dimension)) for term in (t**2, (h - t) ** 2))
    more = {s: dimension + 1}
    derivation.induction(
        "pythagoras",
        sp.Eq(error[draw], 1 - total + missed),
        "error of the prediction Σ w_j b_j of χ₁₂, b_j an orthonormal basis of V: χ₁₂ has length 1; remove b_j by b_j",
        initial={dimension: sp.S.Zero, error[draw]: sp.S.One},
        update={
            dimension: dimension + 1,
            error[draw]: error[draw] - t.subs(more) ** 2 + (h.subs(more) - t.subs(more)) ** 2,
        },
    )
    derivation.inequality(
        "error",
        sp.Ge(error[draw], 1 - total),
        "what V does not capture is error, however the labels are used; equality for the projection, w = t",
        Terms((missed,)),
        given=("pythagoras",),
    )
    derivation.inequality(
        "errors",
        sp.Ge(sp.Sum(error[draw], (draw, 1, draws)), sp.Sum(1 - total, (draw, 1, draws))),
        "sum over equally likely draws of features and contexts",
        Termwise("error", draw, sp.S.One, draws, {}),
    )
    derivation.define("mse", sp.Eq(mse, sp.Sum(error[draw], (draw, 1, draws)) / draws), "E[test MSE]")
    derivation.define(
        "share",
        sp.Eq(share, sp.Sum(total, (draw, 1, draws)) / draws),
        "expected energy of χ₁₂ captured by V",
    )
    derivation.inequality(
        "expected-error",
        sp.Ge(mse, 1 - share),
        "divide by the number of draws",
        Terms(using={"errors": 1 / draws}),
        given=("mse", "share"),
    )


def _bessel(derivation: Derivation) -> None:
    total = sp.Sum(captured[draw, q], (q, 1, pairs))
    derivation.induction(
        "captured",
        sp.Eq(residual[draw], dimension - total),
        "squared lengths of b_1…b_ν, ν in all, after the components along the χ_S are removed pair by pair: "
        "E_S = Σ_s ⟨b_j, χ_S⟩² goes with each",
        initial={pairs: sp.S.Zero, residual[draw]: dimension},
        update={pairs: pairs + 1, residual[draw]: residual[draw] - captured[draw, pairs + 1]},
    )
    derivation.assume("dimension", sp.Le(dimension, n), "V is spanned by n functions, one for each labelled context")
    derivation.assume("square", sp.Ge(residual[draw], 0), "a sum of squared lengths")
    derivation.inequality(
        "bessel",
        sp.Ge(n, total),
        "Bessel: squared lengths stay nonnegative",
        Terms((n - dimension, residual[draw])),
        given=("captured", "dimension", "square"),
    )
    derivation.inequality(
        "bessel-sum",
        sp.Ge(sp.Sum(n, (draw, 1, draws)), sp.Sum(total, (draw, 1, draws))),
        "sum over draws",
        Termwise("bessel", draw, sp.S.One, draws, {}),
    )


def _symmetry(derivation: Derivation) -> None:
    total = sp.Sum(sp.Sum(captured[draw, q], (q, 1, pairs)), (draw, 1, draws))
    derivation.assume(
        "exchangeable",
        sp.Eq(total, draws * pairs * share),
        "permuting coordinates takes {1, 2} to any pair and keeps the law of features and contexts: every pair has the "
        "expected captured energy of {1, 2}",
    )
    derivation.inequality(
        "fair-share",
        sp.Ge(n, pairs * share),
        "N equal shares of at most n",
        Terms(using={"bessel-sum": 1 / draws}),
        given=("exchangeable",),
    )
    derivation.inequality(
        "bound",
        sp.Ge(mse, 1 - n / (d * (d - 1) / 2)),
        "at most n of the C(d, 2) products can be captured, and none is preferred",
        Terms(using={"expected-error": sp.S.One, "fair-share": 1 / pairs}),
        given=("pairs",),
    )


CLAIM = Claim(
    id="transfer-bound",
    place=3,
    title="Features that favour no pair of coordinates need order d² labels",
    statement=r"\mathbb{E}[\text{test MSE}] \ge 1 - n\big/\tbinom{d}{2}",
    hypotheses=(
        "contexts uniform on {±1}^d, d ≥ 2; target z₁z₂ without noise; test error over all contexts",
        "the joint law of features and of the n contexts is invariant under permutations of the coordinates",
        "the prediction lies in the span of n functions that depend on features and contexts, not on labels",
    ),
    uses=(),
    source="ours",
    derive=derive,
    formulas={
        "": closed_form(
            "bound",
            "least expected test MSE",
            Parameter("n", n, "number of labelled contexts", minimum=1, step=1),
            Parameter("d", d, "number of coordinates", minimum=2, step=1),
        )
    },
)
