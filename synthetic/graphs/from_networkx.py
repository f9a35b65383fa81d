"""Graph languages from what one has at hand: a networkx graph, a table of interactions, or a noisy parity."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx
import numpy as np

from synthetic.closed_form.sign_noise import check_alpha
from synthetic.graphs.markov_field import Sampler
from synthetic.graphs.potts import PottsGraph
from synthetic.graphs.token_graph import TokenGraph

Weight = float | int | str | Callable[[np.random.Generator], float]
"""A constant, the name of an attribute that holds the number, or a function that draws it."""


def hypergraph(
    interactions: Mapping[tuple[int, ...], float | int],
    T: int | None = None,
    masked_positions: tuple[int, ...] = (),
    sampler: Sampler = "exact",
) -> TokenGraph:
    """Return the token graph of a mapping {edge: weight}; T defaults to the last position named, plus one.

    >>> hypergraph({(0, 1): 0.5, (1, 2, 3): -1.0}).length
    4
    """
    found = 1 + max((i for edge in interactions for i in edge), default=0) if T is None else T
    return TokenGraph(found, tuple(interactions), tuple(interactions.values()), masked_positions, sampler)


def from_networkx(
    graph: nx.Graph,
    coupling: Weight,
    field: Weight = 0.0,
    generator: np.random.Generator | None = None,
    masked_positions: tuple[int, ...] = (),
    sampler: Sampler = "exact",
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
        sampler: how `sample` draws.

    Raises:
        ValueError: if the graph is directed, has loops or parallel edges or no node, an attribute is missing, or a
            drawing function comes without a generator.

    >>> import networkx as nx
    >>> normal = lambda generator: generator.normal(0, 0.3)
    >>> glass = from_networkx(nx.grid_2d_graph(4, 4), normal, generator=np.random.default_rng(0))
    >>> glass.length, len(glass.interactions)
    (16, 24)
    """
    edges, weights = _pairs(graph, coupling, generator)
    fields = [_number(field, data, f"node {node!r}", generator) for node, data in graph.nodes(data=True)]
    singles = [((t,), value) for t, value in enumerate(fields) if value != 0]
    interactions = (*edges, *(edge for edge, _ in singles))
    return TokenGraph(len(graph), interactions, (*weights, *(value for _, value in singles)), masked_positions, sampler)


def potts_from_networkx(
    graph: nx.Graph,
    n_tokens: int,
    coupling: Weight,
    field: Weight = 0.0,
    generator: np.random.Generator | None = None,
    masked_positions: tuple[int, ...] = (),
    sampler: Sampler = "exact",
) -> PottsGraph:
    """Return the Potts language with a coupling J on every edge and fields h_i(v).

    Tokens are called w0, w1, …. A field that is drawn is drawn for each position and token; an attribute holds the c
    numbers of its position; a constant changes nothing. Otherwise as `from_networkx`.

    Raises:
        ValueError: as `from_networkx`, or if there is no token.
    """
    edges, couplings = _pairs(graph, coupling, generator)
    fields = tuple(_row(field, data, f"node {node!r}", generator, n_tokens) for node, data in graph.nodes(data=True))
    tokens = tuple(f"w{v}" for v in range(n_tokens))
    return PottsGraph(tokens, len(graph), edges, couplings, fields, masked_positions, sampler)


def parity_graph(k: int, d: int, alpha: float | int) -> TokenGraph:
    """Return the noisy k-parity (z₁, …, z_d, y): z uniform, Pr(y = +1 | z) = σ(α z₁⋯z_k), y the masked token.

    One interaction of weight α/2 on {z₁, …, z_k, y}, since P ∝ exp(½α y z₁⋯z_k). Exact at any k.

    Raises:
        ValueError: unless 1 ≤ k ≤ d and α is finite.
    """
    if not 1 <= k <= d:
        raise ValueError(f"expected 1 <= k <= d, got k = {k}, d = {d}; the label is the product of k of d tokens")
    check_alpha(alpha)
    return TokenGraph(d + 1, ((*range(k), d),), (alpha / 2,), (d,))


def pair_language_graph(d: int, alpha: float | int) -> TokenGraph:
    """Return the pair language as a token graph: the same law as `PairLanguage(d, alpha)`, y the masked token.

    ValueError unless d ≥ 2 and α is finite.

    >>> import torch
    >>> pair_language_graph(3, 1.5).masked_conditional(torch.tensor([[1, 1, 0, -1], [0, 1, 0, -1]]))
    tensor([[0.1824, 0.8176],
            [0.8176, 0.1824]], dtype=torch.float64)
    """
    return parity_graph(2, d, alpha)


def _pairs(
    graph: nx.Graph, coupling: Weight, generator: np.random.Generator | None
) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    if graph.is_directed() or graph.is_multigraph():
        raise ValueError(f"expected an undirected simple graph, got {type(graph).__name__}; convert it with nx.Graph")
    loops = list(nx.nodes_with_selfloops(graph))
    if loops:
        raise ValueError(f"expected no loops, got one at {loops[0]!r}; a token's own sign squared is 1, drop the loop")
    place = {node: t for t, node in enumerate(graph)}
    edges = tuple((place[a], place[b]) for a, b in graph.edges)
    data = graph.edges(data=True)
    return edges, tuple(_number(coupling, more, f"edge {(a, b)!r}", generator) for a, b, more in data)


def _row(
    field: Weight, data: Mapping[str, Any], where: str, generator: np.random.Generator | None, n_tokens: int
) -> tuple[float, ...]:
    if isinstance(field, str) and field in data:
        return tuple(map(float, data[field]))
    return tuple(_number(field, data, where, generator) for _ in range(n_tokens))


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
