"""Variable elimination on graphs of small treewidth: the partition function, exact samples and clique marginals."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

TABLE_LIMIT = 2**24
"""Entries Σ_v c^{1 + |separator of v|} of all tables together (128 MiB) above which elimination is refused."""

FILL_LIMIT = 10**7
"""Variables times squared degree above which only the min-degree order is tried."""

Scope = tuple[int, ...]


class TreewidthError(ValueError):
    """The graph's treewidth is too large for exact sums over its sentences."""


@dataclass(frozen=True)
class Bucket:
    """One step of an elimination: the variable that is summed out, and the later variables it is then tied to."""

    variable: int
    separator: Scope

    @property
    def clique(self) -> Scope:
        """The axes of the step's table: the separator, then the variable."""
        return (*self.separator, self.variable)


def moral_graph(n_variables: int, scopes: Iterable[Scope]) -> nx.Graph:
    """Return the graph that joins two variables when a scope holds both."""
    graph = nx.empty_graph(n_variables)
    for scope in scopes:
        graph.add_edges_from(combinations(scope, 2))
    return graph


def elimination_order(n_variables: int, scopes: Sequence[Scope], n_tokens: int, limit: int) -> tuple[Bucket, ...]:
    """Return an order of elimination with small tables: the cheaper of greedy min-fill and greedy min-degree.

    Raises:
        TreewidthError: if the tables of both would exceed `limit` entries; names the width reached and what remains.
    """
    graph = moral_graph(n_variables, scopes)
    # A single value counts as two: its tables are small, but have as many axes.
    n_tokens = max(2, n_tokens)
    # The degeneracy bounds the treewidth from below; it is known in linear time, the greedy orders are not.
    least = max(nx.core_number(graph).values())
    # Counting fill edges costs the square of a degree at each step.
    quick = n_variables * max(degree for _, degree in graph.degree) ** 2 <= FILL_LIMIT
    best: tuple[Bucket, ...] | None = None
    width = least
    for score in (_degree, _fill) if n_tokens ** (least + 1) <= limit else ():
        if score is _fill and (not quick or (best is not None and width == least)):
            break
        order, reached = _greedy(graph, score, n_tokens, limit)
        if len(order) == n_variables:
            best, limit = order, sum(n_tokens ** len(bucket.clique) for bucket in order)
        width = max(least, reached)
    if best is None:
        raise TreewidthError(
            f"expected elimination tables of at most {limit} entries, got a graph whose greedy elimination needs "
            f"one of {n_tokens}^{width + 1} or many nearly as large (width >= {width}); conditionals and log_weight "
            'work at any width, and sampler="coupling" (two tokens, pairs without frustration) or "gibbs" draws'
        )
    return best


def _degree(adjacency: dict[int, set[int]], v: int) -> int:
    return len(adjacency[v])


def _fill(adjacency: dict[int, set[int]], v: int) -> int:
    return sum(b not in adjacency[a] for a, b in combinations(adjacency[v], 2))


def _greedy(
    graph: nx.Graph, score: Callable[[dict[int, set[int]], int], int], n_tokens: int, limit: int
) -> tuple[tuple[Bucket, ...], int]:
    """Return the steps and their width, cut short where the tables would exceed the limit."""
    adjacency = {v: set(graph[v]) for v in graph}
    scores = {v: score(adjacency, v) for v in graph}
    heap = [(value, v) for v, value in scores.items()]
    heapq.heapify(heap)
    order: list[Bucket] = []
    entries = width = 0
    while heap:
        value, v = heapq.heappop(heap)
        if scores.get(v) != value:
            continue
        around = adjacency.pop(v)
        del scores[v]
        width = max(width, len(around))
        entries += n_tokens ** (1 + len(around))
        if entries > limit:
            break
        order.append(Bucket(v, tuple(sorted(around))))
        for a in around:
            adjacency[a] |= around - {a}
            adjacency[a].discard(v)
        changed = around if score is _degree else around.union(*(adjacency[a] for a in around))
        for a in changed:
            scores[a] = score(adjacency, a)
            heapq.heappush(heap, (scores[a], a))
    return tuple(order), width


