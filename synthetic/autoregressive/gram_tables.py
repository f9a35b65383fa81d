"""Functions of k-grams that equal a constant except on a list, evaluated with one entry of the gram left free."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def gram_keys(grams: Int64[Tensor, "*batch k"], base: int) -> Int64[Tensor, "*batch"]:
    """Return each gram as one number, Σ_i base^{k−1−i} g_i: sorting keys sorts grams.

    >>> gram_keys(torch.tensor([[1, 2], [0, 3]]), 4).tolist()
    [6, 3]
    """
    key = torch.zeros(grams.shape[:-1], dtype=torch.int64, device=grams.device)
    for i in range(grams.shape[-1]):
        key = key * base + grams[..., i]
    return key


def windows(
    tokens: Int64[Tensor, "sentence position"], order: int, start: int
) -> Int64[Tensor, "sentence position order"]:
    """Return (x_{s−n+1}, …, x_s) for every position s, n the order; positions before the first hold `start`.

    >>> windows(torch.tensor([[0, 1]]), 2, start=9).tolist()
    [[[9, 0], [0, 1]]]
    """
    return torch.nn.functional.pad(tokens, (order - 1, 0), value=start).unfold(1, order, 1)


def distinct(
    grams: Int64[Tensor, "gram k"], counts: Int64[Tensor, " gram"], base: int
) -> tuple[Int64[Tensor, "distinct k"], Int64[Tensor, " distinct"]]:
    """Return the distinct grams in lexicographic order and the sum of the counts of each; exact."""
    keys, index = torch.unique(gram_keys(grams, base), return_inverse=True)
    # Any of the equal grams will do; written in the order of the key, the result does not depend on which.
    first = torch.zeros(len(keys), grams.shape[1], dtype=torch.int64, device=grams.device)
    first[index] = grams
    total = torch.zeros(len(keys), dtype=torch.int64, device=grams.device)
    return first, total.index_add(0, index, counts)


class GramTable:
    """A function f of k-grams over 0 … base−1, given on distinct grams and constant elsewhere.

    Besides the values of f, the rows f(g₁, …, g_{j−1}, ·, g_{j+1}, …, g_k) over all values of one entry: for each j
    the listed grams are kept sorted by their other entries, so that a row is a constant and a contiguous run. Memory
    is linear in the list. Source: ours.

    Args:
        grams: the listed grams, at least one, without repetition.
        values: f on them.
        base: size of the alphabet; base^k must be below 2⁶³.
        default: f everywhere else.
        dense: whether to write the rows out where they are first asked for, base^k numbers for each free entry.
    """

    def __init__(
        self,
        grams: Int64[Tensor, "gram k"],
        values: Float[Tensor, " gram"],
        base: int,
        default: float,
        *,
        dense: bool = False,
    ) -> None:
        """Sort the list once for whole grams and once for every free entry."""
        self.base, self.default = base, default
        self.keys, order = gram_keys(grams, base).sort()
        self.values = values[order]
        self._runs = [self._run(grams, values, slot) for slot in range(grams.shape[1])]
        self._dense: dict[int, Tensor] | None = {} if dense else None

    def find(self, grams: Int64[Tensor, "*batch k"]) -> tuple[Int64[Tensor, "*batch"], Bool[Tensor, "*batch"]]:
        """Return the place of each gram in the sorted list, and whether it is listed (if not, any place)."""
        key = gram_keys(grams, self.base)
        place = torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)
        return place, self.keys[place] == key

    def at(self, grams: Int64[Tensor, "*batch k"]) -> Float[Tensor, "*batch"]:
        """Return f of each gram."""
        place, found = self.find(grams)
        return torch.where(found, self.values[place], self.default)

    def rows(self, grams: Int64[Tensor, "row k"], slot: int, width: int) -> Float[Tensor, "row width"]:
        """Return f with entry `slot` of each gram (whose own value is ignored) set to 0, …, width − 1 in turn."""
        wanted = gram_keys(without(grams, slot), self.base)
        if self._dense is None:
            return self._sparse_rows(wanted, slot, width)
        if slot not in self._dense:
            every = torch.arange(self.base ** (grams.shape[1] - 1), device=grams.device)
            self._dense[slot] = self._sparse_rows(every, slot, self.base)
        return self._dense[slot][:, :width][wanted]

    def _sparse_rows(self, wanted: Int64[Tensor, " row"], slot: int, width: int) -> Float[Tensor, "row width"]:
        keys, offsets, tokens, values = self._runs[slot]
        row = torch.full((len(wanted), width), self.default, dtype=torch.float64, device=wanted.device)
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        found = (keys[place] == wanted).nonzero()[:, 0]
        begin, end = offsets[place[found]], offsets[place[found] + 1]
        size = end - begin
        # The runs one after another: entry e of the list of run r is begin_r + e − (entries of earlier runs).
        shift = begin - size.cumsum(0) + size
        entry = torch.repeat_interleave(shift, size) + torch.arange(int(size.sum()), device=wanted.device)
        inside = tokens[entry] < width
        cell = torch.repeat_interleave(found * width, size) + tokens[entry]
        if not bool(inside.all()):
            cell, entry = cell[inside], entry[inside]
        row.view(-1)[cell] = values[entry]
        return row

    def _run(self, grams: Tensor, values: Tensor, slot: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rest = gram_keys(without(grams, slot), self.base)
        order = rest.argsort(stable=True)
        keys, size = torch.unique_consecutive(rest[order], return_counts=True)
        offsets = torch.nn.functional.pad(size.cumsum(0), (1, 0))
        return keys, offsets, grams[order, slot], values[order]


def without(grams: Int64[Tensor, "*batch k"], slot: int) -> Int64[Tensor, "*batch rest"]:
    """Return the grams without entry `slot`."""
    return torch.cat([grams[..., :slot], grams[..., slot + 1 :]], -1)
