"""Hidden Markov models without rounding: which sentences are possible, and probabilities in Fractions."""

from __future__ import annotations

from fractions import Fraction

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.tokens import PAD

AUTOMATON_LIMIT = 2**24
"""Numbers in a step of the automaton above which it is not built."""

COUNT_LIMIT = 2**53
"""Sentences above which they are no longer counted one by one."""

Rows = list[list[Fraction]]


class Support:
    """The possible sentences of a model, as a deterministic automaton whose states are sets of hidden states.

    After a prefix the automaton is in the set of hidden states that may come next; a table per position gives the
    next set for every token, −1 where the token is impossible. Source: the subset construction.

    Attributes:
        size: number of possible sentences; None if the automaton was given up for AUTOMATON_LIMIT or COUNT_LIMIT.
    """

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        lengths: int | Float[Tensor, " length"],
    ) -> None:
        moves, emits, sets = (transition > 0).double().cpu(), (emission > 0).T.cpu(), (start > 0)[None].cpu()
        self._possible = [prob > 0 for prob in _length_law(lengths)]
        self._tables: list[Int64[Tensor, "set token"]] = []
        self.size: int | None = None
        prefixes, size = torch.ones(1, dtype=torch.float64), 0
        for possible in self._possible:
            if len(sets) * emits.numel() > AUTOMATON_LIMIT or float(prefixes.sum()) * len(emits) > COUNT_LIMIT:
                return
            here = sets[:, None, :] & emits[None]
            alive = here.any(2)
            sets, index = torch.unique(here.flatten(0, 1).double() @ moves > 0, dim=0, return_inverse=True)
            self._tables.append(torch.where(alive, index.reshape(alive.shape), -1))
            weight = (alive * prefixes[:, None]).flatten()
            prefixes = torch.zeros(len(sets), dtype=torch.float64).index_add(0, index, weight)
            size += possible * int(prefixes.sum())
        self.size = size

    def sentences(self) -> Int64[Tensor, "sentence position"]:
        """Return the possible sentences, the shorter ones first, of one length in lexicographic order."""
        found, words = [], torch.empty(1, 0, dtype=torch.int64)
        sets = torch.zeros(1, dtype=torch.int64)
        for possible, table in zip(self._possible, self._tables, strict=True):
            following = table[sets]
            row, token = (following >= 0).nonzero(as_tuple=True)
            sets, words = following[row, token], torch.cat([words[row], token[:, None]], 1)
            if possible:
                found.append(torch.nn.functional.pad(words, (0, len(self._tables) - words.shape[1]), value=PAD))
        return torch.cat(found)


class ExactLaw:
    """The probabilities of the sentences of a model with the float64 parameters taken as exact numbers."""

    def __init__(
        self,
        transition: Float[Tensor, "state state"],
        emission: Float[Tensor, "state token"],
        start: Float[Tensor, " state"],
        lengths: int | Float[Tensor, " length"],
    ) -> None:
        self.transition, self.emission = _fractions(transition), _fractions(emission)
        self.start, self.lengths = _fractions(start[None])[0], [Fraction(p) for p in _length_law(lengths)]

    def prob(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x), by the forward recursion."""
        words = [v for v in sentence if v != PAD]
        states = range(len(self.start))
        reach = [self.start[s] * self.emission[s][words[0]] for s in states]
        for v in words[1:]:
            moved = [sum((reach[s] * self.transition[s][to] for s in states), Fraction(0)) for to in states]
            reach = [moved[to] * self.emission[to][v] for to in states]
        return sum(reach, Fraction(0)) * self.lengths[len(words) - 1]


def _length_law(lengths: int | Float[Tensor, " length"]) -> list[float]:
    return lengths.tolist() if isinstance(lengths, Tensor) else [0.0] * (int(lengths) - 1) + [1.0]


def _fractions(rows: Float[Tensor, "row column"]) -> Rows:
    return [[Fraction(p) for p in row] for row in rows.tolist()]
