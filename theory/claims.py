"""The registry of claims and the graph of what rests on what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import networkx as nx

from theory import (
    algorithm,
    closeness_predicts,
    continued_training,
    flatness_mediates,
    flatness_predicts,
    flattest_brackets,
    flattest_pairs,
    model_size,
    noise_covariance,
    noise_lowers_trace,
    plateau,
    plateau_transformer,
    product_model,
    same_loss_different_transfer,
    sgd_reaches_flattest,
    slow_flow,
    trace_is_not_invariant,
    transfer_bound,
    transfer_brackets,
    transfer_pairs,
)
from theory.claim import Claim


class RegistryError(ValueError):
    """The claims do not form a directed acyclic graph over known ids."""


def register(claims: Iterable[Claim]) -> Mapping[str, Claim]:
    """Index claims by id and check that their uses form a directed acyclic graph.

    Raises:
        RegistryError: an id is repeated or dangling, or the uses contain a cycle; the message names it.
    """
    table: dict[str, Claim] = {}
    for claim in claims:
        if claim.id in table:
            raise RegistryError(f"two claims are called {claim.id}")
        table[claim.id] = claim
    graph = dependency_graph(table)
    dangling = sorted(set(graph) - set(table))
    if dangling:
        raise RegistryError(f"claims use {', '.join(dangling)}, which is no claim; the claims are {', '.join(table)}")
    if not nx.is_directed_acyclic_graph(graph):
        cycle = " → ".join(edge[0] for edge in nx.find_cycle(graph))
        raise RegistryError(f"claims rest on each other in a cycle: {cycle}")
    return MappingProxyType(table)


def dependency_graph(claims: Mapping[str, Claim]) -> nx.DiGraph:
    """Return the graph with an edge from each claim to every claim that uses it."""
    graph = nx.DiGraph()
    graph.add_nodes_from(claims)
    graph.add_edges_from((used, claim.id) for claim in claims.values() for used in claim.uses)
    return graph


CLAIMS: Mapping[str, Claim] = register(
    [
        noise_covariance.CLAIM,
        plateau.CLAIM,
        slow_flow.CLAIM,
        product_model.CLAIM,
        flattest_pairs.CLAIM,
        transfer_pairs.CLAIM,
        transfer_bound.CLAIM,
        flattest_brackets.CLAIM,
        transfer_brackets.CLAIM,
        sgd_reaches_flattest.CLAIM,
        trace_is_not_invariant.CLAIM,
        plateau_transformer.CLAIM,
        closeness_predicts.CLAIM,
        noise_lowers_trace.CLAIM,
        same_loss_different_transfer.CLAIM,
        continued_training.CLAIM,
        model_size.CLAIM,
        algorithm.CLAIM,
        flatness_predicts.CLAIM,
        flatness_mediates.CLAIM,
    ]
)


def find(claim_id: str) -> Claim:
    """Return the claim of that id.

    Raises:
        KeyError: no such claim; the message lists the ids.
    """
    if claim_id not in CLAIMS:
        raise KeyError(f"there is no claim {claim_id!r}; the claims are {', '.join(CLAIMS)}")
    return CLAIMS[claim_id]
