"""The path of a condition down to small excess loss, and where on it several conditions are at the same excess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks import Network
from verify.training import network_at


@dataclass(frozen=True, eq=False)
class Path:
    """Checkpoints of all members of a condition on the anneal, in order.

    Attributes:
        template: networks of the condition's kind.
        steps: step of each checkpoint, counted from the beginning of the anneal.
        theta: parameters there.
        excess: excess losses there, in nats, on the cohort's reference.
        anneals: whether the training is itself the anneal, rather than something before it.
    """

    template: Network
    steps: tuple[int, ...]
    theta: Float[Tensor, "checkpoint member parameter"]
    excess: Float[Tensor, "checkpoint member"]
    anneals: bool = False

    def network(self, checkpoint: int) -> Network:
        """Return the networks at one checkpoint, counted from the end if negative, in float64."""
        return network_at(self.template, self.theta[checkpoint].double(), dtype=torch.float64)

    def raw(self) -> Point:
        """Return the networks as training left them: before the anneal, or at its end if training was one."""
        return self.point(0 if not self.anneals else len(self.steps) - 1)

    def point(self, checkpoint: int) -> Point:
        """Return one checkpoint of all members."""
        return Point(self.network(checkpoint), self.excess[checkpoint], torch.full((self.theta.shape[1],), checkpoint))

    def at(self, level: Float[Tensor, " member"]) -> Point:
        """Return, for every member, the first checkpoint whose excess is at or below its level.

        Raises:
            ValueError: a member never gets there.
        """
        below = self.excess <= level
        missing = (~below.any(0)).nonzero()[:, 0].tolist()
        if missing:
            raise ValueError(
                f"expected every member to reach its level, got none for members {missing}; take the level from `match`"
            )
        first = below.to(torch.int8).argmax(0)
        member = torch.arange(self.theta.shape[1])
        network = network_at(self.template, self.theta[first, member].double(), dtype=torch.float64)
        return Point(network, self.excess[first, member], first)


@dataclass(frozen=True, eq=False)
class Point:
    """One checkpoint of every member.

    Attributes:
        network: the networks, float64.
        excess: their excess losses, in nats.
        checkpoint: which checkpoint it was.
    """

    network: Network
    excess: Float[Tensor, " member"]
    checkpoint: Tensor


def match(paths: Sequence[Path]) -> list[Point]:
    """Return a point of every condition such that a member's excess is nearly the same in all conditions.

    The level of a member is the least excess that its worst condition reaches, max over conditions of min over
    checkpoints, so that every condition gets there; a point is the first checkpoint at or below it. What mismatch
    remains, at most what a condition gains between two checkpoints, or what it is below the level to begin with, is in
    the points' `excess`.
    Source: ours.

    Raises:
        ValueError: fewer than two conditions, or an excess that is not finite.
    """
    if len(paths) < 2:
        raise ValueError(f"expected at least two conditions to match, got {len(paths)}")
    for number, path in enumerate(paths):
        bad = (~torch.isfinite(path.excess)).any(0).nonzero()[:, 0].tolist()
        if bad:
            raise ValueError(f"expected finite excess losses, got others in condition {number} for members {bad}")
    level = torch.stack([path.excess.amin(0) for path in paths]).amax(0)
    return [path.at(level) for path in paths]
