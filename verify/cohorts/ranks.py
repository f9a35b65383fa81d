"""Rank correlations of a measure of networks with transfer, over a replicate's conditions at matched excess loss."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from verify.statistics import UndefinedCorrelationError, cluster_bootstrap, spearman
from verify.trial import Reported

RANKED = (
    "base",
    "sampled",
    "soft",
    "isotropic",
    "plain",
    "flat",
    "sharp",
    "adversarial",
    "adversarial-sampled",
    "adversarial-isotropic",
)
"""Conditions that are ranked: those of the large networks but for `adversarial-soft`, which is a control elsewhere."""

Table = Float[Tensor, "condition member"]


def correlations(measure: Table, accuracy: Table, excess: Table) -> Float[Tensor, " member"]:
    """Return Spearman's ρ over conditions of every replicate, given the excess loss that matching left.

    A replicate without ranks has 0, the mean of ρ over all ways to break its ties: to leave it out would choose
    replicates by their outcome. `without_ranks` counts such replicates.
    """
    found = _where_defined(measure, accuracy, excess)
    return torch.tensor([0.0 if own is None else own for own in found], dtype=torch.float64)


def without_ranks(measure: Table, accuracy: Table, excess: Table) -> int:
    """Return the number of replicates whose ρ is undefined.

    Their conditions all have one value of a variable, or the excess determines their ranks.
    """
    return _where_defined(measure, accuracy, excess).count(None)


def mean_where_defined(measure: Table, other: Table, excess: Table) -> float:
    """Return the mean of `correlations` over the replicates that have ranks; NaN if none has.

    For what is shown without a verdict: a replicate whose conditions are all alike says nothing there.
    """
    found = [own for own in _where_defined(measure, other, excess) if own is not None]
    return sum(found) / len(found) if found else math.nan


def _where_defined(measure: Table, other: Table, excess: Table) -> list[float | None]:
    return [_defined(x.numpy(), y.numpy(), z.numpy()) for x, y, z in zip(measure.mT, other.mT, excess.mT, strict=True)]


def _defined(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float | None:
    try:
        return spearman(x, y, z)
    except UndefinedCorrelationError:
        return None


def reliability(halves: Float[Tensor, "half condition member"], excess: Table) -> float:
    """Return how well an evaluation ranks conditions: r of its halves, as 2r/(1 + r) of the whole.

    No measure can be expected to correlate with the evaluation's ranks by more than its square root. Source: Spearman
    1910, Brown 1910.
    """
    half = mean_where_defined(halves[0], halves[1], excess)
    return 2 * half / (1 + half) if half > -1 else -1.0


def dealt(
    measure: Table, other: Table, excess: Table, generator: np.random.Generator, deals: int = 16
) -> Float[Tensor, " member"]:
    """Return the mean ρ of every replicate after its measures are dealt to its conditions at random, over some deals.

    One deal of ten conditions scatters by a third, so that 46 replicates would miss a ρ of −0.4 once in twenty
    or thirty times.
    """
    values = measure.numpy()
    found = [correlations(torch.from_numpy(generator.permuted(values, axis=0)), other, excess) for _ in range(deals)]
    return torch.stack(found).mean(0)


def pooled(measure: Table, accuracy: Table, excess: Table, generator: np.random.Generator) -> Reported:
    """Return ρ over all runs given the excess, relative to the replicate; with a 95% cluster bootstrap interval.

    Measure and excess are taken as logarithms. Unlike the mean of the replicates' own ρ, replicates with large
    differences count for more here.
    """
    x, y, z = ((values - values.mean(0)).mT.flatten().numpy() for values in (measure.log(), accuracy, excess.log()))
    clusters = np.arange(measure.shape[1]).repeat(len(measure)).tolist()
    found = cluster_bootstrap(x, y, clusters, generator, covariates=z, resamples=999)
    return Reported(found.estimate, found.low, found.high)
