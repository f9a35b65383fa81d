"""Token graphs: signs that interact along the edges of a hypergraph, the Ising model as a language."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from synthetic.enumeration import EXACT_ENUMERATION_LIMIT, check_size, normalised_exponentials
from synthetic.graphs.elimination import EliminationTree, Scope, TreewidthError, moral_graph, total_conditional_entropy
from synthetic.language import Language
from synthetic.sentence_tasks import ParityTask, PluralityTask
from synthetic.tasks import DownstreamTask, check_sample_size
from synthetic.tokens import signs

MAX_ORDER = 6
"""Positions of one interaction above which elimination carries it by running products instead of one table."""

CHUNK = 2**20
"""Numbers of one intermediate array; longer batches are cut."""


@dataclass(frozen=True)
class TokenGraph(Language):
    """The language P(x) ∝ exp Σ_e θ_e Π_{i∈e} x_i of signs x ∈ {±1}^T on a hypergraph with edges e.

    Token 0 is −1, token 1 is +1; an edge of one position is a field. With the local field
    h_t = Σ_{e∋t} θ_e Π_{i∈e, i≠t} x_i every conditional is p*(+1 | x_{−t}) = σ(2h_t), exact at any size. log Z, hence
    `log_prob` and `sample`, needs variable elimination (`synthetic.graphs.elimination`) and a graph of small
    treewidth; beyond it `log_weight` still gives log P + log Z.

    Source: ours; the paper's synthetic language without noise is a special case of its kind (second-hand).

    Attributes:
        T: length, at least 1.
        interactions: the edges e, distinct sets of positions 0 … T−1.
        weights: θ_e, finite, in the same order.
        masked_positions: those that the task masks; () for all.

    >>> chain = TokenGraph(3, ((0, 1), (1, 2)), (0.5, 0.5))
    >>> chain.masked_conditional(torch.tensor([[1, -1, 1], [1, -1, 0]]))
    tensor([[0.1192, 0.8808],
            [0.5000, 0.5000]], dtype=torch.float64)
    """

    family: ClassVar[str] = "token-graph"
    vocabulary: ClassVar[tuple[str, ...]] = ("-1", "+1")
    T: int
    interactions: tuple[Scope, ...]
    weights: tuple[float | int, ...]
    masked_positions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the parameters.

        Raises:
            ValueError: on a position out of range or repeated, a repeated edge, or a weight that is not finite.
        """
        if self.T < 1:
            raise ValueError(f"expected a length >= 1, got {self.T}; a sentence has at least one token")
        if len(self.weights) != len(self.interactions):
            raise ValueError(
                f"expected one weight for each of {len(self.interactions)} interactions, got {len(self.weights)}; "
                "give them in the same order"
            )
        seen: set[frozenset[int]] = set()
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            if not edge or not self._distinct(edge):
                raise ValueError(
                    f"expected distinct positions 0..{self.T - 1} in an interaction, got {edge}; it holds at least one"
                )
            if frozenset(edge) in seen:
                raise ValueError(f"expected each interaction once, got {edge} again; add up the weights")
            if not math.isfinite(weight):
                raise ValueError(f"expected finite weights, got {weight} on {edge}; a large one excludes as well")
            seen.add(frozenset(edge))
        object.__setattr__(self, "masked_positions", tuple(self.masked_positions) or tuple(range(self.T)))
        if not self._distinct(self.masked_positions):
            raise ValueError(
                f"expected distinct masked positions among 0..{self.T - 1}, got {self.masked_positions}; () masks all"
            )

    @property
    def length(self) -> int:
        return self.T

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The tasks `plurality`, the majority sign, and `parity-of-…`, of the strongest interaction where visible."""
        hidden = self.masked_positions if len(self.masked_positions) < self.T else ()
        tasks: list[DownstreamTask] = [PluralityTask(self, hidden=hidden)]
        shown = [tuple(sorted(set(edge) - set(hidden))) for edge in self.interactions]
        pairs = [(abs(w), edge) for w, edge in zip(self.weights, shown, strict=True) if w and len(edge) > 1]
        if pairs:
            tasks.append(ParityTask(self, max(pairs, key=lambda pair: pair[0])[1], hidden=hidden))
        return {task.name: task for task in tasks}

    def graph(self) -> nx.Graph:
        """Return positions (group 0), pairs as edges, larger interactions as nodes of group 1 with edges to theirs.

        An edge has `weight` |θ|/max |θ| and the label θ; a position's `weight` is the same for its field, if it has
        one.
        """
        graph = nx.Graph()
        top = max(map(abs, self.weights), default=0.0) or 1.0
        for t in range(self.T):
            graph.add_node(t, label=str(t), group=0)
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            share, label = abs(weight) / top, f"{weight:+.3g}"
            if len(edge) == 1:
                graph.nodes[edge[0]].update(weight=share, label=f"{edge[0]}: {label}")
            elif len(edge) == 2:
                graph.add_edge(*edge, weight=share, label=label)
            else:
                graph.add_node(edge, label=label, weight=share, group=1)
                graph.add_edges_from(((i, edge) for i in edge), weight=share)
        return graph

    @property
    def log_partition(self) -> float:
        """Log Z in nats; exact to float64 rounding. TreewidthError if the treewidth is too large."""
        return self._ceiling + self._tree.log_partition

    def log_weight(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x) + log Z = Σ_e θ_e Π_{i∈e} x_i in nats, at any treewidth."""
        self.check_sentences(sentences)
        return self._ceiling + self._deficits(sentences)

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return the log-probability; TreewidthError if the treewidth is too large for log Z."""
        self.check_sentences(sentences)
        return self._deficits(sentences) - self._tree.log_partition

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x) with each weight to 60 digits, normalised over all sentences as Fractions.

        EnumerationTooLargeError above EXACT_ENUMERATION_LIMIT sentences.
        """
        if sentence not in self._exact_law:
            self.check_sentences(torch.tensor([sentence]))
        return self._exact_law[sentence]

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | x_{−t}) from the interactions around t; exact to float64 rounding at any treewidth."""
        positions = self.check_contexts(contexts)
        weights, others = (part.to(contexts.device)[positions] for part in self._around)
        spins = pad(signs(contexts), (0, 1), value=1.0)
        product = spins.gather(1, others.flatten(1)).reshape(others.shape).prod(2)
        return _law((weights * product).sum(1))

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(y | x_{−t}) for every position in one pass; exact to float64 rounding at any treewidth."""
        self.check_sentences(sentences)
        weights, others = (part.to(sentences.device) for part in self._around)
        fields = []
        for rows in torch.split(sentences, max(1, CHUNK // max(1, others.numel()))):
            product = pad(signs(rows), (0, 1), value=1.0)[:, others].prod(3)
            fields.append((weights * product).sum(2))
        return _law(torch.cat(fields))

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n independent sentences exactly, by elimination; TreewidthError if the treewidth is too large."""
        check_sample_size(n)
        return self._tree.sample(n, generator)[:, : self.T].contiguous().to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* in nats, exactly: E H(p*(· | x_{−t})) over the law of the positions that share an edge with t.

        That law comes from elimination on the graph in which t and its neighbours form a clique: for all t in one, or
        for half of them at a time where that is too wide. Where even one t is too wide, by enumeration:
        EnumerationTooLargeError above ENUMERATION_LIMIT candidate contexts.
        """
        near = moral_graph(self.T, self.interactions)
        blankets = [(*sorted(near[t]), t) for t in self.masked_positions]
        try:
            return total_conditional_entropy(self._eliminate, blankets) / len(blankets)
        except TreewidthError:
            return super().entropy_floor()

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TokenGraph:
        interactions = tuple(tuple(edge) for edge in state["interactions"])
        return cls(state["T"], interactions, tuple(state["weights"]), tuple(state["masked_positions"]))

    def _distinct(self, positions: Sequence[int]) -> bool:
        return set(positions) <= set(range(self.T)) and len(set(positions)) == len(positions)

    @cached_property
    def _around(self) -> tuple[Float[Tensor, "position term"], Int64[Tensor, "position term other"]]:
        """The weights of the interactions around each position and the others in them, filled up with 0 and T."""
        around: list[list[tuple[float, list[int]]]] = [[] for _ in range(self.T)]
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            for t in edge:
                around[t].append((float(weight), [i for i in edge if i != t]))
        terms, depth = max(1, *map(len, around)), max(map(len, self.interactions), default=1)
        weights = torch.zeros(self.T, terms, dtype=torch.float64)
        others = torch.full((self.T, terms, depth), self.T, dtype=torch.int64)
        for t, row in enumerate(around):
            for k, (weight, rest) in enumerate(row):
                weights[t, k] = weight
                others[t, k, : len(rest)] = torch.tensor(rest, dtype=torch.int64)
        return weights, others

    @property
    def _ceiling(self) -> float:
        """The sum of the terms' largest values."""
        return float(sum(map(abs, self.weights)))

    def _deficits(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log weight − ceiling ≤ 0, each term less its largest value, so that likely sentences keep digits."""
        spins = signs(sentences)
        found = torch.zeros(len(sentences), dtype=torch.float64, device=sentences.device)
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            found += weight * spins[:, list(edge)].prod(1) - abs(weight)
        return found

    def _eliminate(self, extra: Sequence[Scope]) -> EliminationTree:
        n_variables, scopes, tables = self.T, [], []
        for edge, weight in zip(self.interactions, self.weights, strict=True):
            rest = edge
            while len(rest) > MAX_ORDER:
                # A further variable, bound to the product of the first few positions, stands for them.
                head, rest = rest[: MAX_ORDER - 1], (*rest[MAX_ORDER - 1 :], n_variables)
                scopes.append((*head, n_variables))
                tables.append(torch.where(_parity(MAX_ORDER) > 0, 0.0, -math.inf))
                n_variables += 1
            scopes.append(rest)
            tables.append(weight * _parity(len(rest)) - abs(weight))
        return EliminationTree(n_variables, self.n_tokens, scopes, tables, extra)

    @cached_property
    def _tree(self) -> EliminationTree:
        return self._eliminate(())

    @cached_property
    def _exact_law(self) -> dict[tuple[int, ...], Fraction]:
        check_size(self.n_candidates, EXACT_ENUMERATION_LIMIT, "candidate sentences with exact probabilities")
        return normalised_exponentials(
            {
                row: sum(
                    (
                        -Fraction(weight) if sum(row[i] == 0 for i in edge) % 2 else Fraction(weight)
                        for edge, weight in zip(self.interactions, self.weights, strict=True)
                    ),
                    Fraction(0),
                )
                for row in map(tuple, self.candidates().tolist())
            }
        )


def _law(field: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch token"]:
    """Return (log σ(−2h), log σ(2h))."""
    return logsigmoid(torch.stack([-2 * field, 2 * field], -1))


def _parity(size: int) -> Float[Tensor, "..."]:
    """Return the product of `size` signs, one axis each."""
    product = torch.ones((), dtype=torch.float64)
    for _ in range(size):
        product = torch.stack([-product, product])
    return product
