r"""What the other minima cannot do: order d² labels are needed when the features favour no pair of coordinates.

A head predicts χ₁₂(z) = z₁z₂ from n labelled contexts by a function in an at most n-dimensional space V that depends
on the features and the contexts but not on the labels: the span of the kernel functions of the contexts, for
least-norm and ridge heads. If the joint law of features and contexts does not change when the d coordinates are
permuted, then, with the labels noiseless,

    E[test MSE] ≥ 1 − n / C(d, 2).

Take b_1 … b_n orthonormal that span V, or 0 beyond dim V, and t_jq = ⟨b_j, χ_q⟩ for the N = C(d, 2) products χ_q of
two coordinates, χ_1 = χ₁₂. The products are orthonormal, so 0 ≤ ‖b_j − Σ_q t_jq χ_q‖² = ‖b_j‖² − Σ_q t_jq² (Bessel)
and V captures at most n of their total energy N; by symmetry each of them gets the same share in expectation; what is
not captured is error (Pythagoras).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima.pair_language import over_signs
from theory.claims.transfer._cube_heads import Draw, average, cube, pair_products, relu_units
from theory.kernel import Derivation, Model, Terms, Termwise

n, d, pairs, draws, contexts = sp.symbols("n d N W K", integer=True, positive=True)
s, q, c, draw = sp.symbols("j q c omega", integer=True, positive=True)
product, basis, component, weight = (sp.IndexedBase(name, real=True) for name in ("chi", "b", "t", "w"))
"""χ_q and b_j at context c, t_jq, and the coefficient w_j of the prediction; all but χ depend on the draw ω."""
mse, share = sp.symbols("MSE e", real=True)
t, w, b, chi = component[draw, s, q], weight[draw, s], basis[draw, s, c], product[q, c]


def mean(expr: sp.Expr) -> sp.Expr:
    """Mean over the K contexts."""
    return sp.Sum(expr, (c, 1, contexts)) / contexts


def over_pairs(expr: sp.Expr) -> sp.Expr:
    """Σ over the pairs of coordinates."""
    return sp.Sum(expr, (q, 1, pairs))


def over_basis(expr: sp.Expr) -> sp.Expr:
    """Σ over the basis of V."""
    return sp.Sum(expr, (s, 1, n))


def over_draws(expr: sp.Expr) -> sp.Expr:
    """Σ over the W equally likely draws of features and contexts."""
    return sp.Sum(expr, (draw, 1, draws))


def derive() -> Derivation:
    """Derive the bound on the expected error of any such head."""
    derivation = Derivation("transfer-bound")
    derivation.define("pairs", sp.Eq(pairs, d * (d - 1) / 2), "pairs of coordinates")
    _setting(derivation)
    _bessel(derivation)
    _pythagoras(derivation)
    _symmetry(derivation)
    return derivation.conclude("bound", models())


def models() -> Iterator[Model]:
    """Ridge heads on features of the cube, over rotations of the coordinates; the basis by Gram–Schmidt."""
    orders, one = [(0, 1, 2), (1, 2, 0), (2, 0, 1)], (1, -1, -1)
    pair_heads = [Draw.of(pair_products, [one], order, sp.S.Zero) for order in orders[:2]]
    model = Model("d = 3, features z_i z_j, one label", _system(pair_heads))
    yield model
    seen, half = [(1, 1, 1), (1, 1, -1)], sp.Rational(1, 2)
    relu_heads = [Draw.of(relu_units, seen, order, half) for order in orders]
    yield Model("d = 3, two relu units, two labels", _system(relu_heads))
    twice = [Draw.of(relu_units, [one, one], order, half) for order in orders]
    yield Model("d = 3, two relu units, one context twice", _system(twice))
    halved = [[[x / 2 for x in member] for member in each] for each in model.values[component]]
    yield model.control("components", "removal", {component: halved})
    long = [Draw([[2 * x for x in member] for member in head.basis], head.weights) for head in pair_heads]
    yield model.control("unit", "bessel", _system(long))
    yield model.control("basis", "pythagoras", _system(long))
    products = model.values[product]
    yield model.control("orthonormal", "removal", _system(pair_heads, [products[0], *products[:2]]))
    yield model.control("target", "pythagoras", _system(pair_heads, [[2 * x for x in products[0]], *products[1:]]))
    favourite = [Draw.of(lambda z: [z[0] * z[1]], [one], orders[0], sp.S.Zero)]
    yield model.control("exchangeable", "shares", _system(favourite), "the feature z_1 z_2 alone")


def _system(heads: Sequence[Draw], products: Sequence[list[Any]] = ()) -> dict[Any, Any]:
    """Values of all symbols for some draws of features and contexts on the cube of three signs."""
    points = cube(3)
    products = products or [list(values) for values in zip(*map(pair_products, points), strict=True)]
    return {
        d: 3, n: len(heads[0].basis), draws: len(heads), contexts: len(points), draw: len(heads),
        s: range(1, len(heads[0].basis) + 1), q: range(1, 4), product: products,
        basis: [head.basis for head in heads], weight: [head.weights for head in heads],
        component: [[[average(member, each) for each in products] for member in head.basis] for head in heads],
    }  # fmt: skip


def _setting(derivation: Derivation) -> None:
    """Add that products of two coordinates are orthonormal, and what V, its basis and the prediction are."""
    z = sp.symbols("z_1:5", real=True)
    for name, first, second, value in (
        ("same pair", (0, 1), (0, 1), 1),
        ("one coordinate shared", (0, 1), (0, 2), 0),
        ("no coordinate shared", (0, 1), (2, 3), 0),
    ):
        used = [z[place] for place in sorted({*first, *second})]
        signs = z[first[0]] * z[first[1]] * z[second[0]] * z[second[1]]
        derivation.identity(
            name,
            sp.Eq(over_signs(signs, *used), value),
            "E χ_S χ_S' over the coordinates of S and S', in any dimension: two pairs share 2, 1 or 0 coordinates",
        )
    derivation.assume(
        "orthonormal",
        sp.Eq(mean(over_pairs(t * chi) ** 2), over_pairs(t**2)),
        "contexts uniform on the cube: a combination of products has the length of its coefficients, as they are "
        "orthonormal",
    )
    derivation.assume("target", sp.Eq(mean(product[1, c] ** 2), 1), "χ₁₂ is ±1")
    derivation.assume("components", sp.Eq(mean(b * chi), t), "t_jq is the component of b_j along χ_q")
    derivation.assume(
        "unit", sp.Eq(mean(b**2) ** 2, mean(b**2)), "b_j has length 1, or 0 if V has fewer than j dimensions"
    )
    derivation.assume(
        "basis",
        sp.Eq(mean(over_basis(w * b) ** 2), over_basis(w**2)),
        "the prediction lies in V: it is Σ_j w_j b_j, with as much length as its coefficients, b being orthonormal",
    )


def _bessel(derivation: Derivation) -> None:
    rest = mean((b - over_pairs(t * chi)) ** 2)
    derivation.identity(
        "square",
        sp.Eq(rest, mean(b**2) - 2 * over_pairs(t * mean(b * chi)) + mean(over_pairs(t * chi) ** 2)),
        "squared length of what is left of b_j when its components along the products are taken off",
    )
    derivation.identity(
        "removal",
        sp.Eq(rest, mean(b**2) - over_pairs(t**2)),
        "its squared length falls by Σ_q t_jq²",
        given=("square", "orthonormal", "components"),
    )
    derivation.identity(
        "captured", sp.Eq(over_pairs(t**2), mean(b**2) - rest), "what the products capture", given=("removal",)
    )
    length = mean(b**2)
    derivation.inequality("defect", sp.Ge(1 - 2 * length + length**2, 0), "(1 − ‖b_j‖²)²", Terms(((1 - length) ** 2,)))
    derivation.inequality(
        "length",
        sp.Ge(1 - length, 0),
        "0 and 1 are at most 1",
        Terms(using={"defect": sp.S.One}),
        given=("unit",),
    )
    derivation.inequality(
        "bessel",
        sp.Ge(1, over_pairs(t**2), evaluate=False),
        "a squared length is nonnegative",
        Terms((rest, 1 - length)),
        given=("captured", "length"),
    )
    derivation.inequality(
        "bessel-basis",
        sp.Ge(n, over_basis(over_pairs(t**2))),
        "sum over the basis of V",
        Termwise("bessel", s, sp.S.One, n, {}),
    )
    derivation.inequality(
        "bessel-sum",
        sp.Ge(over_draws(n), over_draws(over_basis(over_pairs(t**2)))),
        "sum over draws",
        Termwise("bessel-basis", draw, sp.S.One, draws, {}),
    )


def _pythagoras(derivation: Derivation) -> None:
    first = t.subs(q, 1)
    captured = over_basis(first**2)
    error = mean((product[1, c] - over_basis(w * b)) ** 2)
    missed = over_basis((first - w) ** 2)
    derivation.identity(
        "component", sp.Eq(2 * mean(b * chi), 2 * t), "twice the component, for every q", given=("components",)
    )
    derivation.instance("first component", "component", {q: sp.S.One}, "that along χ₁₂")
    derivation.identity(
        "expansion",
        sp.Eq(
            error,
            mean(product[1, c] ** 2)
            - over_basis(w * (2 * mean(basis[draw, s, c] * product[1, c])))
            + mean(over_basis(w * b) ** 2),
        ),
        "squared error of the prediction, over all contexts",
    )
    derivation.identity(
        "pythagoras",
        sp.Eq(error, 1 - captured + missed),
        "what V captures of χ₁₂ and what the weights miss of that",
        given=("expansion", "target", "basis", "first component"),
    )
    derivation.inequality(
        "error",
        sp.Ge(error, 1 - captured),
        "what V does not capture is error, however the labels are used; equality for the projection, w = t",
        Terms((missed,)),
        given=("pythagoras",),
    )
    derivation.inequality(
        "errors",
        sp.Ge(over_draws(error), over_draws(1 - captured)),
        "sum over equally likely draws of features and contexts",
        Termwise("error", draw, sp.S.One, draws, {}),
    )
    derivation.define("mse", sp.Eq(mse, over_draws(error) / draws), "E[test MSE]")
    derivation.define("share", sp.Eq(share, over_draws(captured) / draws), "expected energy of χ₁₂ captured by V")
    derivation.inequality(
        "expected-error",
        sp.Ge(mse, 1 - share),
        "divide by the number of draws",
        Terms(using={"errors": 1 / draws}),
        given=("mse", "share"),
    )


def _symmetry(derivation: Derivation) -> None:
    energy = over_draws(over_basis(t**2))
    derivation.assume(
        "exchangeable",
        sp.Eq(energy, over_draws(over_basis(t.subs(q, 1) ** 2))),
        "permuting coordinates takes {1, 2} to any pair and keeps the law of features and contexts: every pair has the "
        "expected captured energy of {1, 2}",
    )
    derivation.identity(
        "pair by pair",
        sp.Eq(over_draws(over_basis(over_pairs(t**2))), over_pairs(energy)),
        "the captured energy is that of all pairs",
    )
    derivation.identity(
        "shares",
        sp.Eq(over_pairs(energy), draws * pairs * share),
        "N equal shares",
        given=("exchangeable", "share"),
    )
    derivation.inequality(
        "fair-share",
        sp.Ge(n, pairs * share),
        "N equal shares of at most n",
        Terms(using={"bessel-sum": 1 / draws}),
        given=("pair by pair", "shares"),
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
