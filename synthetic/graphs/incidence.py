"""The interactions around each position of a graph, laid out so that sums over them are a few operations on rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Slot:
    """A few interactions of each of the first places: their weights and the other positions in them.

    Where there are fewer, the weight is 0; where an interaction has fewer others, `length` (a position past the end)
    stands for none.
    """

    weights: Float[Tensor, "place term"]
    others: Int64[Tensor, "other place term"]

    @property
    def size(self) -> int:
        return len(self.weights)


@dataclass(frozen=True, eq=False)
class Incidence:
    """The interactions around some positions, which are sorted by falling degree, so that each slot takes the first.

    A slot holds one interaction of every place if many places have one, and several if few have (a hub, a lone
    position): never more entries than there are positions, at least half of them in use.

    Attributes:
        positions: the positions in the order of the slots.
        place: for every position of the graph its index in `positions`; `len(positions)` if it is not among them.
        slots: together, every interaction around every place.
    """

    positions: Int64[Tensor, " place"]
    place: Int64[Tensor, " position"]
    slots: tuple[Slot, ...]

    def to(self, device: torch.device) -> Incidence:
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
                around[t].append((float(weight), [i for i in scope if i != t]))
    ranked = sorted(positions, key=lambda t: -len(around[t]))
    place = torch.full((length,), len(ranked), dtype=torch.int64)
    place[ranked] = torch.arange(len(ranked))
    counts = [sum(len(around[t]) > k for t in ranked) for k in range(len(around[ranked[0]]))]
    slots, k = [], 0
    while k < len(counts):
        terms = 1
        while (
            k + terms < len(counts)
            and counts[k] * (terms + 1) <= length
            and 2 * sum(counts[k : k + terms + 1]) >= counts[k] * (terms + 1)
        ):
            terms += 1
        slots.append(_slot([around[t][k : k + terms] for t in ranked[: counts[k]]], terms, length))
        k += terms
    return Incidence(torch.tensor(ranked, dtype=torch.int64), place, tuple(slots))


def _slot(rows: list[list[tuple[float, list[int]]]], terms: int, none: int) -> Slot:
    depth = max(1, *(len(others) for row in rows for _, others in row))
    padded = [row + [(0.0, [])] * (terms - len(row)) for row in rows]
    weights = torch.tensor([[weight for weight, _ in row] for row in padded], dtype=torch.float64)
    others = torch.tensor([[more + [none] * (depth - len(more)) for _, more in row] for row in padded])
    return Slot(weights, others.permute(2, 0, 1).contiguous())
