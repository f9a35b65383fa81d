"""Mixtures of hidden Markov languages, again one hidden Markov language."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from synthetic.hmm.checks import check_rows, check_shape
from synthetic.hmm.language import HMM


def mixture_of_hmms(components: Sequence[HMM], weights: Tensor, state_positions: tuple[int, ...] | None = None) -> HMM:
    """Return the law Σ_k w_k P_k as one model: transitions block-diagonal, start (w_1 start_1, w_2 start_2, …).

    Its `groups` name the component of each state, so that all conditionals stay one pass and the component is a
    downstream task. Source: ours.

    Args:
        components: models of the same vocabulary and lengths.
        weights: probability vector w, float64.
        state_positions: passed on.

    Raises:
        ProbabilityError: if the weights are no probability vector.
        ValueError: if there is no component, or two differ in vocabulary or lengths.
    """
    if not components:
        raise ValueError("expected at least one component, got none; pass a non-empty sequence of HMMs")
    check_shape("weights", weights, (len(components),))
    check_rows("weights", weights[None])
    one = components[0]
    for k, other in enumerate(components):
        if other.vocabulary != one.vocabulary or not _same(other.lengths, one.lengths):
            raise ValueError(
                f"expected the vocabulary and lengths of component 0 in all of them, got others in component {k}; "
                "a mixture is one language: rewrite the components over a common vocabulary and length law"
            )
    start = torch.cat([weight * part.start for weight, part in zip(weights, components, strict=True)])
    return HMM(
        torch.block_diag(*(part.transition for part in components)),  # type: ignore[no-untyped-call] # torch's own
        torch.cat([part.emission for part in components]),
        start,
        one.lengths,
        one.vocabulary,
        tuple(k for k, part in enumerate(components) for _ in range(part.n_states)),
        state_positions,
    )


def _same(one: int | Tensor, other: int | Tensor) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)
