"""Gibbs sampling of graph languages: many chains at once, and the diagnostic without which no draw is handed out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.graphs.incidence import Incidence

LEAST_CHAINS, MOST_CHAINS = 32, 2048
"""Chains that run together: at least, also for fewer draws, since the diagnostic compares chains; and at most."""

LocalRule = Callable[[Int64[Tensor, "position chain"], Incidence], Float[Tensor, "place token chain"]]


class MixingError(ValueError):
    """Chains of a Gibbs sampler that still remember where they started, or never meet."""


@dataclass(frozen=True, eq=False)
class GibbsSample:
    """Draws of independent Gibbs chains, *approximately* from P, with the evidence that they have mixed.

    Attributes:
        sentences: the last state of each chain; independent of each other.
        r_hat: largest split R̂ over log_weight and all indicators 1{x_t = v}. About 1 + (τ − 1)/(2L) for chains with
            autocorrelation time τ of that statistic and L recorded sweeps per half; infinite if a statistic differs
            between chains that never change it. Large values prove that the chains have not mixed, values near one
            do not prove that they have.
        sweeps: sweeps of each chain, of which the first half is not recorded.
        chains: number of chains compared: all, or the first MOST_CHAINS.
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
    """Run n heat-bath chains (at least LEAST_CHAINS), one colour class of positions at a time.

    Positions of one class share no interaction, so they are redrawn together. Of c + 1 chains in turn, c start at the
    constant sentences and one at uniform tokens. Source: ours; split R̂ is that of Gelman et al., Bayesian Data
    Analysis, 3rd ed., section 11.4.

    Args:
        shape: (T, c).
        classes: the interactions around the positions of each class.
        local_log_weights: the logarithms of p*(v | x_{−t}), up to a constant, for the positions of a class.
        log_weight: the statistic that is watched beside the tokens.
        sweeps: sweeps of each chain, at least 8.
        generator: source of all randomness; the chains live on its device.

    Raises:
        ValueError: if there are too few sweeps to compare halves.
    """
    if sweeps < 8:
        raise ValueError(f"expected sweeps >= 8, got {sweeps}; the second half is split in two to compare its parts")
    classes = [around.to(generator.device) for around in classes]
    chains = min(max(n, LEAST_CHAINS), MOST_CHAINS)
    record = _Record(shape, chains, sweeps // 4, generator.device)
    parts = []
    for first in range(0, max(n, 1), chains):
        start = torch.arange(first, first + chains, device=generator.device) % (shape[1] + 1)
        random = torch.randint(0, shape[1], (shape[0], chains), generator=generator, device=generator.device)
        states = torch.where(start < shape[1], start, random)
        for left in reversed(range(sweeps)):
            for around in classes:
                prob = local_log_weights(states, around).softmax(1)
                uniform = torch.rand(
                    (len(prob), 1, chains), generator=generator, device=prob.device, dtype=torch.float64
                )
                states[around.positions] = (uniform >= prob.cumsum(1)[:, :-1]).sum(1)
            if first == 0 and left < 2 * record.half:
                record.add(left // record.half, states, log_weight(states))
        parts.append(states.T)
    return GibbsSample(torch.cat(parts)[:n].contiguous(), record.r_hat(), sweeps, chains)


class _Record:
    """What two halves of some sweeps leave: counts of every token at every position, two moments of log_weight."""

    def __init__(self, shape: tuple[int, int], chains: int, half: int, device: torch.device) -> None:
        self.half = half
        self._counts = torch.zeros((2, *shape, chains), dtype=torch.float64, device=device)
        self._moments = torch.zeros((2, 2, chains), dtype=torch.float64, device=device)
        self._origin: Tensor | None = None

    def add(self, part: int, states: Int64[Tensor, "position chain"], log_weight: Float[Tensor, " chain"]) -> None:
        one = torch.ones((), dtype=torch.float64, device=states.device).expand(len(states), 1, states.shape[1])
        self._counts[part].scatter_add_(1, states[:, None], one)
        if self._origin is None:
            # One chain's value, not a mean: chains that agree then differ from it by exactly nothing.
            self._origin = log_weight[0]
        off = log_weight - self._origin
        self._moments[part] += torch.stack([off, off.square()])

    def r_hat(self) -> float:
        # Indicators are their own squares.
        tokens = (self._counts / self.half).permute(1, 2, 0, 3).flatten(2)
        mean, square = (self._moments / self.half).transpose(0, 1).flatten(1)
        return max(float(_split_r_hat(tokens, tokens, self.half).max()), float(_split_r_hat(mean, square, self.half)))


def _split_r_hat(
    mean: Float[Tensor, "*statistic half"], square: Float[Tensor, "*statistic half"], size: int
) -> Float[Tensor, "*statistic"]:
    """Return R̂ over half-chains of `size` values with the given means of the values and of their squares."""
    within = ((square - mean.square()).clamp(min=0.0) * size / (size - 1)).mean(-1)
    between = mean.var(-1)
    # A statistic that no chain ever moves is settled if all chains agree on it.
    frozen = torch.where(between == 0.0, 1.0, math.inf)
    return torch.where(within == 0.0, frozen, torch.sqrt((size - 1) / size + between / within))
