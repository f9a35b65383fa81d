r"""Transfer from the flattest bracket predictor: n labels suffice with probability exactly 1 − 2^{−n}.

Downstream sequences are uniform on {x ∈ {±1}^T : Σx = ±2}, unmasked, with the label 1{Σx > 0}. The flattest net has w_j
= −κ_j(1, …, 1) for a_j > 0 and w_j = κ_j(1, …, 1) for a_j < 0 (`flattest-brackets`), so its features φ_j(x) =
relu(w_j·x) are 2κ_j on one group of neurons and 0 on the other: two orthogonal vectors, v₊ where Σx = 2 and v₋ where Σx
= −2. The minimum-norm linear head (no intercept) that interpolates n labels is v₊/|v₊|² once a label 1 was seen, which
is exact on every sequence, and 0 while all labels are 0, which is wrong on every sequence of label 1.
Labels are fair coins: the head is exact with probability 1 − 2^{−n}, and right on a fraction 1 − 2^{−n−1} on average.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima.bracket_language import T, i, j
from theory.claims.minima.flattest_brackets import CLAIM as FLATTEST
from theory.kernel import Derivation, Model, Terms

n = sp.Symbol("n", integer=True, nonnegative=True)
width = sp.Symbol("m", integer=True, positive=True)
size, side = sp.IndexedBase("kappa", positive=True), sp.IndexedBase("epsilon", real=True)
"""κ_j > 0 and the side ε_j = ±1 of neuron j."""
head = sp.IndexedBase("u", real=True)
word = sp.IndexedBase("x", real=True)
weight, norm = sp.Symbol("w_0", real=True), sp.Symbol("Q", positive=True)
active = sp.Symbol("kappa_1", positive=True)
zeros, ones = sp.symbols("N_0 N_1", positive=True)
chance, zero_chance = sp.symbols("q p_0", positive=True)


def feature(label: int) -> sp.Expr:
    """κ_j (1 + ε_j S/2) at the sequences of sum S = 2 (label 1) or −2 (label 0)."""
    return size[j] * (1 + (2 * label - 1) * side[j])


def total(term: sp.Expr) -> sp.Sum:
    """Σ over neurons."""
    return sp.Sum(term, (j, 1, width))


def derive() -> Derivation:
    """Derive the two feature vectors, the minimum-norm head, and the probability that it is exact."""
    d = Derivation("transfer-brackets")
    d.lemma("flattest", FLATTEST.derivation, "unique", "an active neuron has w = −κ(1, …, 1) or its mirror image")
    _features(d)
    _head(d)
    _labels(d)
    return d.conclude("probability", models())


def _features(d: Derivation) -> None:
    """Add the features of both classes of sequences: orthogonal vectors, neither of them 0."""
    d.identity(
        "pre-activation",
        sp.Eq(sp.Sum(weight * word[i], (i, 1, T)), weight * sp.Sum(word[i], (i, 1, T))),
        "w = w₀(1, …, 1) sees only S = Σx",
    )
    epsilon, excess = sp.symbols("epsilon S", integer=True)
    d.enumeration(
        "feature",
        sp.Eq(sp.Max(epsilon * excess, 0), 1 + epsilon * excess / 2),
        "w₀ = εκ, ε = ±1: relu(εκS) = κ(1 + εS/2) for S = ±2, so 2κ on one class and 0 on the other",
        ({epsilon: e, excess: total} for e in (-1, 1) for total in (-2, 2)),
    )
    d.assume("sides", sp.Eq(side[j] ** 2, 1), "every neuron has its side ε = ±1")
    d.identity(
        "product",
        sp.Eq(total(feature(1) * feature(0)), total(size[j] ** 2 * (1 - side[j] ** 2))),
        "v₊·v₋ of the features v₊ = κ(1 + ε), v₋ = κ(1 − ε)",
    )
    d.identity(
        "orthogonal",
        sp.Eq(total(feature(1) * feature(0)), 0),
        "neuron by neuron: none responds to both classes",
        given=("product", "sides"),
    )
    d.inequality(
        "nonzero",
        sp.Gt((2 * active) ** 2 + total(feature(1) ** 2), 0, evaluate=False),
        "|v|² > 0: each class has an active neuron, as α > 0, adding (2κ)², and the others add squares",
        Terms(((2 * active) ** 2, total(feature(1) ** 2))),
    )


def _head(d: Derivation) -> None:
    """Add the minimum-norm head u once v = v₊ was seen, and what it predicts on both classes."""
    fit, square = total(head[j] * feature(1)), total(feature(1) ** 2)
    d.define("norm", sp.Eq(norm, square), "Q = |v₊|²")
    d.inequality(
        "completion",
        sp.Ge(total(head[j] ** 2), 2 * fit / norm - square / norm**2),
        "the difference is |u − v/Q|²",
        Terms((total((head[j] - feature(1) / norm) ** 2),)),
    )
    d.assume("seen", sp.Eq(fit, 1), "a sequence of label 1 was seen: u·v₊ = 1")
    d.inequality(
        "minimum-norm",
        sp.Ge(total(head[j] ** 2), 1 / norm),
        "equality only for u = v₊/|v₊|², which also meets u·v₋ = 0 should label 0 have been seen: it is the head",
        Terms(using={"completion": sp.S.One}),
        given=("seen", "norm"),
    )
    target, counterpart = (total(feature(1) / norm * feature(label)) for label in (1, 0))
    d.identity("exact", sp.Eq(target, 1), "prediction of the head on every sequence of label 1", given=("norm",))
    d.identity(
        "prediction",
        sp.Eq(counterpart * norm, total(feature(1) * feature(0))),
        "Q times its prediction on a sequence of label 0 is v₊·v₋",
    )
    d.identity(
        "exact-zero",
        sp.Eq(total(feature(1) * feature(0)) / norm, 0),
        "prediction 0 on every sequence of label 0, seen or not",
        given=("orthogonal",),
    )


def _labels(d: Derivation) -> None:
    """Add that labels are fair coins, and the probability that some label is 1."""
    d.identity(
        "mirror",
        sp.Eq(sp.Sum(-word[i], (i, 1, T)), -sp.Sum(word[i], (i, 1, T))),
        "x ↦ −x maps the sequences of sum 2 one to one onto those of sum −2",
    )
    d.assume("counts", sp.Eq(ones, zeros), "so there are as many sequences of either label, all equally probable")
    d.define("zero", sp.Eq(zero_chance, zeros / (zeros + ones)), "probability of label 0")
    d.identity("fair", sp.Eq(zero_chance, sp.Rational(1, 2)), "labels are fair coins", given=("zero", "counts"))
    d.induction(
        "all-zero",
        sp.Eq(chance, zero_chance**n),
        "n independent labels are all 0 with probability p₀ⁿ",
        initial={chance: sp.S.One, n: sp.S.Zero},
        update={chance: chance * zero_chance, n: n + 1},
    )
    d.identity(
        "accuracy",
        sp.Eq(1 - chance / 2, 1 - 2 ** (-n - 1)),
        "expected accuracy: 1, except ½ while all labels are 0",
        given=("all-zero", "fair"),
    )
    d.identity(
        "probability",
        sp.Eq(1 - chance, 1 - 2 ** (-n)),
        "exact unless all n labels are 0: then u = 0 fits, has the least norm, and predicts 0 on label 1 too",
        given=("all-zero", "fair"),
    )


def models() -> Iterator[Model]:
    """Nets on the sequences of sum ±2, all enumerated, with a head that fits one sequence of either label."""
    model = Model("flattest net, T = 4", _net(4, [[-2] * 4, [3] * 4, [sp.Rational(-1, 2)] * 4]))
    yield model
    yield Model("flattest net, T = 6, another head", _net(6, [[1] * 6, [-3] * 6, [2] * 6], sp.Rational(1, 5)))
    other = _net(4, [[-3, 1, 1, 0], [1, 2, 0, 1]])
    yield Model("a net off the common direction", other)
    yield model.control("sides", "orthogonal", other)
    yield model.control("seen", "minimum-norm", {head: [x / 2 for x in model.values[head]]})
    yield model.control("counts", "fair", {ones: 3, zero_chance: sp.Rational(4, 7)}, "T = 4 without one of label 1")


def _net(length: int, weights: list[Any], shift: Any = 0) -> dict[Any, Any]:
    """Responses of a net to two sequences, a head that fits them (of least norm if not shifted), pairs of labels."""
    words = [each for each in itertools.product((-1, 1), repeat=length) if abs(sum(each)) == 2]
    low, high = ([each for each in words if sum(each) == excess] for excess in (-2, 2))
    rows = [[sp.Max(sum(map(operator.mul, w, x)), 0) for w in weights] for x in (high[0], low[0])]
    pairs = list(itertools.product(words, repeat=2))
    responses = sp.Matrix(rows)
    fitted = responses.T * (responses * responses.T).inv() * sp.Matrix([1, 0])
    null = (responses.nullspace() or [sp.zeros(len(weights), 1)])[0]
    sizes = [(up + down) / 2 for up, down in zip(*rows, strict=True)]
    return {
        T: length, width: len(weights), word: high[0], weight: weights[0][0], zeros: len(low), ones: len(high),
        zero_chance: sp.Rational(len(low), len(words)),
        n: 2, chance: sp.Rational(sum(max(map(sum, pair)) < 0 for pair in pairs), len(pairs)),
        size: sizes, side: [(up - down) / 2 / k for k, up, down in zip(sizes, *rows, strict=True)],
        head: list(fitted + shift * null), active: sizes[0],
    }  # fmt: skip


_N = Parameter("n", n, "number of labelled examples", minimum=0, step=1)


CLAIM = Claim(
    id="transfer-brackets",
    place=2,
    title="n labels suffice on the flattest bracket features, with probability 1 − 2⁻ⁿ",
    statement=r"\Pr[\text{minimum-norm head on } n \text{ labels is exact}] = 1 - 2^{-n}",
    hypotheses=(
        "features relu(w_j·x) of a flattest bracket net, T ≥ 4, any width m ≥ 2",
        "sequences uniform on {±1}^T with sum ±2, labels 1{sum > 0}, n independent examples",
        "linear head of minimum norm without intercept",
    ),
    uses=("flattest-brackets",),
    source="ours, after paper Theorem 6.1 (second-hand: probability at least 1 − 2^{−n})",
    derive=derive,
    formulas={
        "": closed_form("probability", "probability that the head is exact", _N),
        "accuracy": closed_form("accuracy", "expected accuracy at threshold ½", _N),
    },
)
