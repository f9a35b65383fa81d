"""Potts languages: tokens that like or dislike equal neighbours along the edges of a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.graphs.elimination import Scope
from synthetic.graphs.incidence import Incidence
from synthetic.graphs.interactions import check_interactions, check_length, interaction_graph
from synthetic.graphs.markov_field import MarkovField, Sampler


@dataclass(frozen=True)
class PottsGraph(MarkovField):
    """The language P(x) ∝ exp(Σ_{ij} J_ij δ(x_i, x_j) + Σ_i h_i(x_i)) of c tokens on a graph with edges ij.

    Every conditional is p*(v | x_{−t}) ∝ exp(h_t(v) + Σ_{j~t} J_tj δ(v, x_j)). With two tokens and J = 2θ it is the
    pairwise TokenGraph. Source: ours.

    Attributes:
        tokens: their names.
        T: length, at least 1.
        pairs: the edges ij, distinct pairs of positions.
        couplings: J_ij, finite, in the same order.
        fields: h_i(v) for each position and token, finite; () for none.
        masked_positions: those that the task masks; () for all.
        sampler: how `sample` draws; see `MarkovField`.

    >>> PottsGraph(("a", "b", "c"), 3, ((0, 1), (1, 2)), (1.0, 1.0)).masked_conditional(torch.tensor([[0, -1, 0]]))
    tensor([[0.7870, 0.1065, 0.1065]], dtype=torch.float64)
    """

    family: ClassVar[str] = "potts"
    tokens: tuple[str, ...]
    T: int
    pairs: tuple[Scope, ...]
    couplings: tuple[float | int, ...]
    fields: tuple[tuple[float | int, ...], ...] = ()
    masked_positions: tuple[int, ...] = ()
    sampler: Sampler = "exact"

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: on a repeated or missing token, a bad edge or a number that is not finite; names it.
        """
        check_length(self.T)
        if not self.tokens or len(set(self.tokens)) < len(self.tokens):
            raise ValueError(f"expected distinct tokens, at least one, got {self.tokens}; rename them")
        check_interactions(self.T, self.pairs, self.couplings, 2)
        shape = {len(row) for row in self.fields}
        if self.fields and (len(self.fields) != self.T or shape != {len(self.tokens)}):
            raise ValueError(
                f"expected fields of {self.T} positions by {len(self.tokens)} tokens, got {len(self.fields)} "
                f"rows of {sorted(shape)}; () means none"
            )
        for t, row in enumerate(self.fields):
            if not all(map(math.isfinite, row)):
                raise ValueError(f"expected finite fields, got {row} at position {t}; a large finite one excludes too")
        self._check_field()

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.tokens

    @property
    def length(self) -> int:
        return self.T

    def graph(self) -> nx.Graph:
        """Return the positions, joined by the pairs with weight |J_ij|/max |J| and label J_ij."""
        return interaction_graph(self.length, self.pairs, self.couplings)

    def _interactions(self) -> tuple[Sequence[Scope], Sequence[float | int]]:
        return self.pairs, self.couplings

    def _tables(self) -> tuple[int, list[Scope], list[Tensor]]:
        same = torch.eye(self.n_tokens, dtype=torch.float64)
        field = self._field_table
        tables = [J * same - max(J, 0.0) for J in self.couplings]
        tables += [row - row.max() for row in field]
        return self.T, [*self.pairs, *((t,) for t in range(self.T))], tables

    @cached_property
    def _field_table(self) -> Float[Tensor, "position token"]:
        if not self.fields:
            return torch.zeros((self.length, self.n_tokens), dtype=torch.float64)
        return torch.tensor(self.fields, dtype=torch.float64)

    @property
    def _ceiling(self) -> float:
        return float(sum(max(J, 0.0) for J in self.couplings) + self._field_table.amax(1).sum())

    @cached_property
    def _edges(self) -> tuple[Int64[Tensor, "end edge"], Float[Tensor, " edge"]]:
        ends = torch.tensor(self.pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()
        return ends, torch.tensor(self.couplings, dtype=torch.float64)

    def _deficits(self, states: Int64[Tensor, "position sentence"]) -> Float[Tensor, " sentence"]:
        ends, couplings = (part.to(states.device) for part in self._edges)
        same = (states[ends[0]] == states[ends[1]]).to(torch.float64)
        field = self._field_table.to(states.device)
        field = field - field.amax(1, keepdim=True)
        pairs = couplings[:, None] * same - couplings.clamp(min=0.0)[:, None]
        return pairs.sum(0) + field.gather(1, states).sum(0)

    def _local_log_weights(
        self, states: Int64[Tensor, "position sentence"], around: Incidence
    ) -> Float[Tensor, "place token sentence"]:
        field = self._field_table.to(states.device)[around.positions]
        found = field[:, :, None].repeat(1, 1, states.shape[1])
        for slot in around.slots:
            # Where a term is missing its weight is 0, and any neighbour will do.
            neighbour = states[slot.others[0].clamp(max=self.T - 1)]
            if slot.weights.shape[1] == 1:
                found[: slot.size].scatter_add_(1, neighbour, slot.weights[:, :, None].expand(neighbour.shape))
            else:
                same = neighbour[:, :, None] == torch.arange(self.n_tokens, device=states.device)[:, None]
                found[: slot.size] += (slot.weights[:, :, None, None] * same).sum(1)
        return found

    def _log_weights_at(
        self, contexts: Int64[Tensor, "context position"], positions: Int64[Tensor, " context"], around: Incidence
    ) -> Float[Tensor, "context token"]:
        place = around.place[positions]
        found = self._field_table.to(contexts.device)[positions]
        for slot in around.slots:
            rows = (place < slot.size).nonzero()[:, 0]
            at = place[rows]
            neighbour = contexts[rows[:, None], slot.others[0, at].clamp(max=self.T - 1)]
            # A missing neighbour may be the masked one, which is no token; its weight is 0.
            same = neighbour[:, :, None] == torch.arange(self.n_tokens, device=contexts.device)
            found[rows] += (slot.weights[at][:, :, None] * same).sum(1)
        return found

    def _exponent_exact(self, sentence: tuple[int, ...]) -> Fraction:
        pairs = zip(self.pairs, self.couplings, strict=True)
        total = sum((Fraction(J) for (i, j), J in pairs if sentence[i] == sentence[j]), Fraction(0))
        return total + sum((Fraction(row[sentence[t]]) for t, row in enumerate(self.fields)), Fraction(0))
