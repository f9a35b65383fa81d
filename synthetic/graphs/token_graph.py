"""Token graphs: signs that interact along the edges of a hypergraph, the Ising model as a language."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.graphs.coupling import MonotoneChain
from synthetic.graphs.elimination import Scope
from synthetic.graphs.incidence import Incidence
from synthetic.graphs.interactions import check_interactions, check_length, interaction_graph
from synthetic.graphs.markov_field import MarkovField, Sampler
from synthetic.sentence_tasks import ParityTask
from synthetic.tasks import DownstreamTask

MAX_ORDER = 6
"""Positions of one interaction above which elimination carries it by running products instead of one table."""


@dataclass(frozen=True)
class TokenGraph(MarkovField):
    """The language P(x) ∝ exp Σ_e θ_e Π_{i∈e} x_i of signs x ∈ {±1}^T on a hypergraph with edges e.

    Token 0 is −1, token 1 is +1; an edge of one position is a field. With the local field
    h_t = Σ_{e∋t} θ_e Π_{i∈e, i≠t} x_i every conditional is p*(+1 | x_{−t}) = σ(2h_t).

    Source: ours; the paper's synthetic language without noise is a special case of its kind (second-hand).

    Attributes:
        T: length, at least 1.
        interactions: the edges e, distinct sets of positions 0 … T−1.
        weights: θ_e, finite, in the same order.
        masked_positions: those that the task masks; () for all.
        sampler: how `sample` draws; see `MarkovField`.

    >>> chain = TokenGraph(3, ((0, 1), (1, 2)), (0.5, 0.5))
    >>> chain.masked_conditional(torch.tensor([[1, -1, 1], [1, -1, 0]]))
    tensor([[0.1192, 0.8808],
            [0.5000, 0.5000]], dtype=torch.float64)
    """

    family: ClassVar[str] = "token-graph"
    vocabulary: ClassVar[tuple[str, ...]] = ("-1", "+1")
    T: int
    interactions: tuple[Scope, ...]
    weights: tuple[float | int, ...]
    masked_positions: tuple[int, ...] = ()
    sampler: Sampler = "exact"

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: on a position out of range or repeated, a repeated edge, or a weight that is not finite.
        """
        check_length(self.T)
        check_interactions(self.T, self.interactions, self.weights)
        self._check_field()

    @property
    def length(self) -> int:
        return self.T

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The tasks `plurality`, the majority sign, and `parity-of-…`, of the strongest interaction where visible."""
        tasks = dict(super().downstream)
        strongest = 0.0
        best: tuple[int, ...] = ()
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            shown = tuple(sorted(set(edge) - set(self.hidden)))
            if len(shown) > 1 and abs(weight) > strongest:
                strongest, best = float(abs(weight)), shown
        if best:
            task = ParityTask(self, best, hidden=self.hidden)
            tasks[task.name] = task
        return tasks

    def graph(self) -> nx.Graph:
        """Return the positions, joined by pairs; larger interactions are nodes of group 1 joined to their positions."""
        return interaction_graph(self.length, self.interactions, self.weights)

    def gauge(self) -> tuple[int, ...] | None:
        """Return signs s with θ_ij s_i s_j ≥ 0 on all pairs; None if there are none or larger interactions act.

        They exist when no cycle is frustrated: for couplings ≥ 0, for any couplings on a forest or, all negative, on a
        bipartite graph.
        """
        active = [(edge, w) for edge, w in zip(self.interactions, self.weights, strict=True) if w and len(edge) > 1]
        if any(len(edge) > 2 for edge, _ in active):
            return None
        pairs = nx.Graph()
        pairs.add_nodes_from(range(self.length))
        pairs.add_edges_from((i, j, {"sign": 1 if w > 0 else -1}) for (i, j), w in active)
        sign: dict[int, int] = {}
        for component in nx.connected_components(pairs):
            root = min(component)
            sign[root] = 1
            for i, j in nx.bfs_edges(pairs, root):
                sign[j] = sign[i] * pairs.edges[i, j]["sign"]
        balanced = all(sign[i] * sign[j] == data["sign"] for i, j, data in pairs.edges(data=True))
        return tuple(sign[t] for t in range(self.length)) if balanced else None

    def _interactions(self) -> tuple[Sequence[Scope], Sequence[float | int]]:
        return self.interactions, self.weights

    def _tables(self) -> tuple[int, list[Scope], list[Tensor]]:
        n_variables, scopes, tables = self.T, [], []
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            rest = edge
            while len(rest) > MAX_ORDER:
                # A further variable, bound to the product of the first few positions, stands for them.
                head, rest = rest[: MAX_ORDER - 1], (*rest[MAX_ORDER - 1 :], n_variables)
                scopes.append((*head, n_variables))
                tables.append(torch.where(_parity(MAX_ORDER) > 0, 0.0, -math.inf))
                n_variables += 1
            scopes.append(rest)
            tables.append(weight * _parity(len(rest)) - abs(weight))
        return n_variables, scopes, tables

    @property
    def _ceiling(self) -> float:
        return float(sum(map(abs, self.weights)))

    @cached_property
    def _edges(self) -> tuple[Int64[Tensor, "other edge"], Float[Tensor, " edge"]]:
        """The positions of every edge, filled up with T, and the weights."""
        depth = max(map(len, self.interactions), default=1)
        rows = [[*edge, *[self.length] * (depth - len(edge))] for edge in self.interactions]
        table = torch.tensor(rows, dtype=torch.int64).reshape(-1, depth).T.contiguous()
        return table, torch.tensor(self.weights, dtype=torch.float64)

    def _deficits(self, states: Int64[Tensor, "position sentence"]) -> Float[Tensor, " sentence"]:
        table, weights = (part.to(states.device) for part in self._edges)
        spins = _padded(states)
        product = spins[table[0]]
        for row in table[1:]:
            product *= spins[row]
        return (weights[:, None] * product - weights.abs()[:, None]).sum(0)

    def _local_log_weights(
        self, states: Int64[Tensor, "position sentence"], around: Incidence
    ) -> Float[Tensor, "place token sentence"]:
        field = self._local_field(states, around)
        return torch.stack([-field, field], 1)

    def _local_field(
        self, states: Int64[Tensor, "position sentence"], around: Incidence
    ) -> Float[Tensor, "place sentence"]:
        spins = _padded(states)
        field = spins.new_zeros((len(around.positions), states.shape[1]))
        for slot in around.slots:
            product = spins[slot.others[0]]
            for others in slot.others[1:]:
                product *= spins[others]
            if slot.weights.shape[1] == 1:
                field[: slot.size].addcmul_(slot.weights, product[:, 0])
            else:
                field[: slot.size] += (slot.weights[:, :, None] * product).sum(1)
        return field

    def _log_weights_at(
        self, contexts: Int64[Tensor, "context position"], positions: Int64[Tensor, " context"], around: Incidence
    ) -> Float[Tensor, "context token"]:
        place = around.place[positions]
        field = torch.zeros(len(contexts), dtype=torch.float64, device=contexts.device)
        for slot in around.slots:
            rows = (place < slot.size).nonzero()[:, 0]
            at = place[rows]
            terms = slot.weights[at]
            for others in slot.others:
                other = others[at]
                spin = 2 * contexts[rows[:, None], other.clamp(max=self.T - 1)] - 1
                terms = terms * torch.where(other < self.T, spin, 1)
            field[rows] += terms.sum(1)
        return torch.stack([-field, field], 1)

    def _exponent_exact(self, sentence: tuple[int, ...]) -> Fraction:
        total = Fraction(0)
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            odd_downs = sum(sentence[i] == 0 for i in edge) % 2
            total += -Fraction(weight) if odd_downs else Fraction(weight)
        return total

    def _monotone_chain(self) -> MonotoneChain | None:
        gauge = self.gauge()
        if gauge is None:
            return None
        up = torch.tensor([(1 + s) // 2 for s in gauge], dtype=torch.int64)
        return MonotoneChain(up, self._classes, lambda states, around: 2 * self._local_field(states, around))


def _padded(states: Int64[Tensor, "position sentence"]) -> Float[Tensor, "position_and_none sentence"]:
    """Return signs with a last row of ones, the value of no position."""
    return torch.nn.functional.pad((2 * states - 1).to(torch.float64), (0, 0, 0, 1), value=1.0)


def _parity(size: int) -> Float[Tensor, "..."]:
    """Return the product of `size` signs, one axis each."""
    product = torch.ones((), dtype=torch.float64)
    for _ in range(size):
        product = torch.stack([-product, product])
    return product
