r"""Transfer from the flattest bracket predictor: n labels suffice with probability exactly 1 − 2^{−n}.

Downstream sequences are uniform on {x ∈ {±1}^T : Σx = ±2}, unmasked, with the label 1{Σx > 0}. The flattest net has w_j
= −κ_j(1, …, 1) for a_j > 0 and w_j = κ_j(1, …, 1) for a_j < 0 (`flattest-brackets`), so its features φ_j(x) =
relu(w_j·x) are 2κ_j on one group of neurons and 0 on the other: two orthogonal vectors, v₊ where Σx = 2 and v₋ where Σx
= −2. The minimum-norm linear head (no intercept) that interpolates n labels is v₊/|v₊|² once a label 1 was seen, which
is exact on every sequence, and 0 while all labels are 0, which is wrong on every sequence of label 1.
Labels are fair coins: the head is exact with probability 1 − 2^{−n}, and right on a fraction 1 − 2^{−n−1} on average.
"""

from __future__ import annotations

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima.bracket_language import T, i, j
from theory.claims.minima.flattest_brackets import CLAIM as FLATTEST
from theory.kernel import Derivation, Terms

n = sp.Symbol("n", integer=True, nonnegative=True)


def derive() -> Derivation:
    """Derive the two feature vectors, the minimum-norm head, and the probability that it is exact."""
    d = Derivation("transfer-brackets")
    d.lemma("flattest", FLATTEST.derivation, "unique", "an active neuron has w = −κ(1, …, 1) or its mirror image")
    _features(d)
    _head(d)
    _labels(d)
    return d.conclude("probability")


def _features(d: Derivation) -> None:
    """Add the features of both classes of sequences: orthogonal vectors, neither of them 0."""
    x = sp.IndexedBase("x", real=True)
    total = sp.Sum(x[i], (i, 1, T))
    weight = sp.Symbol("w_0", real=True)
    d.identity(
        "pre-activation", sp.Eq(sp.Sum(weight * x[i], (i, 1, T)), weight * total), "w = w₀(1, …, 1) sees only S = Σx"
    )
    side, excess = sp.symbols("epsilon S", integer=True)
    d.enumeration(
        "feature",
        sp.Eq(sp.Max(side * excess, 0), 1 + side * excess / 2),
        "w₀ = εκ, ε = ±1: relu(εκS) = κ(1 + εS/2) for S = ±2, so 2κ on one class and 0 on the other",
        ({side: e, excess: total} for e in (-1, 1) for total in (-2, 2)),
    )
    product, square = sp.symbols("P V", real=True)
    kappa, epsilon = sp.Symbol("kappa", positive=True), sp.Symbol("epsilon", integer=True)
    d.assume("sides", sp.Eq(epsilon**2, 1), "every neuron has its side ε = ±1")
    d.induction(
        "orthogonal",
        sp.Eq(product, 0),
        "v₊·v₋ = Σ κ²(1 + ε)(1 − ε) = 0, neuron by neuron: none responds to both classes",
        initial={product: sp.S.Zero},
        update={product: product + sp.expand(kappa**2 * (1 + epsilon) * (1 - epsilon))},
        given=("sides",),
    )
    d.induction(
        "nonzero",
        sp.Gt(square, 0),
        "|v|² > 0: each class has an active neuron, as α > 0, adding (2κ)², and the others add squares",
        initial={square: (2 * kappa) ** 2},
        update={square: square + kappa**2 * (1 + epsilon) ** 2},
        certificate=Terms((kappa**2 * (1 + epsilon) ** 2,), using={"previous": sp.S.One}),
    )


def _head(d: Derivation) -> None:
    """Add the minimum-norm head u once v = v₊ was seen, and what it predicts on both classes."""
    v, u, other = (sp.IndexedBase(name, real=True) for name in ("v", "u", "q"))
    width = sp.Symbol("m", integer=True, positive=True)
    norm = sp.Symbol("Q", positive=True)

    def total(term: sp.Expr) -> sp.Sum:
        return sp.Sum(term, (j, 1, width))

    fit, square = total(u[j] * v[j]), total(v[j] ** 2)
    d.inequality(
        "completion",
        sp.Ge(total(u[j] ** 2), 2 * fit / norm - square / norm**2),
        "the difference is |u − v/Q|²",
        Terms((total((u[j] - v[j] / norm) ** 2),)),
    )
    d.assume("norm", sp.Eq(square, norm), "Q = |v₊|²")
    d.assume("seen", sp.Eq(fit, 1), "a sequence of label 1 was seen: u·v₊ = 1")
    d.inequality(
        "minimum-norm",
        sp.Ge(total(u[j] ** 2), 1 / norm),
        "equality only for u = v₊/|v₊|², which also meets u·v₋ = 0 should label 0 have been seen: it is the head",
        Terms(using={"completion": sp.S.One}),
        given=("seen", "norm"),
    )
    d.assume("orthogonality", sp.Eq(total(v[j] * other[j]), 0), "v₊·v₋ = 0, by the step orthogonal")
    target, counterpart = total(v[j] / norm * v[j]), total(v[j] / norm * other[j])
    d.identity(
        "predictions",
        sp.Eq(target * norm + counterpart * norm, square + total(v[j] * other[j])),
        "Q times the head's predictions: |v₊|² on label 1, v₊·v₋ on label 0",
    )
    d.identity("exact", sp.Eq(square / norm, 1), "prediction 1 on every sequence of label 1", given=("norm",))
    d.identity(
        "exact-zero",
        sp.Eq(total(v[j] * other[j]) / norm, 0),
        "prediction 0 on every sequence of label 0, seen or not",
        given=("orthogonality",),
    )


def _labels(d: Derivation) -> None:
    """Add that labels are fair coins, and the probability that some label is 1."""
    x = sp.IndexedBase("x", real=True)
    zeros, ones = sp.symbols("N_0 N_1", positive=True)
    chance, p = sp.symbols("q p_0", positive=True)
    d.identity(
        "mirror",
        sp.Eq(sp.Sum(-x[i], (i, 1, T)), -sp.Sum(x[i], (i, 1, T))),
        "x ↦ −x maps the sequences of sum 2 one to one onto those of sum −2",
    )
    d.assume("counts", sp.Eq(ones, zeros), "so there are as many sequences of either label, all equally probable")
    d.identity("fair", sp.Eq(zeros / (zeros + ones), sp.Rational(1, 2)), "label 0 has probability ½", given=("counts",))
    d.induction(
        "all-zero",
        sp.Eq(chance, p**n),
        "n independent labels are all 0 with probability p₀ⁿ",
        initial={chance: sp.S.One, n: sp.S.Zero},
        update={chance: chance * p, n: n + 1},
    )
    d.assume("coin", sp.Eq(p, sp.Rational(1, 2)), "p₀ = ½, by the step fair")
    d.identity(
        "accuracy",
        sp.Eq(1 - chance / 2, 1 - 2 ** (-n - 1)),
        "expected accuracy: 1, except ½ while all labels are 0",
        given=("all-zero", "coin"),
    )
    d.identity(
        "probability",
        sp.Eq(1 - chance, 1 - 2 ** (-n)),
        "exact unless all n labels are 0: then u = 0 fits, has the least norm, and predicts 0 on label 1 too",
        given=("all-zero", "coin"),
    )


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
