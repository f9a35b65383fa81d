"""Binary rules arranged for a chart: level by level, as sums of products of rows and one matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from synthetic.pcfg.rules import NormalForm
from synthetic.semiring import Linear, Semiring

DENSE = 3
"""A block multiplies all pairs of its rows if at least one in DENSE occurs in a rule; else only those that occur."""


@dataclass(frozen=True, eq=False)
class Contraction:
    """The bilinear map out_o = Σ_{(i, j)} matrix[o, (i, j)] · x_i · y_j on rows of charts.

    Splits of a span are summed before the matrix is applied, so that it is applied once for each span.

    Attributes:
        out: rows of the chart that receive.
        first: rows of the chart that x is read from; a slice if they are consecutive, which spares a copy.
        second: rows of the chart that y is read from, likewise.
        pairs: which rows of `first` and of `second` are multiplied; None for all pairs.
        matrix: the rules' probabilities, as the semiring writes them.
    """

    out: Int64[Tensor, " out"]
    first: Int64[Tensor, " first"] | slice
    second: Int64[Tensor, " second"] | slice
    pairs: Int64[Tensor, "2 pair"] | None
    matrix: Float64[Tensor, "out pair"]

    def empty(self, places: int, n: int, ring: Semiring) -> Float64[Tensor, "pair place sentence"]:
        """Return a sum of no products."""
        return torch.full((self.matrix.shape[1], places, n), ring.zero, dtype=torch.float64, device=self.matrix.device)

    def multiply_add(
        self,
        total: Float64[Tensor, "pair place sentence"],
        x: Float64[Tensor, "symbol place sentence"],
        y: Float64[Tensor, "symbol place sentence"],
        ring: Semiring,
    ) -> None:
        """Add the products of the rows of two charts to `total` in place."""
        x, y = x[self.first], y[self.second]
        if self.pairs is None:
            ring.multiply_add(total.view(len(x), len(y), *x.shape[1:]), x[:, None], y[None])
        else:
            ring.multiply_add(total, x.index_select(0, self.pairs[0]), y.index_select(0, self.pairs[1]))


def contraction(
    out: Int64[Tensor, " rule"],
    first: Int64[Tensor, " rule"],
    second: Int64[Tensor, " rule"],
    prob: Float64[Tensor, " rule"],
    ring: Semiring,
) -> Contraction:
    """Return the contraction of rules given by their symbols."""
    out_rows, o = torch.unique(out, return_inverse=True)
    first_rows, i = torch.unique(first, return_inverse=True)
    second_rows, j = torch.unique(second, return_inverse=True)
    width = len(second_rows)
    occurring, column = torch.unique(i * width + j, return_inverse=True)
    pairs: Tensor | None = torch.stack([occurring // width, occurring % width])
    n_pairs = len(occurring)
    if DENSE * len(occurring) >= len(first_rows) * width:
        pairs, column, n_pairs = None, i * width + j, len(first_rows) * width
    matrix = torch.zeros(len(out_rows), n_pairs, dtype=torch.float64, device=prob.device)
    matrix.index_put_((o, column), prob, accumulate=True)
    return Contraction(out_rows, _consecutive(first_rows), _consecutive(second_rows), pairs, ring.write(matrix))


@dataclass(frozen=True, eq=False)
class Level:
    """The rules of the nonterminals of one level: what they add to a chart, inside and outside.

    Attributes:
        inside: parent ← left · right.
        left: outside of left ← outside of parent · inside of right.
        right: outside of right ← outside of parent · inside of left.
        splits: for each width w of a parent, the widths k of its left child.
        root_only: whether the parents span whole sentences only.
    """

    inside: Contraction
    left: Contraction
    right: Contraction
    splits: tuple[tuple[int, ...], ...]
    root_only: bool

    def places(self, width: int, length: int) -> int:
        """Return at how many positions a parent of this width is of use in sentences of at most this length."""
        return 1 if self.root_only else length - width + 1


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything a chart needs, on one device and in one semiring.

    Attributes:
        ring: the semiring.
        symbols: the symbols that have a row in the chart, S first.
        blocks: the rules by level.
        scale: the number that each token's probabilities are divided by; finite and positive.
        leaves: P(A → v)/scale(v) by row, with two more columns, for PAD (zero) and for MASK (Σ_v P(A → v)).
        emitting: the rows that emit tokens.
        emission: P(A → v) of those rows, not scaled.
        safe_length: length of sentences up to which no number leaves float64's range, whatever the tokens.
        range: the numbers between which products of two keep their precision.
    """

    ring: Semiring
    symbols: Int64[Tensor, " row"]
    blocks: tuple[Level, ...]
    scale: Float64[Tensor, " token"]
    leaves: Float64[Tensor, "row column"]
    emitting: Int64[Tensor, " emitting"]
    emission: Float64[Tensor, "token emitting"]
    safe_length: float
    range: tuple[float, float]


