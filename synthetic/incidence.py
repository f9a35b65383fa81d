"""The interactions around each position of a graph, laid out so that sums over them are a few operations on rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Slot:
    """One interaction of each of the first few positions: its weight and the other positions in it.

    Where an interaction has fewer others than there are rows, `length` (a position past the end) stands for none.
    """

    weights: Float[Tensor, " place"]
    others: Int64[Tensor, "other place"]

    @property
    def size(self) -> int:
        """Number of positions that have this slot."""
        return len(self.weights)


@dataclass(frozen=True, eq=False)
class Incidence:
    """The interactions around some positions, which are sorted by falling degree: slot k holds everyone's k-th one.

    The slots hold each pair (position, interaction) exactly once, so sums over them waste nothing on a hub, and each
    adds at most one term to a position, so they are reproducible on any device.

    Attributes:
        positions: the positions in the order of the slots.
        place: for every position of the graph its index in `positions`; `len(positions)` if it is not among them.
        slots: as many as the largest degree.
    """

    positions: Int64[Tensor, " place"]
    place: Int64[Tensor, " position"]
    slots: tuple[Slot, ...]

    def to(self, device: torch.device) -> Incidence:
        """Return the same on a device."""
        if self.positions.device == device:
            return self
        slots = tuple(Slot(slot.weights.to(device), slot.others.to(device)) for slot in self.slots)
        return Incidence(self.positions.to(device), self.place.to(device), slots)


def incidence(
    length: int, scopes: Sequence[tuple[int, ...]], weights: Sequence[float | int], positions: Sequence[int]
) -> Incidence:
    """Return the interactions around `positions` of a graph of `length` positions."""
    around: dict[int, list[tuple[float, list[int]]]] = {t: [] for t in positions}
    for scope, weight in zip(scopes, weights, strict=True):
        for t in scope:
            if t in around:
                around[t].append((weight, [i for i in scope if i != t]))
    ranked = sorted(positions, key=lambda t: -len(around[t]))
    place = torch.full((length,), len(ranked), dtype=torch.int64)
    place[ranked] = torch.arange(len(ranked))
    slots = []
    for k in range(max(map(len, around.values()), default=0)):
        terms = [around[t][k] for t in ranked if len(around[t]) > k]
        depth = max(1, *(len(others) for _, others in terms))
        others = torch.tensor([others + [length] * (depth - len(others)) for _, others in terms])
        slots.append(Slot(torch.tensor([weight for weight, _ in terms], dtype=torch.float64), others.T.contiguous()))
    return Incidence(torch.tensor(ranked, dtype=torch.int64), place, tuple(slots))
