"""Minimum-norm linear heads on features, evaluated by enumerating every context.

A head fits n labelled contexts by the least norm, h = Φ⁺ y, without intercept. Its predictions depend on the
features through their Gram matrix only, K = Φ Φᵀ: pred(x) = K_{x,train} K_train⁺ y, so an experiment with many draws
costs one n × n decomposition per draw, whatever the number of features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_CHUNK_ELEMENTS = 2**22  # predictions held at once


def _rank_tolerance(dtype: torch.dtype) -> float:
    """64 √ε: below it a singular value is lost in a Gram matrix of up to 256 contexts, see `transfer_experiment`."""
    return 64 * math.sqrt(torch.finfo(dtype).eps)


def minimum_norm_head(
    features: Float[Tensor, "*draw n feature"],
    labels: Float[Tensor, "*draw n"],
    *,
    rank_tolerance: float | None = None,
) -> Float[Tensor, "*draw feature"]:
    """Return the least-squares head of least norm, h = Φ⁺ y (exact up to rounding, no intercept).

    Args:
        features: Φ, one row per labelled context.
        labels: y.
        rank_tolerance: singular values of Φ up to this fraction of the largest count as zero; default 64 √ε.

    Raises:
        ValueError: when there is no labelled context or the tolerance is not in [0, 1).
    """
    if features.shape[-2] < 1:
        raise ValueError("expected at least one labelled context, got none; a head needs n >= 1")
    tolerance = _checked_tolerance(rank_tolerance, features.dtype)
    inverse: Tensor = torch.linalg.pinv(features, rtol=tolerance)
    return (inverse @ labels[..., None])[..., 0]


def _checked_tolerance(rank_tolerance: float | None, dtype: torch.dtype) -> float:
    tolerance = _rank_tolerance(dtype) if rank_tolerance is None else rank_tolerance
    if not 0 <= tolerance < 1:
        raise ValueError(f"expected 0 <= rank_tolerance < 1, got {tolerance}; it is relative to the largest")
    return tolerance


@dataclass(frozen=True)
class Scores:
    """How well predictions match the labels of all contexts, per draw.

    Attributes:
        exact: every prediction equals its label, up to rounding.
        accuracy: probability that the nearest label value is the right one; a tie counts as wrong.
        mse: mean square of prediction − label.
    """

    exact: Bool[Tensor, "*draw"]
    accuracy: Float[Tensor, "*draw"]
    mse: Float[Tensor, "*draw"]


def score_predictions(
    predictions: Float[Tensor, "*draw context"],
    labels: Float[Tensor, " context"],
    context_prob: Float[Tensor, " context"],
) -> Scores:
    """Score predictions against deterministic labels by enumeration over contexts of positive probability.

    A prediction is classified as the nearest of the values that labels take. For labels ±1 the output 0 of a head
    that has not seen the class of a context is a tie and counts as wrong; for labels {0, 1} the threshold is ½.

    Args:
        predictions: outputs of the heads; those closer than 8 √ε, above the rounding ε/rank_tolerance of a head, times
            the largest |label| are equal (for exactness and ties).
        labels: the true label of each context; at least two different values.
        context_prob: probability of each context.

    Raises:
        ValueError: when all labels are equal, so that there is nothing to classify.
    """
    used = context_prob > 0
    values = torch.unique(labels[used])
    if len(values) < 2:
        raise ValueError(f"expected at least two different labels, got {values.tolist()}; every head is exact")
    slack = 8 * math.sqrt(torch.finfo(labels.dtype).eps) * float(labels.abs().max())
    error = (predictions - labels)[..., used]
    prob = context_prob[used]
    # nearest label values below and above each label: right means strictly nearer than the midpoints to them
    index = torch.searchsorted(values, labels[used])
    padded = torch.cat([values.new_tensor([-math.inf]), values, values.new_tensor([math.inf])])
    below, above = (padded[index] - labels[used]) / 2, (padded[index + 2] - labels[used]) / 2
    right = (error > below + slack) & (error < above - slack)
    return Scores((error.abs() <= slack).all(-1), right.to(prob.dtype) @ prob, error.square() @ prob)


@dataclass(frozen=True)
class TransferResult:
    """Heads trained on random labelled contexts; one entry per draw, for each net if there are several.

    Attributes:
        exact: every context gets its label.
        accuracy: probability of the right class, an output halfway between classes counted as wrong.
        mse: mean squared error over contexts.
        rank: rank of the training features.
        contexts: indices of the labelled contexts.
        n: labelled contexts per draw.
        ill_conditioned: draws recomputed from the singular value decomposition of the features, because the Gram
            matrix had an eigenvalue that rounding might have put on the wrong side of the rank tolerance.
    """

    exact: Bool[Tensor, "*net draw"]
    accuracy: Float[Tensor, "*net draw"]
    mse: Float[Tensor, "*net draw"]
    rank: Int[Tensor, "*net draw"]
    contexts: Int[Tensor, "*net draw n"]
    n: int
    ill_conditioned: int


def transfer_experiment(
    features_of_contexts: Float[Tensor, "*net context feature"],
    labels_of_contexts: Float[Tensor, " context"],
    context_prob: Float[Tensor, " context"],
    n: int,
    draws: int,
    generator: torch.Generator,
    *,
    rank_tolerance: float | None = None,
) -> TransferResult:
    """Train minimum-norm heads on n independent labelled contexts, `draws` times, and score them by enumeration.

    The draws are Monte Carlo; given the labelled contexts each score is exact. Contexts are drawn with replacement
    from `context_prob`. Singular values of Φ_train up to `rank_tolerance` ρ of the largest are zero. They are read
    off K_train, whose eigenvalues λ are their squares, known to about n ε λ₁: above ε^{1/4} λ₁ they are kept, below
    8 n ε λ₁ they are zero if ρ² ≥ 16 n ε, and a draw with one in between is recomputed from Φ_train itself.

    Args:
        features_of_contexts: φ(x) of every context, of one net or of several.
        labels_of_contexts: y(x), deterministic.
        context_prob: law of the labelled and of the test contexts.
        n: labelled contexts per draw.
        draws: number of independent heads of each net.
        generator: source of the contexts.
        rank_tolerance: as in `minimum_norm_head`.

    Raises:
        ValueError: when n or draws is not positive, or all labels are equal.
    """
    if n < 1 or draws < 1:
        raise ValueError(f"expected n >= 1 labelled contexts and draws >= 1, got n={n}, draws={draws}")
    tolerance = _checked_tolerance(rank_tolerance, features_of_contexts.dtype)
    nets = features_of_contexts.shape[:-2]
    features = features_of_contexts.reshape(-1, *features_of_contexts.shape[-2:])
    flat = torch.multinomial(context_prob, len(features) * draws * n, replacement=True, generator=generator)
    contexts = flat.reshape(-1, n)
    net = torch.arange(len(features)).repeat_interleave(draws)
    # A net, or a part of its draws, at a time: what is held are its Gram matrix and its predictions.
    size = features.shape[-2]
    per_chunk = max(1, _CHUNK_ELEMENTS // size)
    if draws <= per_chunk:
        per_chunk = draws * max(1, _CHUNK_ELEMENTS // (size * max(size, draws)))
    parts, ranks, ill_conditioned = [], [], 0
    for chosen, owner in zip(torch.split(contexts, per_chunk), torch.split(net, per_chunk), strict=True):
        first = int(owner[0])
        own = features[first : int(owner[-1]) + 1]
        predictions, rank, unclear = _predictions(own, owner - first, chosen, labels_of_contexts[chosen], tolerance)
        parts.append(score_predictions(predictions, labels_of_contexts, context_prob))
        ranks.append(rank)
        ill_conditioned += unclear
    shape = (*nets, draws)
    return TransferResult(
        torch.cat([part.exact for part in parts]).reshape(shape),
        torch.cat([part.accuracy for part in parts]).reshape(shape),
        torch.cat([part.mse for part in parts]).reshape(shape),
        torch.cat(ranks).reshape(shape),
        contexts.reshape(*shape, n),
        n,
        ill_conditioned,
    )


def _predictions(
    features: Float[Tensor, "net context feature"],
    owner: Int[Tensor, " draw"],
    chosen: Int[Tensor, "draw n"],
    labels: Float[Tensor, "draw n"],
    tolerance: float,
) -> tuple[Float[Tensor, "draw context"], Int[Tensor, " draw"], int]:
    """Return predictions and rank of each draw, which belongs to the net `owner`, and how many were ill-conditioned."""
    gram = features @ features.mT
    epsilon = torch.finfo(gram.dtype).eps
    n = chosen.shape[1]
    surely_zero = 8 * n * epsilon if tolerance**2 >= 16 * n * epsilon else -math.inf
    rows = gram[owner[:, None], chosen]
    value, vector = torch.linalg.eigh(rows.gather(2, chosen[:, None, :].expand(-1, n, -1)))
    top = value[:, -1:].clamp(min=0)
    kept = value > epsilon**0.25 * top
    unclear = (~kept & (value > surely_zero * top)).any(-1)
    inverse = torch.where(kept, 1 / value, torch.zeros_like(value))
    weight = torch.einsum("rnv,rv,rmv,rm->rn", vector, inverse, vector, labels)
    predictions = (weight[:, None, :] @ rows)[:, 0]
    rank = kept.sum(-1)
    if bool(unclear.any()):
        mine = features[owner[unclear]]
        train = mine.gather(1, chosen[unclear][:, :, None].expand(-1, -1, mine.shape[2]))
        head = minimum_norm_head(train, labels[unclear], rank_tolerance=tolerance)
        predictions[unclear] = (mine @ head[:, :, None])[:, :, 0]
        sigma = torch.linalg.svdvals(train)
        rank[unclear] = (sigma > tolerance * sigma[:, :1]).sum(-1)
    return predictions, rank, int(unclear.sum())
