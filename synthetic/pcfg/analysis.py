"""A grammar as a graph of its nonterminals."""

from __future__ import annotations

import networkx as nx

from synthetic.pcfg.grammar import Grammar
from synthetic.pcfg.lengths import LengthLaw


def grammar_graph(grammar: Grammar, lengths: LengthLaw) -> nx.DiGraph:
    """Return nonterminals joined from parent to child; weights are expected uses, relative to the greatest.

    Groups are levels: the longest path from the start symbol among strongly connected components. The symbols of
    unary rules have the uses that their share of S has.
    """
    uses = lengths.spans.sum(1)
    share = {
        (0, a): p * float(lengths.spans[0].sum())
        for a, p in zip(grammar.unary.tolist(), grammar.unary_prob.tolist(), strict=True)
    }
    edges: dict[tuple[int, int], float] = dict(share)
    for (a, *children), use in zip(lengths.rules.binary.tolist(), lengths.uses.tolist(), strict=True):
        for child in children:
            edges[a, child] = edges.get((a, child), 0.0) + use
    components = nx.condensation(_dependencies(grammar))
    level = {
        symbol: depth
        for depth, generation in enumerate(nx.topological_generations(components))
        for component in generation
        for symbol in components.nodes[component]["members"]
    }
    graph = nx.DiGraph()
    for a, name in enumerate(grammar.nonterminals):
        graph.add_node(name, label=name, weight=float(uses[a] / uses.max()), group=level[a])
    greatest = max(edges.values(), default=1.0)
    for (a, child), use in edges.items():
        graph.add_edge(grammar.nonterminals[a], grammar.nonterminals[child], weight=use / greatest)
    return graph


def _dependencies(grammar: Grammar) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(grammar.nonterminals)))
    for a, *children in grammar.binary[grammar.binary_prob > 0].tolist():
        graph.add_edges_from((a, child) for child in children)
    graph.add_edges_from((0, a) for a in grammar.unary[grammar.unary_prob > 0].tolist())
    return graph
