"""The language of an n-gram model: sentences of T tokens, conditionals at a cost independent of T."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.autoregressive.gram_tables import windows
from synthetic.autoregressive.ngram import NGram
from synthetic.language import Language
from synthetic.sentence_tasks import ContainsTask
from synthetic.tasks import DownstreamTask, check_sample_size
from synthetic.tokens import mask
from synthetic.typed import build

CHUNK = 2**18
"""Entries of (row, token) worked on at a time: 2 MB a piece, so that a few stay in the cache."""

DENSE_STATES = 2**13
"""Tokens up to which the transition matrix is written out: 0.5 GB."""

STRONGEST = 60
"""Transitions that a picture shows."""


@dataclass(frozen=True, eq=False)
class NGramLanguage(Language):
    """Sentences of T tokens from an n-gram model: P(x) = Π_t P(x_t | x_{t−n+1} … x_{t−1}).

    Before the first token there are start marks. Only n factors hold x_t, so

        p*(v | x_{−t}) ∝ Π_{s=t}^{min(t+n−1, T)} P(x_s | x_{s−n+1} … x_{s−1}) at x_t = v,

    and for a Markov chain (n = 2) p*(v | a, b) ∝ P(v | a) P(b | v). All conditionals are exact to float64 rounding.
    Source: ours; the paper samples its text language from OPT-125M (second-hand), see
    `synthetic.autoregressive.language`.

    Attributes:
        model: the n-gram model.
        names: the tokens' names.
        T: number of tokens of a sentence, at least 1.
        provenance: where the counts come from, for the reader; kept in files.

    >>> language = NGramLanguage(NGram.fit([[0, 1, 0, 1, 1]], n_tokens=2, order=2), ("a", "b"), 4)
    >>> language.masked_conditional(torch.tensor([[0, -1, 1, 0]]))
    tensor([[0.2105, 0.7895]], dtype=torch.float64)
    >>> print(f"{language.entropy_floor():.6f}")  # exact for n <= 2, at any c and T
    0.536634
    """

    family: ClassVar[str] = "ngram"
    model: NGram
    names: tuple[str, ...]
    T: int
    provenance: str = ""

    def __post_init__(self) -> None:
        """Check names and length.

        Raises:
            ValueError: if T < 1, or there is not one name for each token of the model.
        """
        if not self.T >= 1 or self.T % 1 != 0:
            raise ValueError(f"expected sentences of an integer T >= 1 of tokens, got {self.T}; change T")
        object.__setattr__(self, "T", int(self.T))
        if len(self.names) != self.model.n_tokens or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"expected {self.model.n_tokens} distinct names, one for each token of the model, got "
                f"{len(self.names)} ({len(set(self.names))} distinct); name every token once"
            )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.names

    @property
    def length(self) -> int:
        return self.T

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The task `contains-w`, w the word whose presence in T independent tokens is nearest to a fair coin.

        Tokens as frequent as in the text (P_1); w among the names made of letters, if any; ties to the smallest index.
        """
        text = self.model.rows(self.model.grams[:1], self.model.order - 1, orders=1)[0]
        absent = (self.T * torch.log1p(-text)).exp()
        words = [v for v, name in enumerate(self.names) if name.isalpha()] or list(range(self.n_tokens))
        word = words[int((absent[words] - 0.5).abs().argmin())]
        task = ContainsTask(self, word)
        return {task.name: task}

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        self.check_sentences(sentences)
        found = torch.empty(len(sentences), dtype=torch.float64, device=sentences.device)
        for rows in self._chunks(len(sentences), self.T):
            found[rows] = self.model.prob(self._windows(sentences[rows])).log().sum(1)
        return found

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return the product of the model's rational probabilities."""
        factors = (self.model.prob_exact(sentence[:t], token) for t, token in enumerate(sentence))
        return math.prod(factors, start=Fraction(1))

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(v | x_{−t}) from the n factors that hold x_t; ImpossibleContextError as in `Language`."""
        positions = self.check_contexts(contexts)
        found = torch.empty(len(contexts), self.n_tokens, dtype=torch.float64, device=contexts.device)
        for rows in self._chunks(len(contexts), max(self.n_tokens, self.T)):
            t = positions[rows]
            grams = self._windows(contexts[rows].clamp(min=0))
            log_joint = self._outside(grams, t[:, None])[:, 0, None].repeat(1, self.n_tokens)
            for later in range(min(self.model.order, self.T)):
                inside = (t + later < self.T).nonzero()[:, 0]
                gram = grams[inside, t[inside] + later]
                log_joint[inside] += self.model.log_rows(gram, self.model.order - 1 - later)
            found[rows] = self._normalised(log_joint, contexts[rows])
        return found

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(v | x_{−t}) for every position, each from its n factors; errors as in `Language`."""
        self.check_sentences(sentences)
        T, n = self.T, self.model.order
        found = torch.empty(*sentences.shape, self.n_tokens, dtype=torch.float64, device=sentences.device)
        for rows in self._chunks(len(sentences), T * self.n_tokens):
            x = sentences[rows]
            grams = self._windows(x)
            log_joint = self._outside(grams, torch.arange(T, device=x.device).expand(len(x), T))
            log_joint = log_joint[:, :, None].repeat(1, 1, self.n_tokens)
            for later in range(min(n, T)):
                factor = self.model.log_rows(grams[:, later:].flatten(0, 1), n - 1 - later)
                log_joint[:, : T - later] += factor.reshape(len(x), T - later, -1)
            every = mask(x.repeat_interleave(T, 0), torch.arange(T, device=x.device).repeat(len(x)))
            found[rows] = self._normalised(log_joint.flatten(0, 1), every).reshape(log_joint.shape)
        return found

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences token by token from the generator's stream; ValueError if n is negative."""
        check_sample_size(n)
        before = self.model.order - 1
        # Position first: the columns that a step reads are contiguous.
        x = torch.full((before + self.T, n), self.n_tokens, dtype=torch.int64, device=generator.device)
        for t in range(before, before + self.T):
            x[t] = self.model.draw(x[t - before : t].T, generator)
        return x[before:].T.contiguous().to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* in nats: in closed form for n ≤ 2 and c ≤ DENSE_STATES, else by enumeration, which may be refused.

        In a Markov chain H(X_t | X_{t−1}, X_{t+1}) = H(X_t | X_{t−1}) + H(X_{t+1} | X_t) − H(X_{t+1} | X_{t−1}),
        so L* takes one product of the transition matrix with itself; its rounding error is that of entropies of
        size log c. For n = 1 it is the entropy of a token.
        """
        if self.model.order > 2 or self.n_tokens > DENSE_STATES:
            return super().entropy_floor()
        move, marginals = self._transitions, self._marginals
        # The start mark is the state before the first token: step t goes from x_{t-1} to x_t.
        one = torch.special.entr(move).sum(1)
        two = torch.special.entr(move @ move[:-1]).sum(1)
        before = torch.nn.functional.pad(marginals[:-1], (0, 1, 1, 0))
        before[0, -1] = 1.0
        steps, jumps = before @ one, before[:-1] @ two
        return float(steps.sum() + steps[1:].sum() - jumps.sum()) / self.T

    def graph(self) -> nx.DiGraph | None:
        """Return the strongest transitions by flow: the expected number of steps a → b in a sentence.

        Of the pair law P(b | a) of the model's first two orders, so exact for n = 2 and without the longer memory
        for n > 2; None for n = 1, where nothing depends on anything, and above DENSE_STATES tokens.
        """
        if self.model.order == 1 or self.n_tokens > DENSE_STATES:
            return None
        move, marginals = self._transitions, self._marginals
        presence = marginals.sum(0)
        flow = marginals[:-1].sum(0)[:, None] * move[:-1]
        value, place = flow.flatten().topk(min(STRONGEST, flow.numel()))
        graph = nx.DiGraph()
        for weight, edge in zip(value.tolist(), place.tolist(), strict=True):
            if weight > 0:
                a, b = divmod(edge, self.n_tokens)
                for v in (a, b):
                    size = float(presence[v] / presence.max())
                    graph.add_node(v, label=self.names[v], weight=size, group=0)
                graph.add_edge(a, b, weight=weight / float(value[0]))
        return graph

    def state(self) -> dict[str, Any]:
        model = {"grams": self.model.grams, "counts": self.model.counts, "weight": self.model.weight}
        return {"vocabulary": self.names, "T": self.T, "provenance": self.provenance, **model}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> NGramLanguage:
        """Rebuild the language; what the constructors refuse is refused."""
        return build(cls._of_counts, state)

    @classmethod
    def _of_counts(
        cls,
        vocabulary: tuple[str, ...],
        T: int,
        provenance: str,
        grams: Int64[Tensor, "gram order"],
        counts: Int64[Tensor, " gram"],
        weight: Fraction | int | None,
    ) -> NGramLanguage:
        smoothing = None if weight is None else Fraction(weight)
        return cls(NGram(len(vocabulary), grams, counts, smoothing), vocabulary, T, provenance)

    def __repr__(self) -> str:
        model = self.model
        smoothing = "Witten-Bell" if model.weight is None else f"weight {model.weight}"
        return f"NGramLanguage(c={self.n_tokens}, n={model.order}, T={self.T}, {len(model.grams)} n-grams, {smoothing})"

    def _windows(self, x: Tensor) -> Int64[Tensor, "sentence position order"]:
        return windows(x, self.model.order, self.n_tokens)

    def _chunks(self, rows: int, entries: int) -> Iterator[slice]:
        size = max(1, CHUNK // entries)
        return (slice(begin, begin + size) for begin in range(0, rows, size))

    def _outside(
        self, grams: Int64[Tensor, "row position order"], t: Int64[Tensor, "row mask"]
    ) -> Float[Tensor, "row mask"]:
        """Return −∞ where a factor that does not hold x_t is zero, else 0."""
        zero = (self.model.prob(grams) == 0).to(torch.int64)
        before = torch.nn.functional.pad(zero.cumsum(1), (1, 0))
        inside = before.gather(1, (t + self.model.order).clamp(max=self.T)) - before.gather(1, t)
        return torch.where(zero.sum(1, keepdim=True) > inside, -math.inf, 0.0).to(torch.float64)

    def _normalised(
        self, log_joint: Float[Tensor, "context token"], contexts: Tensor
    ) -> Float[Tensor, "context token"]:
        total = log_joint.logsumexp(1, keepdim=True)
        if total.isneginf().any():
            raise self.impossible(contexts[int(total[:, 0].isneginf().nonzero()[0])])
        return log_joint.sub_(total)

    @cached_property
    def _transitions(self) -> Float[Tensor, "before token"]:
        """P_2(b | a) for a = 0 … c − 1 and, in the last row, the start mark; P_1 in every row if n = 1."""
        c, n = self.n_tokens, self.model.order
        grams = torch.full((c + 1, n), c, dtype=torch.int64)
        grams[:, max(0, n - 2)] = torch.arange(c + 1)
        grams[:, -1] = 0
        return self.model.rows(grams, n - 1, orders=2)

    @cached_property
    def _marginals(self) -> Float[Tensor, "position token"]:
        """The law of each token under `_transitions`."""
        law = [self._transitions[-1]]
        for _ in range(self.T - 1):
            law.append(law[-1] @ self._transitions[:-1])
        return torch.stack(law)
