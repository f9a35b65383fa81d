r"""The flattest pair model transfers: n labels make a linear head exact with probability 1 − 2^{1−n}.

At the flattest minimum a hidden unit (w_j·z)² is a multiple of 1{z₁z₂ = 1} or of 1{z₁z₂ = −1}: the features of a
context are p_1…p_k on the units of its own class and 0 on those of the other. The downstream task is to tell z₁z₂
from n contexts with their labels, by the head of least norm among those that fit (no intercept).

On a class that was seen the head is ±p/‖p‖² and its value ±1 is exact; on a class that was not seen the head is 0 and
so is its value. Among the 2ⁿ equally likely label sequences 2ⁿ − 2 contain both classes, so

    Pr(exact) = 1 − 2^{1−n},   expected accuracy = 1 − 2^{−n} when the unseen class counts as wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import flattest_pairs
from theory.claims.minima.pair_language import over_signs
from theory.kernel import Derivation, Model, Terms

n, k, l = sp.symbols("n k l", integer=True, positive=True)  # noqa: E741 - the name used in the paper note
unit = sp.Symbol("j", integer=True, positive=True)
features, head, other = (sp.IndexedBase(name, real=True) for name in "phg")
z1, z2, size, label = sp.symbols("z_1 z_2 s y", real=True)
both = sp.Symbol("N_both", integer=True, nonnegative=True)


def derive() -> Derivation:
    """Derive the features, the head, and the two probabilities."""
    derivation = Derivation("transfer-pairs")
    flattest = flattest_pairs.CLAIM.derivation
    derivation.lemma("flattest", flattest, "flattest", "its cases of equality are the networks below")
    derivation.lemma("flattest-network", flattest, "attained-function", "the networks whose features are read")
    _features(derivation)
    _head(derivation)
    _counting(derivation)
    return derivation.conclude("exact", models())


def models() -> Iterator[Model]:
    """A flattest network and another on Γ of unequal units, heads fitted to one class, all sequences of labels."""
    root = sp.cbrt(2)
    flattest = _fitted([1, 1, -root], [[1, 1], [1, 1], [root, -root]], 3, 0)
    yield Model("the flattest 2 + 1 neurons, d = 2, 3 labels", flattest)
    unequal = _fitted([1, sp.Rational(1, 4), -1, -1], [[1, 1], [2, 2], [1, -1], [1, -1]], 2, 1)
    yield Model("2 + 2 neurons of one class each, 2 labels, another head", unequal)


def _fitted(heads: list[Any], weights: list[list[Any]], labels: int, shift: int) -> dict[Any, Any]:
    """Features of a network on z = (1, 1), a head that fits the label −1 there, and how often both classes are seen."""
    on_plus = [sum(w) ** 2 for a, w in zip(heads, weights, strict=True) if a > 0]
    seen = sp.Matrix([on_plus])
    fitted = -seen.T * (seen * seen.T).inv() + shift * seen.nullspace()[0]
    sequences = itertools.product((-1, 1), repeat=labels)
    return {
        **flattest_pairs.of_weights(8, heads, weights), features: on_plus, head: list(fitted), label: -1,
        size: weights[0][0],
        other: [sp.Rational(1, 3)] * (len(heads) - len(on_plus)), z1: [1, -1], z2: [1, -1],
        n: labels, both: sum(len(set(sequence)) == 2 for sequence in sequences),
    }  # fmt: skip


def _features(derivation: Derivation) -> None:
    for sign, name in ((1, "plus"), (-1, "minus")):
        derivation.identity(
            f"feature-{name}",
            sp.Eq(
                (size * z1 + sign * size * z2) ** 2,
                2 * size**2 * (1 + sign * z1 * z2) + size**2 * (z1**2 - 1) + size**2 * (z2**2 - 1),
            ),
            f"on the cube z_i² = 1: (w·z)² is 4s² where z₁z₂ = {sign} and 0 elsewhere",
        )
    derivation.enumeration(
        "exclusive",
        sp.Eq((z1 + z2) ** 2 * (z1 - z2) ** 2, 0),
        "no context activates units of both classes",
        [{z1: first, z2: second} for first in (-1, 1) for second in (-1, 1)],
    )
    derivation.identity(
        "balanced",
        sp.Eq(over_signs((1 + z1 * z2) / 2, z1, z2), sp.Rational(1, 2)),
        "half of all contexts have z₁z₂ = 1",
    )


def _head(derivation: Derivation) -> None:
    square, value = sp.Symbol("P", positive=True), sp.Symbol("v", real=True)
    derivation.define(
        "square",
        sp.Eq(square, sp.Sum(features[unit] ** 2, (unit, 1, k))),
        "squared length of the features of a class on its own units, not 0",
    )
    derivation.define(
        "value",
        sp.Eq(value, sp.Sum(head[unit] * features[unit], (unit, 1, k))),
        "value of the head h on that class: only its own k units count (exclusive)",
    )
    derivation.inequality(
        "least-norm",
        sp.Ge(sp.Sum(head[unit] ** 2, (unit, 1, k)), value**2 / square),
        "Cauchy–Schwarz: a head of value v has this norm at least, and equality only for h = v p/P",
        Terms((sp.Sum((head[unit] - features[unit] * value / square) ** 2, (unit, 1, k)),)),
        given=("square", "value"),
    )
    derivation.identity(
        "seen",
        sp.Eq(sp.Sum(label * features[unit] / square * features[unit], (unit, 1, k)), label),
        "a class that was seen with label y: h = y p/P fits all its contexts, seen or not",
        given=("square",),
    )
    derivation.inequality(
        "unseen",
        sp.Ge(
            sp.Sum(head[unit] ** 2, (unit, 1, k)) + sp.Sum(other[unit] ** 2, (unit, 1, l)),
            sp.Sum(head[unit] ** 2, (unit, 1, k)),
            evaluate=False,
        ),
        "a class that was not seen asks nothing: least norm sets the head to 0 on its l units, and its value is 0 ≠ y",
        Terms((sp.Sum(other[unit] ** 2, (unit, 1, l)),)),
    )


def _counting(derivation: Derivation) -> None:
    derivation.induction(
        "both-seen",
        sp.Eq(both, 2**n - 2),
        "label sequences with both classes: each such sequence goes on with either label, each of the 2 constant "
        "sequences with the other label (balanced)",
        initial={n: sp.S.One, both: sp.S.Zero},
        update={n: n + 1, both: 2 * both + 2},
    )
    derivation.identity(
        "accuracy",
        sp.Eq(both / 2**n + (1 - both / 2**n) / 2, 1 - 2**-n),
        "accuracy is 1 when both classes were seen (seen) and ½ otherwise (unseen), the unseen half counting as wrong",
        given=("both-seen",),
    )
    derivation.identity(
        "exact",
        sp.Eq(both / 2**n, 1 - 2 ** (1 - n)),
        "the head is exact if and only if both classes were seen (seen, unseen, least-norm, exclusive); all 2ⁿ label "
        "sequences are equally likely",
        given=("both-seen",),
    )


LABELS = Parameter("n", n, "number of labelled contexts", minimum=1, step=1)


CLAIM = Claim(
    id="transfer-pairs",
    place=1,
    title="The flattest pair model transfers from a handful of labels",
    statement=r"\Pr(\text{the least-norm head on } n \text{ labels is exact}) = 1 - 2^{1-n};\quad "
    r"\mathbb{E}\,\text{accuracy} = 1 - 2^{-n}",
    hypotheses=(
        "features (w_j·z)² of a flattest minimum of the pair language, m ≥ 2, any d ≥ 2",
        "n ≥ 1 independent uniform contexts, labelled z₁z₂ without noise; no intercept",
        "head of least norm among those that fit; accuracy counts the value 0 as wrong",
    ),
    uses=("flattest-pairs",),
    source="ours; counterpart of the transfer part of paper Theorem 6.1 (second-hand)",
    derive=derive,
    formulas={
        "": closed_form("exact", "probability that the head is exact", LABELS),
        "accuracy": closed_form("accuracy", "expected accuracy of the head", LABELS),
    },
)
