r"""At one and the same loss, features may transfer or not: proved in two settings, believed of training algorithms.

*Transformers.* The masked loss reads the final state at the [MASK] position alone. Let one coordinate of the input tell
[MASK] (μ = 1) from tokens (μ = 0), and let s be any number that the last layer computes, |s| ≤ M. Two of its relu
units,

    s − ψ [relu(s − Mμ) − relu(−s − Mμ)]  =  s at [MASK],  (1 − ψ) s at tokens,

take s out of the states that a downstream head reads, and the loss does not depend on ψ at all. A ridge head of penalty
κ on a feature (1 − ψ) s, s = ±1 the label, has error κ/(κ + (1 − ψ)²): from κ/(κ + 1) up to 1, that of no feature.

*Pair language.* On its Γ all networks have the entropy floor as loss. A least-norm head on n labels has expected
squared error 2^{−n} on a flattest network (`transfer-pairs`) and 1 − n/C(d, 2) or more on features that favour no pair
of coordinates (`transfer-bound`), so that at equal loss they differ by at least

    1 − 2n/(d(d − 1)) − 2^{−n}.

That a training algorithm makes such a difference in transformers, AdamW against the paper's adversarial algorithm, is
believed and measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.transfer import transfer_bound, transfer_pairs
from theory.claims.transfer.transfer_bound import d as dimension
from theory.claims.transfer.transfer_bound import mse, n
from theory.claims.transfer.transfer_pairs import both
from theory.kernel import Derivation, Model, Terms

signal, bound, psi = sp.symbols("s M psi", real=True)
above, below = sp.symbols("u l", nonnegative=True)
weight, feature = sp.symbols("w phi", real=True)
penalty = sp.Symbol("kappa", positive=True)
flattest_mse, difference = sp.symbols("MSE_flat D", real=True)


def relu(x: sp.Expr) -> sp.Expr:
    """(x + |x|)/2."""
    return (x + sp.Abs(x)) / 2


def final_state(masked: int) -> sp.Expr:
    """Return s after the two units, at [MASK] (1) or at a token (0)."""
    return signal - psi * (relu(signal - bound * masked) - relu(-signal - bound * masked))


def ridge(weight: sp.Expr, feature: sp.Expr) -> sp.Expr:
    """(1 − wφ)² + κw²: labels ±1, feature φ times the label, either label."""
    return (1 - weight * feature) ** 2 + penalty * weight**2


def derive() -> Derivation:
    """Derive the units that the loss cannot see, what they cost a head, and the gap in the pair language."""
    d = Derivation("same-loss-different-transfer")
    _unseen_units(d)
    _head(d)
    _pairs(d)
    d.conjecture(
        "algorithms-differ",
        "at matched excess the few-label accuracy of transformers trained by AdamW exceeds that of the same networks "
        "trained on against a downstream head by 0.07 or more in the mean: E[A(AdamW) − A(adversarial)] ≥ 0.07",
        "the loss permits the difference; that these algorithms make it, and its size, are measured",
    )
    return d.conclude("algorithms-differ", models())


def models() -> Iterator[Model]:
    """Two units at |s| ≤ M, a ridge head, and the heads of `transfer_bound` with the sequences of their labels."""
    for found in transfer_bound.models():
        if found.breaks or found.values[n] == 1:
            continue
        yield Model(
            f"s = 1, M = 2, ψ = 1/3; {found.name}",
            {
                **found.values, above: 3, below: 1, psi: sp.Rational(1, 3), weight: sp.Rational(1, 2), both: 2,
                feature: sp.Rational(2, 3), penalty: sp.Rational(1, 4),
            },
        )  # fmt: skip


def _unseen_units(d: Derivation) -> None:
    d.define("signal", sp.Eq(signal, (above - below) / 2), "with u = M + s and l = M − s, both nonnegative: |s| ≤ M")
    d.define("bound", sp.Eq(bound, (above + below) / 2), "the bound M = (u + l)/2")
    d.identity(
        "kept",
        sp.Eq(final_state(1), signal),
        "at [MASK] both units are closed, as ±s − M ≤ 0: the prediction, the loss and all its derivatives forget ψ",
        given=("signal", "bound"),
    )
    d.identity(
        "removed",
        sp.Eq(final_state(0), (1 - psi) * signal),
        "at tokens relu(s) − relu(−s) = s: ψ = 0 leaves s as it is, ψ = 1 takes it away",
    )


def _head(d: Derivation) -> None:
    d.inequality(
        "least-error",
        sp.Ge(ridge(weight, feature), penalty / (penalty + feature**2)),
        "complete the square; equality at w = φ/(κ + φ²)",
        Terms(((penalty + feature**2) * (weight - feature / (penalty + feature**2)) ** 2,)),
    )
    best = feature / (penalty + feature**2)
    d.identity("attained", sp.Eq(ridge(best, feature), penalty / (penalty + feature**2)), "the ridge head attains it")
    d.instance("error", "attained", {feature: 1 - psi}, "error of the ridge head on `removed`: 1 at ψ = 1")


def _pairs(d: Derivation) -> None:
    seen = d.lemma(
        "both-seen", transfer_pairs.CLAIM.derivation, "both-seen", "label sequences that show both classes"
    ).statement.lhs
    d.lemma("exact", transfer_pairs.CLAIM.derivation, because="flattest network: the head is exact if both were seen")
    d.lemma("other-features", transfer_bound.CLAIM.derivation, because="features that favour no pair")
    d.define(
        "flattest",
        sp.Eq(flattest_mse, (1 - seen / 2**n) / 2),
        "error 0 when both classes were seen; otherwise the value is 0 on the unseen half: squared error ½",
    )
    d.define("difference", sp.Eq(difference, mse - flattest_mse), "of expected squared errors, on one Γ, at one loss")
    d.inequality(
        "gap",
        sp.Ge(difference, 1 - n / (dimension * (dimension - 1) / 2) - 2**-n),
        "the bound less 2^{−n}",
        Terms(using={"other-features": sp.S.One}),
        given=("difference", "flattest", "both-seen"),
    )


CLAIM = Claim(
    id="same-loss-different-transfer",
    place=3,
    title="Networks of the same excess loss transfer differently, depending on how they were trained",
    statement=r"\mathbb E[A(\text{AdamW})-A(\text{adversarial})]\ge0.07\ \text{at matched excess (conjecture); "
    r"proved: }\partial_\psi L=0\ \text{while the ridge error runs from }\tfrac{\kappa}{\kappa+1}\text{ to }1,"
    r"\ \text{and a gap}\ge1-n\big/\tbinom d2-2^{-n}\ \text{on }\Gamma\text{ of the pair language}",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer with its own initial parameters",
        "A: expected accuracy of a ridge head on the final states of the unmasked sentence, few labelled sentences",
        "conditions of a replicate compared at the same E KL(p* ‖ p_θ)",
    ),
    uses=("transfer-bound", "transfer-pairs"),
    source="paper §3, first finding (figures second-hand); the derivations are ours",
    derive=derive,
    formulas={
        "": closed_form(
            "gap",
            "least difference of expected squared errors on Γ of the pair language",
            Parameter("n", n, "number of labelled contexts", minimum=1, step=1),
            Parameter("d", dimension, "number of coordinates", minimum=2, step=1),
        )
    },
)
