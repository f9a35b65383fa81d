"""The claims, chapter by chapter, and the graph of what rests on what.

A claim is found by being there: every module `theory.claims.<chapter>.<name>` that defines `CLAIM` is one, and modules
beside it that do not are its lemmas. A chapter's place in the book is its `ORDER`, a claim's place in the chapter its
`place`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import networkx as nx

from theory.claim import Claim

__all__ = ["CLAIMS", "Claim", "RegistryError", "dependency_graph", "find", "register"]


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


def _discover() -> Iterator[Claim]:
    """Import every chapter and yield its claims, in the order of the book."""
    chapters = [importlib.import_module(found.name) for found in pkgutil.iter_modules(__path__, f"{__name__}.")]
    for chapter in sorted(chapters, key=lambda chapter: chapter.ORDER):
        modules = [
            importlib.import_module(found.name)
            for found in pkgutil.iter_modules(chapter.__path__, f"{chapter.__name__}.")
        ]
        claims = [module.CLAIM for module in modules if hasattr(module, "CLAIM")]
        yield from sorted(claims, key=lambda claim: (claim.place, claim.id))


CLAIMS: Mapping[str, Claim] = register(_discover())
"""The claims by id, in the order of the book."""


def find(claim_id: str) -> Claim:
    """Return the claim of that id.

    Raises:
        KeyError: no such claim; the message lists the ids.
    """
    if claim_id not in CLAIMS:
        raise KeyError(f"there is no claim {claim_id!r}; the claims are {', '.join(CLAIMS)}")
    return CLAIMS[claim_id]
