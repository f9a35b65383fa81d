"""Token graphs from a networkx graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx
import numpy as np

from synthetic.graphs.token_graph import TokenGraph

Weight = float | int | str | Callable[[np.random.Generator], float]
"""A constant, the name of an attribute that holds the number, or a function that draws it."""


def from_networkx(
    graph: nx.Graph,
    coupling: Weight,
    field: Weight = 0.0,
    generator: np.random.Generator | None = None,
    masked_positions: tuple[int, ...] = (),
) -> TokenGraph:
    """Return the token graph with a pair interaction on every edge and a field on every node.

    Positions are the nodes in the graph's order. Path, cycle, grid, random regular and Erdős–Rényi graphs are
    networkx's `path_graph`, `cycle_graph`, `grid_2d_graph`, `random_regular_graph` and `gnp_random_graph`.

    Args:
        graph: an undirected graph without loops.
        coupling: θ of the edges.
        field: θ of the nodes; positions of field 0 get no interaction.
        generator: what a drawing function is called with; edges in their order first, then nodes.
        masked_positions: those that the task masks; () for all.

    Raises:
        ValueError: if the graph is directed, has loops or parallel edges or no node, an attribute is missing, or a
            drawing function comes without a generator.

    >>> import networkx as nx
    >>> normal = lambda generator: generator.normal(0, 0.3)
    >>> glass = from_networkx(nx.grid_2d_graph(4, 4), normal, generator=np.random.default_rng(0))
    >>> glass.length, len(glass.interactions)
    (16, 24)
    """
    if graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"expected an undirected simple graph, got {type(graph).__name__}; convert it with nx.Graph")
    loops = list(nx.nodes_with_selfloops(graph))
    if loops:
        raise ValueError(f"expected no loops, got one at {loops[0]!r}; a token's own sign squared is 1, drop the loop")
    place = {node: t for t, node in enumerate(graph)}
    table: dict[tuple[int, ...], float] = {
        (place[a], place[b]): _number(coupling, data, f"edge {(a, b)!r}", generator)
        for a, b, data in graph.edges(data=True)
    }
    fields = [_number(field, data, f"node {node!r}", generator) for node, data in graph.nodes(data=True)]
    table |= {(t,): value for t, value in enumerate(fields) if value != 0}
    return TokenGraph(len(graph), tuple(table), tuple(table.values()), masked_positions)


def _number(weight: Weight, data: Mapping[str, Any], where: str, generator: np.random.Generator | None) -> float:
    if isinstance(weight, str):
        if weight not in data:
            raise ValueError(f"expected an attribute {weight!r} on {where}, got {sorted(data)}; set it on all of them")
        return float(data[weight])
    if callable(weight):
        if generator is None:
            raise ValueError(f"expected a generator for the drawn weight of {where}, got none; pass generator=")
        return float(weight(generator))
    return float(weight)