def make_plan(
    rules: NormalForm,
    widths: Bool[Tensor, "symbol width"],
    scale: Float64[Tensor, " token"],
    ring: Semiring,
    device: torch.device,
) -> Plan:
    """Arrange rules for charts in which each symbol spans only the given widths.

    Levels are the longest distances from a root in the graph of strongly connected components: a layered grammar
    has its layers as blocks, a recursive one few blocks. Products whose pairs all rules need are shared by the rules.
    """
    symbols = widths.any(1).nonzero()[:, 0]
    row_of = torch.full((rules.n_symbols,), -1)
    row_of[symbols] = torch.arange(len(symbols))
    kept = widths.any(1)[rules.binary].all(1)
    binary, prob = rules.binary[kept], rules.binary_prob[kept]
    level = levels(rules.n_symbols, binary.tolist())[binary[:, 0]]
    whole = ~torch.isin(torch.arange(rules.n_symbols), binary[:, 1:].flatten())
    blocks = []
    for index in torch.unique(level).tolist():
        of_level = level == index
        (a, b, c), p = binary[of_level].T, prob[of_level].to(device)
        splits = tuple(
            tuple(k for k in range(1, w) if bool(widths[b, k].any() & widths[c, w - k].any()))
            if bool(widths[a, w].any())
            else ()
            for w in range(widths.shape[1])
        )
        ra, rb, rc = (row_of[symbol].to(device) for symbol in (a, b, c))
        up, left, right = (contraction(*rows, p, ring) for rows in ((ra, rb, rc), (rb, ra, rc), (rc, ra, rb)))
        blocks.append(Level(up, left, right, splits, bool(whole[a].all())))
    emission = rules.emission()[symbols]
    scaled = emission / scale
    leaves = torch.cat([scaled, torch.zeros(len(symbols), 1), emission.sum(1, keepdim=True)], 1)
    emitting = (widths[symbols, 1]).nonzero()[:, 0]
    positive = leaves[leaves > 0]
    least = min([1.0, *prob.tolist(), *emission[emission > 0].tolist()])
    # A tree with ℓ leaves weighs at least (least rule · least leaf)^ℓ, and there are fewer than 4^ℓ shapes of trees,
    # whose labels have total probability at most one.
    log_least = (positive.min() * least).log()
    log_most = (4 * positive.max().clamp(min=1.0)).log()
    safe = 650 / float(torch.maximum(-log_least, log_most)) if isinstance(ring, Linear) else math.inf
    bound = (1e-290 / least) ** 0.5
    return Plan(
        ring,
        symbols.to(device),
        tuple(blocks),
        scale.to(device),
        ring.write(leaves).to(device),
        emitting.to(device),
        ring.write(emission[emitting].T.contiguous()).to(device),
        safe,
        (bound, 1e145),
    )


def _consecutive(rows: Int64[Tensor, " row"]) -> Int64[Tensor, " row"] | slice:
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def levels(n_symbols: int, binary: Sequence[Sequence[int]]) -> Int64[Tensor, " symbol"]:
    """Return the level of each symbol: the longest path from a root among strongly connected components."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(n_symbols))
    graph.add_edges_from((a, child) for a, *children in binary for child in children)
    components = nx.condensation(graph)
    found = torch.zeros(n_symbols, dtype=torch.int64)
    for depth, generation in enumerate(nx.topological_generations(components)):
        for component in generation:
            found[list(components.nodes[component]["members"])] = depth
    return found
