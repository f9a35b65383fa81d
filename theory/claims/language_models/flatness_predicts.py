r"""Does flatness predict transfer across networks of one loss? The raw trace cannot, without more being said.

Exact rescalings, which leave function, loss and final states alone, move tr H of a network above any bound
(`trace-is-not-invariant`). So of two networks either can be made the sharper one: scale the one with the smaller trace
until its trace exceeds the other's by a margin. One after the other, N networks can be put into any order of tr H; in
the order of their accuracies, and in the reverse, the rank correlation of tr H with accuracy is +1 and −1. Hence an
association of the raw trace with transfer is a fact about scales that training chose, not about functions.

Σ_i θ_i² F_ii is the same at all these scales. But nothing made of the masked loss determines transfer: the units of
`same-loss-different-transfer` that are closed at [MASK] change neither loss nor F nor that sum, and take a feature
away.

That over conditions of training from one initialisation, at matched excess, both have a rank correlation of −0.4 or
less with accuracy is what the paper's figures suggest; it is measured.
"""

from __future__ import annotations

import sympy as sp

from theory import Claim
from theory.claims.language_models import same_loss_different_transfer
from theory.claims.symmetry import trace_is_not_invariant
from theory.kernel import Derivation, Model, Terms

i = sp.Symbol("i", integer=True, positive=True)
networks = sp.Symbol("N", integer=True, positive=True)
rank = sp.IndexedBase("A", real=True)
"""Rank of network i by accuracy, 1…N."""
other, margin = sp.symbols("T_other delta", positive=True)
bound = sp.Symbol("A", positive=True)
"""As in `trace-is-not-invariant`."""
scaled, middle = sp.symbols("T_scaled m_A", real=True)


def covariance(first: sp.Expr, second: sp.Expr) -> sp.Expr:
    """N times the covariance of two rankings."""
    return sp.Sum((first - middle) * (second - middle), (i, 1, networks))


def derive() -> Derivation:
    """Derive that rescaling puts traces into any order, hence any rank correlation, and leaves the invariant alone."""
    d = Derivation("flatness-predicts")
    source = trace_is_not_invariant.CLAIM.derivation
    unbounded = d.lemma("unbounded", source, "unbounded", "some scale brings tr H above any bound M, if P_0 > 0")
    above = d.instance(
        "above", unbounded.name, {bound: other + margin}, "with another network's trace and a margin as the bound"
    )
    d.define("scaled", sp.Eq(scaled, above.statement.lhs), "tr H of the network at that scale")
    d.inequality(
        "reversed",
        sp.Gt(scaled, other),
        "any network can be made sharper than any other, at the same function",
        Terms((margin,), using={above.name: sp.S.One}),
        given=("scaled",),
    )
    d.define(
        "mean rank",
        sp.Eq(middle, sp.Sum(rank[i], (i, 1, networks)) / networks),
        "the mean of the ranks 1…N, of accuracies and of traces alike, without ties",
    )
    d.identity(
        "opposite",
        sp.Eq(covariance(rank[i], networks + 1 - rank[i]) / covariance(rank[i], rank[i]), -1),
        "Spearman's correlation after `reversed`, applied from the best network to the worst, has put the traces in "
        "the reverse order: −1; applied from the worst to the best it makes the orders equal: +1",
        given=("mean rank",),
    )
    for name in ("invariant first", "invariant second"):
        d.lemma(name, source, name, "each θ_i² F_ii, and so the sum, is the same at every scale: it can be compared")
    for name, reason in (
        ("kept", "two units that are closed at [MASK]: for every ψ the same loss, F and Σ_i θ_i² F_ii"),
        ("removed", "and at tokens any share 1 − ψ of a feature: no measure made of the masked loss sees it"),
    ):
        d.lemma(name, same_loss_different_transfer.CLAIM.derivation, name, reason)
    d.conjecture(
        "predicts",
        "within a replicate, over conditions of training at matched excess, the mean Spearman correlation with few-"
        "label accuracy is −0.4 or less, of tr F and of Σ_i θ_i² F_ii",
        "the rank correlation of the raw trace is a matter of scales (`reversed`), the invariant is "
        "blind to `removed`; that training moves both together is measured",
    )
    return d.conclude("predicts", [Model("four networks ranked by accuracy", {networks: 4, rank: [2, 1, 4, 3]})])


CLAIM = Claim(
    id="flatness-predicts",
    place=7,
    title="Among networks of the same excess loss, the flatter transfer better",
    statement=r"\mathbb E\,\rho_S(\operatorname{tr}F, A)\le-0.4\ \text{and}\ "
    r"\mathbb E\,\rho_S(\textstyle\sum_i\theta_i^2F_{ii}, A)\le-0.4\ \text{over conditions at matched excess "
    r"(conjecture); exact rescalings give the first every value it can have, } -1 \text{ to } 1",
    hypotheses=(
        "a replicate: a random language with exact p* and a transformer, trained in several ways (conditions)",
        "A: expected accuracy of a ridge head on the final states of the unmasked sentence, few labelled sentences",
        "conditions compared at the same E KL(p* ‖ p_θ); ρ_S Spearman's correlation over the conditions of a "
        "replicate, averaged over replicates",
        "for the rescalings: those of trace-is-not-invariant, with P > 0 in every network",
    ),
    uses=("same-loss-different-transfer", "trace-is-not-invariant"),
    source="paper §5, flatness against downstream performance (second-hand, no coefficient known); reversal: ours",
    derive=derive,
)
