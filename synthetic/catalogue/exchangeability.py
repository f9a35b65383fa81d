r"""How much of a language is order: what a bag of words explains of what can be learnt.

>>> import torch
>>> from synthetic.hmm import zipf_topics
>>> print(f"{exchangeability(zipf_topics(torch.Generator().manual_seed(0))).share:.6f}")  # topics do not order words
1.000000
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.language import Language

ROUNDING = 1e-12
"""A gap in nats that may be rounding: the entropies of 2²⁰ contexts are below 20 and added in some 20 halvings."""


@dataclass(frozen=True)
class Exchangeability:
    r"""Entropies of the target y in nats, given nothing, the bag of the visible tokens, and the whole context.

    With b the multiset of the visible tokens, the best predictor that sees no order is q(y | b) = E[p* | b], and

        share = (H(y) − H(y | b)) / (H(y) − L*) = 1 − E KL(p* ‖ q) / (H(y) − L*).

    q is also the conditional of the law symmetrised, P̄(x) = (1/T!) Σ_π P(x_π): a random position of a random order has
    the same joint law of token and bag. So the share is the learnable gap of P̄ as a part of that of P; it is 1 exactly
    if the conditionals do not depend on order or position. Source: ours.
    """

    unigram_entropy: float
    bag_entropy: float
    entropy_floor: float

    @property
    def share(self) -> float:
        """The part of the learnable gap that a bag of words explains, in [0, 1] up to rounding.

        Raises:
            ValueError: if nothing can be learnt.
        """
        gap = self.unigram_entropy - self.entropy_floor
        if gap <= ROUNDING:
            raise ValueError(
                f"expected a learnable gap H(y) − L* > 0, got {gap:.3g}; no context tells of its masked token"
            )
        return (self.unigram_entropy - self.bag_entropy) / gap

    @classmethod
    def of_contexts(
        cls,
        contexts: Int64[Tensor, "context position"],
        prob: Float[Tensor, " context"],
        conditional: Float[Tensor, "context token"],
    ) -> Exchangeability:
        """Return the entropies of contexts with their law and conditionals; exact to float64 rounding."""
        joint = prob[:, None] * conditional
        bags, index = torch.unique(contexts.sort(1).values, dim=0, return_inverse=True)
        pooled = joint.new_zeros(len(bags), joint.shape[1]).index_add(0, index, joint)
        return cls(*(_conditional_entropy(table) for table in (joint.sum(0, keepdim=True), pooled, joint)))


def exchangeability(language: Language) -> Exchangeability:
    """Return the entropies of a language, from all its contexts; EnumerationTooLargeError where they are too many."""
    whole = language.enumerate_contexts()
    return Exchangeability.of_contexts(whole.contexts, whole.prob, language.masked_conditional(whole.contexts))


def _conditional_entropy(joint: Float[Tensor, "seen token"]) -> float:
    """H(y | seen) = −Σ P(s, y) log (P(s, y) / P(s))."""
    return float(torch.special.entr(joint).sum() - torch.special.entr(joint.sum(1)).sum())
