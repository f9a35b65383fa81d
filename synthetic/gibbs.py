"""Gibbs sampling of graph languages: many chains at once, and the diagnostic without which no draw is handed out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.incidence import Incidence

LEAST_CHAINS = 32
"""Chains that are run at least, also for fewer draws: the diagnostic compares chains."""

LocalRule = Callable[[Int64[Tensor, "position chain"], Incidence], Float[Tensor, "place token chain"]]


class MixingError(ValueError):
    """Chains of a Gibbs sampler that still remember where they started, or never meet."""


@dataclass(frozen=True, eq=False)
class GibbsSample:
    """Draws of independent Gibbs chains, *approximately* from P, with the evidence that they have mixed.

    Attributes:
        sentences: the last state of each chain; independent of each other.
        r_hat: largest split R̂ over log_weight and all indicators 1{x_t = v}. About 1 + τ/(2L) for chains with
            autocorrelation time τ of that statistic and L recorded sweeps per half; infinite if a statistic differs
            between chains that never change it. Large values prove that the chains have not mixed, values near one
            do not prove that they have.
        sweeps: sweeps of each chain, of which the first half is not recorded.
        chains: number of chains compared.
    """

    sentences: Int64[Tensor, "sentence position"]
    r_hat: float
    sweeps: int
    chains: int


def run_gibbs(
    shape: tuple[int, int],
    classes: Sequence[Incidence],
    local_log_weights: LocalRule,
    log_weight: Callable[[Int64[Tensor, "position chain"]], Float[Tensor, " chain"]],
    n: int,
    sweeps: int,
    generator: torch.Generator,
) -> GibbsSample:
    """Run max(n, LEAST_CHAINS) heat-bath chains, one colour class of positions at a time.

    Positions of one class share no interaction, so they are redrawn together. Of c + 1 chains in turn, c start at the
    constant sentences and one at uniform tokens. Source: ours; split R̂ is that of Gelman et al., Bayesian Data
    Analysis, 3rd ed., section 11.4.

    Args:
        shape: (T, c).
        classes: the interactions around the positions of each class.
        local_log_weights: the logarithms of p*(v | x_{−t}), up to a constant, for the positions of a class.
        log_weight: the statistic that is watched beside the tokens.
        n: number of draws.
        sweeps: sweeps of each chain, at least 8.
        generator: source of all randomness; the chains live on its device.

    Raises:
        ValueError: if there are too few sweeps to compare halves.
    """
    if sweeps < 8:
        raise ValueError(f"expected sweeps >= 8, got {sweeps}; the second half is split in two to compare its parts")
    (length, c), device = shape, generator.device
    chains, half = max(n, LEAST_CHAINS), sweeps // 4
    states = torch.randint(0, c, (length, chains), generator=generator, device=device)
    start = torch.arange(chains, device=device) % (c + 1)
    states = torch.where(start < c, start, states)
    classes = [around.to(device) for around in classes]
    # Of each half: how often every token stood at every position, and the first two moments of log_weight.
    counts = torch.zeros((2, length, c, chains), dtype=torch.float64, device=device)
    moments = torch.zeros((2, 2, chains), dtype=torch.float64, device=device)
    origin = torch.zeros((), dtype=torch.float64, device=device)
    one = torch.ones((length, 1, chains), dtype=torch.float64, device=device)
    for sweep in range(sweeps):
        for around in classes:
            prob = local_log_weights(states, around).softmax(1)
            uniform = torch.rand((len(prob), 1, chains), generator=generator, device=device, dtype=torch.float64)
            states[around.positions] = (uniform >= prob.cumsum(1)[:, :-1]).sum(1)
        recorded = sweep - (sweeps - 2 * half)
        if recorded >= 0:
            part = recorded // half
            counts[part].scatter_add_(1, states[:, None], one)
            value = log_weight(states)
            if recorded == 0:
                origin = value.mean()
            moments[part] += torch.stack([value - origin, (value - origin).square()])
    token_mean = counts / half
    token_r = _split_r_hat(token_mean.movedim(0, -1).flatten(2), half, token_mean.movedim(0, -1).flatten(2))
    weight = (moments / half).movedim(1, 0)
    weight_r = _split_r_hat(weight[0].flatten(), half, weight[1].flatten())
    return GibbsSample(states.T[:n].contiguous(), max(float(token_r.max()), float(weight_r)), sweeps, chains)


def _split_r_hat(mean: Float[Tensor, "*any half"], size: int, square: Float[Tensor, "*any half"]) -> Tensor:
    """Return R̂ over half-chains of `size` values with the given means of the values and of their squares."""
    within = ((square - mean.square()).clamp(min=0.0) * size / (size - 1)).mean(-1)
    between = mean.var(-1)
    ratio = torch.sqrt((size - 1) / size + between / within)
    # A statistic that no chain ever moves is settled if all chains agree on it.
    frozen = torch.where(between == 0.0, 1.0, math.inf)
    return torch.where(within == 0.0, frozen, ratio)
