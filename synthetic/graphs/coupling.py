"""Perfect samples of two-token graphs without frustration: monotone coupling from the past."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.graphs.incidence import Incidence

PILOTS = 64
"""Pairs of chains whose median meeting time sets the length of a block."""

MAX_SWEEPS = 4096
"""Sweeps within which the pilots must meet."""

MAX_BLOCKS = 1000
"""Blocks within which every lane must be done; each ends a lane with probability about ½."""

TOKENS = 2**20
"""Tokens of the lanes that run together; more lanes are run in turn."""


class CouplingError(ValueError):
    """Chains from the two extreme states that do not meet within the cap."""


@dataclass(frozen=True, eq=False)
class MonotoneChain:
    """Heat-bath sweeps in which flipping a token towards `up` makes every other token likelier to be `up`.

    Attributes:
        up: the largest sentence; the smallest is its complement.
        classes: the interactions around each colour class of positions.
        log_odds: log p*(1 | x_{−t}) − log p*(0 | x_{−t}) at the positions of a class.
    """

    up: Int64[Tensor, " position"]
    classes: Sequence[Incidence]
    log_odds: Callable[[Int64[Tensor, "position chain"], Incidence], Float[Tensor, "place chain"]]

    def to(self, device: torch.device) -> MonotoneChain:
        return MonotoneChain(self.up.to(device), [around.to(device) for around in self.classes], self.log_odds)

    def extremes(self, lanes: int) -> Int64[Tensor, "position two lane"]:
        """Return the largest and the smallest sentence for each lane."""
        return torch.stack([self.up, 1 - self.up], 1)[:, :, None].repeat(1, 1, lanes)

    def sweep(self, states: Int64[Tensor, "position copy lane"], generator: torch.Generator) -> None:
        """Redraw every position in place, all copies of a lane with the same uniform numbers."""
        lanes = states.shape[2]
        for around in self.classes:
            up = self.up[around.positions, None, None]
            odds = self.log_odds(states.flatten(1), around).reshape(-1, *states.shape[1:])
            shape = (len(up), 1, lanes)
            uniform = torch.rand(shape, generator=generator, device=states.device, dtype=torch.float64)
            # Stated for the event x_t = up, so that one uniform number serves both orientations of the order.
            agrees = uniform < torch.sigmoid(torch.where(up == 1, odds, -odds))
            states[around.positions] = torch.where(agrees, up, 1 - up)


def sample_coupled(chain: MonotoneChain, n: int, generator: torch.Generator) -> Int64[Tensor, "sentence position"]:
    """Draw n independent sentences exactly from P, on the generator's device.

    Read-once coupling from the past (Wilson, 2000): time is cut into blocks of as many sweeps as half of the pilots
    need to meet. After a first block in which the two extreme chains meet, a lane goes on from their common state;
    its state *before* the next such block is a perfect draw. Nothing is stored but the present states.

    Raises:
        CouplingError: if the chains need more than MAX_SWEEPS sweeps, as in an ordered phase.
    """
    chain = chain.to(generator.device)
    sweeps = _median_meeting(chain, generator)
    lanes = max(1, TOKENS // len(chain.up))
    parts = [_lanes(chain, min(lanes, n - first), sweeps, generator) for first in range(0, n, lanes)]
    return torch.cat(parts) if parts else chain.up.new_zeros((0, len(chain.up)))


def _median_meeting(chain: MonotoneChain, generator: torch.Generator) -> int:
    states = chain.extremes(PILOTS)
    for sweeps in range(1, MAX_SWEEPS + 1):
        chain.sweep(states, generator)
        if 2 * int(_met(states).sum()) >= PILOTS:
            return sweeps
    raise CouplingError(
        f"expected coupled chains to meet within {MAX_SWEEPS} sweeps, got most of {PILOTS} pairs apart; the couplings "
        'are too strong for perfect sampling: weaken them, or use sampler="gibbs" and read its diagnostic'
    )


def _lanes(chain: MonotoneChain, n: int, sweeps: int, generator: torch.Generator) -> Int64[Tensor, "sentence position"]:
    drawn = chain.up.new_zeros((n, len(chain.up)))
    lanes = torch.arange(n, device=drawn.device)
    started = torch.zeros(n, dtype=torch.bool, device=drawn.device)
    current = chain.up[:, None].repeat(1, n)
    for _ in range(MAX_BLOCKS):
        states = torch.cat([chain.extremes(len(lanes)), current[:, None]], 1)
        for _ in range(sweeps):
            chain.sweep(states, generator)
        met = _met(states)
        done = met & started
        drawn[lanes[done]] = current[:, done].T
        started |= met
        lanes, started, current = lanes[~done], started[~done], states[:, 2, ~done]
        if not len(lanes):
            return drawn
    raise CouplingError(
        f"expected every lane to be done within {MAX_BLOCKS} blocks of {sweeps} sweeps, got {len(lanes)} unfinished; "
        'draw again with another seed, or use sampler="gibbs" and read its diagnostic'
    )


def _met(states: Int64[Tensor, "position copy lane"]) -> Bool[Tensor, " lane"]:
    return (states[:, 0] == states[:, 1]).all(0)