class EliminationTree:
    """The law P(x) ∝ exp Σ_f φ_f(x_f) of n variables with c values, as conditionals along an order of elimination.

    Summing the variables out one by one, in log space, gives log Z; the step of variable v with separator S also
    gives p(x_v | x_S), and P(x) = Π_v p(x_v | x_{S_v}), from which sentences are drawn in the reverse order. Exact to
    float64 rounding. Source: the bucket elimination of Dechter (1999), a junction tree in disguise.

    Attributes:
        log_partition: log Z, in nats.
        width: the largest separator.
    """

    def __init__(
        self, n_variables: int, n_tokens: int, scopes: Sequence[Scope], tables: Sequence[Tensor], extra: Sequence[Scope]
    ) -> None:
        """Eliminate every variable.

        Args:
            n_variables: number of variables.
            n_tokens: number c of values of each.
            scopes: the variables of each factor.
            tables: the logarithms φ_f, one axis of size c per variable of the scope, float64 on the CPU; −∞ excludes.
            extra: sets of variables of which `marginal` will be asked.
        """
        self._n_tokens = n_tokens
        self._order = elimination_order(n_variables, (*scopes, *extra), n_tokens, TABLE_LIMIT)
        self._step = {bucket.variable: step for step, bucket in enumerate(self._order)}
        self.width = max(len(bucket.separator) for bucket in self._order)
        waiting: list[list[tuple[Scope, Tensor]]] = [[] for _ in self._order]
        for scope, table in zip(scopes, tables, strict=True):
            waiting[self._first(scope)].append((scope, table))
        self.log_partition = 0.0
        self._conditionals: list[Tensor] = []
        for step, bucket in enumerate(self._order):
            joint = torch.zeros((n_tokens,) * len(bucket.clique), dtype=torch.float64)
            for scope, table in waiting[step]:
                joint += _aligned(scope, table, bucket.clique)
            waiting[step].clear()
            message = joint.logsumexp(-1)
            # Where a separator has probability zero, no conditional is defined, and none is asked for.
            conditional = (joint - message[..., None]).exp().nan_to_num(nan=0.0)
            self._conditionals.append(conditional.reshape(-1, n_tokens))
            # The messages' maxima are kept apart, so that the tables keep the digits of what varies.
            peak = message.max()
            self.log_partition += float(peak)
            if bucket.separator:
                waiting[self._first(bucket.separator)].append((bucket.separator, message - peak))

    def sample(self, n: int, generator: torch.Generator) -> Int64[Tensor, "sentence variable"]:
        """Draw n independent sentences on the generator's device, one variable of all sentences at a time."""
        c, device = self._n_tokens, generator.device
        drawn = torch.zeros((len(self._order), n), dtype=torch.int64, device=device)
        for bucket, conditional in zip(reversed(self._order), reversed(self._conditionals), strict=True):
            thresholds = conditional.cumsum(1)[:, :-1].to(device)
            row = torch.zeros(n, dtype=torch.int64, device=device)
            for variable in bucket.separator:
                row = row * c + drawn[variable]
            uniform = torch.rand(n, generator=generator, device=device, dtype=torch.float64)
            if c == 2:
                drawn[bucket.variable] = uniform >= thresholds[row, 0]
            else:
                drawn[bucket.variable] = (uniform[:, None] >= thresholds[row]).sum(1)
        return drawn.T.contiguous()

    def marginals(self, scopes: Sequence[Scope]) -> list[Float[Tensor, "..."]]:
        """Return P(x_S) for sets S among the factors' scopes and `extra`, one axis per variable in the order given."""
        cliques: dict[int, Tensor] = {}
        for step in reversed(range(len(self._order))):
            bucket = self._order[step]
            shape = (self._n_tokens,) * len(bucket.clique)
            outside = torch.ones((), dtype=torch.float64)
            if bucket.separator:
                parent = self._first(bucket.separator)
                outside = _marginal(self._order[parent].clique, cliques[parent], bucket.separator)
            cliques[step] = outside[..., None] * self._conditionals[step].reshape(shape)
        found = []
        for scope in scopes:
            step = self._first(scope)
            found.append(_marginal(self._order[step].clique, cliques[step], scope))
        return found

    def _first(self, scope: Scope) -> int:
        return min(self._step[v] for v in scope)


def total_conditional_entropy(
    eliminate: Callable[[Sequence[Scope]], EliminationTree], blankets: Sequence[Scope]
) -> float:
    """Return Σ H(last variable | the others of its blanket), in nats; exact.

    All blankets become cliques of one elimination, or half of them at a time where that is too wide.

    Args:
        eliminate: builds a tree that has the given sets as cliques.
        blankets: sets of variables, each with the one of interest last.

    Raises:
        TreewidthError: if a single blanket makes the graph too wide.
    """
    try:
        tree = eliminate(blankets)
    except TreewidthError:
        if len(blankets) == 1:
            raise
        half = len(blankets) // 2
        parts = (blankets[:half], blankets[half:])
        return sum(total_conditional_entropy(eliminate, part) for part in parts)
    total = 0.0
    for joint in tree.marginals(blankets):
        outside = joint.sum(-1, keepdim=True)
        total += float((outside * torch.special.entr(joint / outside).nan_to_num(nan=0.0)).sum())
    return total


def _aligned(scope: Scope, table: Tensor, axes: Scope) -> Tensor:
    """Put a table's axes where `axes` has them, with axes of size 1 for the others."""
    inside = [v for v in axes if v in scope]
    table = table.permute([scope.index(v) for v in inside])
    return table[tuple(slice(None) if v in scope else None for v in axes)]


def _marginal(axes: Scope, table: Tensor, scope: Scope) -> Tensor:
    """Sum a table over the axes outside `scope` and put the rest in its order."""
    summed = [axis for axis, v in enumerate(axes) if v not in scope]
    if summed:
        table = table.sum(summed)
    inside = [v for v in axes if v in scope]
    return table.permute([inside.index(v) for v in scope])
