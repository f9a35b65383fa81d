r"""What a class of neurons of the pair model costs, at least: the dual certificate of the flattest minimum.

A neuron a (w·z)² has the coefficients a·x of 1 and a·g of z₁z₂, with x = ‖w‖² and g = 2w₁w₂. It costs at least
x² + g² + 4 d a² x, and at every price κ > 0 that is at least a linear functional of its coefficients,

    x² + g² + 4 d a² x ≥ 2κ a (3x + g) − 2κ⁴/d²,   equality iff g = x = κ²/d and a = κ/d,

because x + 2κ²/d times the gap is a sum of nonnegative terms, as |g| ≤ x. Summed over the class,

    cost ≥ 2κ (3·mean + pair) − 2·count·κ⁴/d²   and   mean ≥ pair.

Neurons with a head weight of the other sign obey the same with −a and −g.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sympy as sp

from theory.claims.minima import pair_language
from theory.claims.minima._pair_networks import Network
from theory.claims.minima.pair_language import Neurons, alpha, d, i, j, n
from theory.kernel import Derivation, Model, Terms, Termwise

h = alpha / 2
third = sp.Rational(1, 3)
ALONG, ACROSS = sp.symbols("q_plus q_minus", nonnegative=True)
"""‖w‖² + 2w₁w₂ and ‖w‖² − 2w₁w₂ of one neuron."""
NORM, OVERLAP = (ALONG + ACROSS) / 2, (ALONG - ACROSS) / 2
PRICE, HEAD = sp.Symbol("kappa", positive=True), sp.Symbol("a", real=True)


@dataclass(frozen=True)
class Side:
    """One class of neurons: those with head weight sign·a_j, a_j ≥ 0, and what it adds to cost and coefficients."""

    label: str
    sign: int
    family: Neurons
    price: sp.Symbol
    cost: sp.Symbol
    mean: sp.Symbol
    pair: sp.Symbol

    @property
    def best_price(self) -> sp.Expr:
        """(d²h/count)^{1/3}."""
        return (d**2 * h / self.family.count) ** third

    def gain(self) -> sp.Expr:
        """Overlap of neuron j counted towards its class: +g for a > 0, −g for a < 0."""
        return self.sign * self.family.overlap()


def _side(label: str, sign: int, letters: str, count: sp.Symbol) -> Side:
    head, weights = (sp.IndexedBase(letter, real=True) for letter in letters)
    names = [sp.Symbol(f"{name}_{label}", real=True) for name in ("C", "S", "G")]
    return Side(label, sign, Neurons(head, weights, count), sp.Symbol(f"kappa_{label}", positive=True), *names)


PLUS = _side("plus", 1, "aw", sp.Symbol("k", integer=True, positive=True))
MINUS = _side("minus", -1, "bv", sp.Symbol("l", integer=True, positive=True))


@cache
def derive(side: Side) -> Derivation:
    """Derive both inequalities of one class: `class LABEL` and `cap LABEL`."""
    derivation = Derivation(f"pair-class-{side.label}")
    moments = pair_language.derive()
    for step in ("neuron-cost", "second-moment", "pair-moment"):
        derivation.lemma(step, moments, step)
    _one_neuron(derivation)
    _one_class(derivation, side)
    _class_in_symbols(derivation, side)
    return derivation.conclude(f"class {side.label}", models(side))


def models(side: Side) -> Iterator[Model]:
    """Two neurons of the class at random, and two of the flattest network at α = 8, d = 2 with κ = 2."""
    family = side.family
    heads, weights = [Fraction(1, 2), Fraction(3)], [[Fraction(2), 3 * side.sign, 1], [Fraction(1, 3), 0, -1]]
    model = Model("2 neurons, d = 3", {j: [1, 2], n: 1, side.price: Fraction(3, 2), **of_class(side, heads, weights)})
    yield model
    equal = of_class(side, [1, 1], [[1, side.sign], [1, side.sign]])
    yield Model("2 flattest neurons, d = 2", {j: [1, 2], n: 0, side.price: 2, **equal})
    yield model.control("dimension", "sum 2", {d: 1})
    yield model.control(f"head {side.label}", "overlap", {family.a: [-1, -1]})


def of_class(side: Side, heads: Sequence[Any], weights: Sequence[Sequence[Any]]) -> dict[Any, Any]:
    """What the symbols of a class stand for, its head weights being ± `heads`."""
    net = Network(heads, weights)
    return {
        d: len(weights[0]), side.family.count: len(heads), side.family.a: heads, side.family.w: weights,
        side.cost: net.squared_gradient(), side.mean: net.mean(net.output),
        side.pair: net.mean(lambda z: z[0] * z[1] * net.output(z)),
    }  # fmt: skip


def dual_certificate() -> Terms:
    """The gap of `dual` as nonnegative terms; all vanish only for x = g = κ²/d and a = κ/d."""
    u, v, kappa = ALONG, ACROSS, PRICE
    off_head, off_norm = HEAD - kappa / d, u - 2 * kappa**2 / d
    terms = (
        d * ((u + v) * off_head + kappa * v / (2 * d)) ** 2,
        u * (2 * kappa * off_head + v / 2) ** 2,
        v * (2 * kappa * off_head - off_norm / 2) ** 2,
        u * off_norm**2 / 4,
        kappa**2 / d * off_norm**2,
        3 * kappa**2 / (4 * d) * v**2,
        v**3 / 4,
    )
    return Terms(tuple(term / (NORM + 2 * kappa**2 / d) for term in terms))


def _one_neuron(derivation: Derivation) -> None:
    derivation.inequality(
        "dual",
        sp.Ge(
            NORM**2 + OVERLAP**2 + 4 * d * HEAD**2 * NORM,
            2 * PRICE * HEAD * (3 * NORM + OVERLAP) - 2 * PRICE**4 / d**2,
        ),
        "x² + g² + 4da²x against its price, times x + 2κ²/d: a sum of squares with multipliers x ± g ≥ 0",
        dual_certificate(),
    )


def _one_class(derivation: Derivation, side: Side) -> None:
    """Bound the cost of a class by its coefficients, at any price κ."""
    family, kappa = side.family, side.price
    weights, head = family.w, family.a
    x, gain = family.power_sum(2), side.gain()
    rest_squares, rest_quartics = (sp.Sum(weights[j, i] ** power, (i, 3, d)) for power in (2, 4))
    derivation.assume("dimension", sp.Ge(d, 2), "there are two coordinates to depend on")
    beyond = {n: d - 2}
    for power, rest in ((2, rest_squares), (4, rest_quartics)):
        lead = weights[j, 1] ** power + weights[j, 2] ** power
        derivation.identity(
            f"two-and-rest {power}",
            sp.Eq(sp.Sum(weights[j, i] ** power, (i, 1, n + 2)), lead + rest.subs(d, n + 2)),
            "the first two coordinates and the n others",
        )
        derivation.instance(f"sum {power}", f"two-and-rest {power}", beyond, "n = d − 2", ("dimension",))
    running = {power: rest.subs(d, n + 2) for power, rest in ((2, rest_squares), (4, rest_quartics))}
    derivation.induction(
        "rest-any",
        sp.Ge(running[2] ** 2, running[4]),
        "(Σ w_i²)² ≥ Σ w_i⁴ over the n other coordinates: each adds a product of squares",
        initial={n: sp.S.Zero},
        update={n: n + 1},
        certificate=Terms((2 * weights[j, n + 3] ** 2 * running[2],), using={"previous": sp.S.One}),
    )
    derivation.instance("rest", "rest-any", beyond, "n = d − 2", ("dimension",))
    split = ("sum 2", "sum 4")
    derivation.inequality(
        "spread",
        sp.Ge(3 * x**2 - 2 * family.power_sum(4), x**2 + gain**2),
        "mass beyond the first two coordinates only costs",
        Terms((4 * (weights[j, 1] ** 2 + weights[j, 2] ** 2) * rest_squares,), using={"rest": sp.Integer(2)}),
        given=split,
    )
    for name, sign in (("low", 1), ("high", -1)):
        square = (weights[j, 1] + sign * side.sign * weights[j, 2]) ** 2
        derivation.inequality(
            f"overlap {name}",
            sp.Ge(x + sign * gain, 0),
            "(w₁ ± w₂)² and the other squares",
            Terms((square, rest_squares)),
            given=split[:1],
        )
    derivation.assume(
        f"head {side.label}", sp.Ge(head[j], 0), "a neuron of the class has a head of its sign: this is its modulus"
    )
    derivation.instance(
        "dual here",
        "dual",
        {ALONG: x + gain, ACROSS: x - gain, HEAD: head[j], PRICE: kappa},
        "at the price of this class",
        ("overlap low", "overlap high"),
    )
    functional = 2 * kappa * head[j] * (3 * x + gain) - 2 * kappa**4 / d**2
    derivation.inequality(
        "neuron",
        sp.Ge(family.cost(), functional),
        "one neuron, by its two coefficients",
        Terms(using={"spread": sp.S.One, "dual here": sp.S.One}),
    )
    derivation.inequality(
        "neurons",
        sp.Ge(family.total(family.cost()), family.total(functional)),
        "sum over the class",
        Termwise("neuron", j, sp.S.One, family.count, {}),
    )
    derivation.inequality(
        "overlap",
        sp.Ge(head[j] * x - head[j] * gain, 0),
        "a neuron's part in z₁z₂ is at most its part in the mean",
        Terms((head[j] * (x - gain),)),
        given=(f"head {side.label}", "overlap high"),
    )
    derivation.inequality(
        "overlaps",
        sp.Ge(family.total(head[j] * x), family.total(head[j] * gain)),
        "sum over the class",
        Termwise("overlap", j, sp.S.One, family.count, {}),
    )


def _class_in_symbols(derivation: Derivation, side: Side) -> None:
    """Restate the class's two inequalities for its cost, mean and z₁z₂-coefficient."""
    label, kappa, count = side.label, side.price, side.family.count
    pair_language.add_network(derivation, label, side.family, side.cost, side.mean, side.pair)
    totals = (f"cost {label}", f"mean {label}", f"pair {label}")
    derivation.inequality(
        f"class {label}",
        sp.Ge(side.cost, 2 * kappa * (3 * side.mean + side.sign * side.pair) - 2 * count * kappa**4 / d**2),
        "cost of the class by its two coefficients, at the price κ of the class",
        Terms(using={"neurons": sp.S.One}),
        given=totals,
    )
    derivation.inequality(
        f"cap {label}",
        sp.Ge(side.mean, side.sign * side.pair),
        "the class adds no more to z₁z₂ than to the mean",
        Terms(using={"overlaps": sp.S.One}),
        given=totals[1:],
    )
