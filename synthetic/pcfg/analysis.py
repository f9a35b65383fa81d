"""What a grammar is like before any sentence is parsed: useless symbols, termination, expected size, entropy."""

from __future__ import annotations

import networkx as nx
import torch
from jaxtyping import Float64
from torch import Tensor

from synthetic.pcfg.grammar import Grammar, GrammarError
from synthetic.pcfg.lengths import LengthLaw, inside_lengths
from synthetic.pcfg.rules import normal_form

TERMINATION_TOLERANCE = 1e-6
"""Termination probabilities this close to one count as one: at the critical point float64 resolves no more."""


class UnreachableSymbolError(GrammarError):
    """A nonterminal that no derivation from the start symbol holds."""


class UnproductiveSymbolError(GrammarError):
    """A nonterminal from which no derivation ends."""


class ImproperGrammarError(GrammarError):
    """A grammar whose derivations go on for ever with positive probability, or are infinitely long on average."""


def reachable(grammar: Grammar) -> frozenset[str]:
    """Return the nonterminals that derivations from the start symbol hold."""
    found = nx.descendants(_dependencies(grammar), 0) | {0}
    return frozenset(grammar.nonterminals[a] for a in found)


def productive(grammar: Grammar) -> frozenset[str]:
    """Return the nonterminals that derive some string of terminals; by fixed point."""
    found = torch.zeros(len(grammar.nonterminals), dtype=torch.bool)
    found[grammar.lexical[grammar.lexical_prob > 0, 0]] = True
    parent, left, right = grammar.binary[grammar.binary_prob > 0].T
    unary = grammar.unary[grammar.unary_prob > 0]
    for _ in grammar.nonterminals:
        found[parent[found[left] & found[right]]] = True
        found[0] |= found[unary].any()
    return frozenset(name for name, yes in zip(grammar.nonterminals, found.tolist(), strict=True) if yes)


def mean_matrix(grammar: Grammar) -> Float64[Tensor, "parent child"]:
    """Return M with M[A, B] the expected number of children B of a node A."""
    n = len(grammar.nonterminals)
    found = torch.zeros(n, n, dtype=torch.float64)
    for side in (1, 2):
        found.index_put_((grammar.binary[:, 0], grammar.binary[:, side]), grammar.binary_prob, accumulate=True)
    found[0].index_add_(0, grammar.unary, grammar.unary_prob)
    return found


def spectral_radius(grammar: Grammar) -> float:
    """Return the spectral radius of the mean matrix: below one, derivations end and have finite mean size."""
    return float(torch.linalg.eigvals(mean_matrix(grammar)).abs().max())


def termination_probability(grammar: Grammar) -> Float64[Tensor, " nonterminal"]:
    """Return the probability that the derivation from each nonterminal ends, the least fixed point of q = f(q).

    f_A(q) = Σ_v P(A → v) + Σ P(A → B C) q_B q_C (+ Σ P(S → B) q_B), by Newton's method from 0, which increases to it
    (Etessami and Yannakakis 2009, reference from memory): a few units of rounding away from the critical point, about
    the square root of that at it.
    """
    n = len(grammar.nonterminals)
    ends = torch.zeros(n, dtype=torch.float64).index_add_(0, grammar.lexical[:, 0], grammar.lexical_prob)
    # Symbols that never end would make the Jacobian singular; their probability is 0 from the start.
    known = productive(grammar)
    alive = torch.tensor([name in known for name in grammar.nonterminals]).to(torch.float64)
    parent, left, right = grammar.binary.T
    q = torch.zeros(n, dtype=torch.float64)
    for _ in range(200):
        jacobian = torch.zeros(n, n, dtype=torch.float64)
        jacobian.index_put_((parent, left), grammar.binary_prob * q[right], accumulate=True)
        jacobian.index_put_((parent, right), grammar.binary_prob * q[left], accumulate=True)
        jacobian[0].index_add_(0, grammar.unary, grammar.unary_prob)
        value = ends.clone().index_add_(0, parent, grammar.binary_prob * q[left] * q[right])
        value[0] += grammar.unary_prob @ q[grammar.unary]
        step = torch.linalg.lstsq(torch.eye(n).double() - jacobian * alive * alive[:, None], (value - q) * alive)
        following = torch.maximum(q, q + step.solution).clamp(max=1.0)
        if float((following - q).abs().max()) < torch.finfo(torch.float64).eps:
            break
        q = following
    return q


