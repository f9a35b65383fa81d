"""Rank correlations of a measure of networks with their transfer, over the arms of a unit at matched excess loss."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from verify.association import cluster_bootstrap, spearman

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
"""Arms that are ranked: those of the large networks but for `adversarial-soft`, which is a control elsewhere."""

Table = Float[Tensor, "arm member"]


def correlations(measure: Table, accuracy: Table, excess: Table) -> Float[Tensor, " member"]:
    """Return Spearman's ρ over arms of every unit, given the excess loss that matching left."""
    found = [
        spearman(x.numpy(), y.numpy(), z.numpy()) for x, y, z in zip(measure.mT, accuracy.mT, excess.mT, strict=True)
    ]
    return torch.tensor(found, dtype=torch.float64)


def dealt(
    measure: Table, other: Table, excess: Table, generator: np.random.Generator, deals: int = 16
) -> Float[Tensor, " member"]:
    """Return the mean ρ of every unit after its measures are dealt to its arms at random, over some deals.

    One deal of ten arms scatters by a third, so that 46 units would miss a ρ of −0.4 once in twenty or thirty times.
    """
    values = measure.numpy()
    found = [correlations(torch.from_numpy(generator.permuted(values, axis=0)), other, excess) for _ in range(deals)]
    return torch.stack(found).mean(0)


def pooled(
    measure: Table, accuracy: Table, excess: Table, generator: np.random.Generator
) -> dict[str, float | int | str]:
    """Return ρ over all runs given the excess, each taken relative to its unit; with a 95% cluster bootstrap interval.

    Measure and excess are taken as logarithms. Unlike the mean of the units' own ρ, units with large differences count
    for more here.
    """
    x, y, z = ((values - values.mean(0)).mT.flatten().numpy() for values in (measure.log(), accuracy, excess.log()))
    clusters = np.arange(measure.shape[1]).repeat(len(measure)).tolist()
    found = cluster_bootstrap(x, y, clusters, generator, covariates=z, resamples=999)
    return {
        "pooled ρ given the excess": found.estimate,
        "pooled ρ given the excess, low": found.interval.low,
        "pooled ρ given the excess, high": found.interval.high,
    }
