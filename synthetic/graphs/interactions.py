"""Interactions among positions: what is refused, and how they look as a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import networkx as nx


def check_length(length: int) -> None:
    """Raise unless a sentence has a position.

    Raises:
        ValueError: naming the length.
    """
    if length < 1:
        raise ValueError(f"expected a length >= 1, got {length}; a sentence has at least one token")


def check_interactions(
    length: int, interactions: Sequence[tuple[int, ...]], weights: Sequence[float | int], size: int | None = None
) -> None:
    """Raise unless the interactions are distinct sets of positions (of `size`, if given), each with a finite weight.

    Raises:
        ValueError: naming the interaction and the remedy.
    """
    if len(weights) != len(interactions):
        raise ValueError(
            f"expected one weight for each of {len(interactions)} interactions, got {len(weights)}; "
            "give them in the same order"
        )
    seen: set[frozenset[int]] = set()
    for edge, weight in zip(interactions, weights, strict=True):
        if not edge or (size is not None and len(edge) != size):
            raise ValueError(f"expected {size or 'at least one'} position(s) in an interaction, got {edge}; correct it")
        if not all(0 <= i < length for i in edge) or len(set(edge)) < len(edge):
            raise ValueError(
                f"expected distinct positions 0..{length - 1} in an interaction, got {edge}; positions count from 0"
            )
        if frozenset(edge) in seen:
            raise ValueError(f"expected each interaction once, got {edge} again; add up the weights")
        if not math.isfinite(weight):
            raise ValueError(f"expected finite weights, got {weight} on {edge}; a large finite one excludes as well")
        seen.add(frozenset(edge))


def interaction_graph(length: int, interactions: Sequence[tuple[int, ...]], weights: Sequence[float | int]) -> nx.Graph:
    """Return positions (group 0), pairs as edges, larger interactions as nodes of group 1 joined to their positions.

    An edge has `weight` |θ|/max |θ| and the label θ; a position's `weight` is the same for its field, if it has one.
    """
    graph = nx.Graph()
    top = max(map(abs, weights), default=0.0) or 1.0
    for t in range(length):
        graph.add_node(t, label=str(t), group=0)
    for edge, weight in zip(interactions, weights, strict=True):
        share, label = abs(weight) / top, f"{weight:+.3g}"
        if len(edge) == 1:
            graph.nodes[edge[0]].update(weight=share, label=f"{edge[0]}: {label}")
        elif len(edge) == 2:
            graph.add_edge(*edge, weight=share, label=label)
        else:
            graph.add_node(edge, label=label, weight=share, group=1)
            graph.add_edges_from(((i, edge) for i in edge), weight=share)
    return graph