def check_grammar(grammar: Grammar) -> None:
    """Raise unless every symbol is of use and derivations end with probability one.

    Raises:
        UnreachableSymbolError: naming a nonterminal that the start symbol does not lead to.
        UnproductiveSymbolError: naming a nonterminal that derives no string.
        ImproperGrammarError: naming the nonterminal whose derivations are the least likely to end.
    """
    for known, error, what in (
        (reachable(grammar), UnreachableSymbolError, f"reachable from {grammar.start!r}"),
        (productive(grammar), UnproductiveSymbolError, "productive"),
    ):
        for name in grammar.nonterminals:
            if name not in known:
                raise error(f"expected every nonterminal to be {what}, got {name!r}, which is not; drop its rules")
    if spectral_radius(grammar) > 1:
        q = termination_probability(grammar)
        if float(q.min()) < 1 - TERMINATION_TOLERANCE:
            worst = int(q.argmin())
            raise ImproperGrammarError(
                f"expected derivations to end with probability 1, got {float(q[worst]):.6g} from "
                f"{grammar.nonterminals[worst]!r}; make its recursive rules less likely"
            )


def expected_uses(grammar: Grammar) -> Float64[Tensor, " nonterminal"]:
    """Return the expected number of nodes of each nonterminal in a derivation, e_Sᵀ (I − M)^{−1}.

    Raises:
        ImproperGrammarError: if it is infinite.
    """
    start = torch.zeros(len(grammar.nonterminals), dtype=torch.float64)
    start[0] = 1.0
    uses: Tensor = torch.linalg.solve(_resolvent(grammar).T, start)
    return uses


def expected_length(grammar: Grammar) -> float:
    """Return the mean number of tokens of a sentence, without a bound on it; ImproperGrammarError if infinite."""
    leaves = torch.zeros(len(grammar.nonterminals), dtype=torch.float64)
    leaves.index_add_(0, grammar.lexical[:, 0], grammar.lexical_prob)
    return float(expected_uses(grammar) @ leaves)


def derivation_entropy(grammar: Grammar) -> float:
    """Return the entropy of a derivation in nats, Σ_A E[nodes A] · H(rules of A); ImproperGrammarError if infinite.

    At least the entropy of the sentence, with equality if and only if the grammar is unambiguous.
    Source: Grenander (1976), reference from memory.
    """
    entropy = torch.zeros(len(grammar.nonterminals), dtype=torch.float64)
    entropy.index_add_(0, grammar.binary[:, 0], torch.special.entr(grammar.binary_prob))
    entropy.index_add_(0, grammar.lexical[:, 0], torch.special.entr(grammar.lexical_prob))
    entropy[0] += torch.special.entr(grammar.unary_prob).sum()
    return float(expected_uses(grammar) @ entropy)


def entropy_rate(grammar: Grammar) -> float:
    """Return the derivation entropy per token in nats, both in expectation; ImproperGrammarError if infinite."""
    return derivation_entropy(grammar) / expected_length(grammar)


def length_law(grammar: Grammar, T: int) -> Float64[Tensor, " length"]:
    """Return Pr(a sentence has w tokens) for w = 1 … T, not conditioned: the rest is longer or never ends."""
    return inside_lengths(normal_form(grammar), T)[0, 1:]


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


def _resolvent(grammar: Grammar) -> Float64[Tensor, "parent child"]:
    if not spectral_radius(grammar) < 1:
        worst = grammar.nonterminals[int(termination_probability(grammar).argmin())]
        raise ImproperGrammarError(
            f"expected a spectral radius of the mean matrix below 1, got {spectral_radius(grammar):.6g} "
            f"(least likely to end: {worst!r}): the expected size is infinite; make recursive rules less likely"
        )
    return torch.eye(len(grammar.nonterminals), dtype=torch.float64) - mean_matrix(grammar)
