"""Markov chains: in the long run, backwards in time, and as graphs."""

from __future__ import annotations

import math

import networkx as nx
import torch
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from synthetic.hmm.checks import normalise_rows

STATIONARY = 1e-12
"""Relative distance from πA in every state up to which π counts as stationary."""


class StationaryError(ValueError):
    """A chain without a unique stationary law, or a start that is not stationary."""


def stationary_law(transition: Float[Tensor, "state state"]) -> Float[Tensor, " state"]:
    """Return the stationary law π = πA of a chain with a single closed class; 0 on the states outside it.

    By the elimination of Grassmann, Taksar and Heyman (1985), which subtracts nothing: every entry is exact to a
    small multiple of S·ε relative.

    Raises:
        StationaryError: if there are several closed classes, hence several stationary laws.
    """
    count, label = connected_components((transition > 0).cpu().numpy(), directed=True, connection="strong")
    classes = torch.from_numpy(label).to(transition.device).long()
    leaves = (transition > 0) & (classes[:, None] != classes[None, :])
    is_open = torch.zeros(count, dtype=torch.bool, device=transition.device)
    is_open[classes[leaves.any(1)]] = True
    closed = (~is_open).nonzero()[:, 0]
    if len(closed) > 1:
        raise StationaryError(
            f"expected a chain with one closed class of states, got {len(closed)}, each with a stationary law of its "
            "own; take the stationary law of each component and mix them"
        )
    states = (classes == closed[0]).nonzero()[:, 0]
    flow = transition[states][:, states].clone()
    for last in range(len(states) - 1, 0, -1):
        flow[:last, last] /= flow[last, :last].sum()
        flow[:last, :last] += flow[:last, last, None] * flow[last, None, :last]
    weight = torch.ones(len(states), dtype=torch.float64, device=transition.device)
    for state in range(1, len(states)):
        weight[state] = weight[:state] @ flow[:state, state]
    law = torch.zeros(len(transition), dtype=torch.float64, device=transition.device)
    law[states] = weight / weight.sum()
    return law


def reversed_transition(
    transition: Float[Tensor, "state state"], law: Float[Tensor, " state"]
) -> Float[Tensor, "state state"]:
    """Return the transitions of the stationary chain run backwards, Ā(s', s) = π(s) A(s, s') / π(s').

    Only a stationary law makes the reversed chain homogeneous. A state that is never visited gets a loop.

    Raises:
        StationaryError: if the law is not stationary, to STATIONARY relative in every state.
    """
    flow = (law[:, None] * transition).T
    arriving = flow.sum(1)
    gap = torch.where(law > 0, arriving / law - 1, torch.where(arriving > 0, math.inf, 0.0)).abs()
    if (gap > STATIONARY).any():
        state = int(gap.argmax())
        raise StationaryError(
            f"expected a stationary start, got start·transition off by {float(gap[state]):.3g} relative in state "
            f"{state}; start from stationary_start(), since no other start has a homogeneous reversed chain"
        )
    never = torch.diag_embed((arriving == 0).double())
    return normalise_rows("reversed transition", flow + never)


def chain_graph(
    transition: Float[Tensor, "state state"],
    start: Float[Tensor, " state"],
    length: int,
    groups: tuple[int, ...] | None,
) -> nx.DiGraph:
    """Return the states with their occupation, and the transitions at least as likely as 1/S.

    A node's weight is its mean occupation over the first `length` positions relative to the greatest one, its group
    the one given or 0; an edge's weight is the transition probability.
    """
    law, occupation = start, start.clone()
    for _ in range(length - 1):
        law = law @ transition
        occupation += law
    graph = nx.DiGraph()
    for state, weight in enumerate((occupation / occupation.max()).tolist()):
        graph.add_node(state, label=f"s{state}", weight=weight, group=0 if groups is None else groups[state])
    for state, to in (transition >= 1 / len(start)).nonzero().tolist():
        graph.add_edge(state, to, weight=min(1.0, float(transition[state, to])))
    return graph
