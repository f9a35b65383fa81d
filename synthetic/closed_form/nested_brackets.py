"""Properly nested words over k types of brackets, with a limit on the depth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.closed_form.walks import count_completions, count_walks, enumerate_walks, sample_walks
from synthetic.language import Language
from synthetic.sentence_tasks import SentenceTask
from synthetic.tasks import DownstreamTask, check_sample_size

NAMES = ("(", ")", "[", "]", "{", "}")
"""The tokens of the first three types; type j beyond them is written `<j` and `>j`."""


@dataclass(frozen=True)
class NestedBrackets(Language):
    r"""Words uniform on the sequences of T brackets of k types that nest, match in type and stay within depth D.

    Token 2j opens type j and token 2j + 1 closes it. There are k^{T/2} words for each Dyck path of height ≤ D.
    Given x_{−t} the masked token is certain: the count of the others says whether it opens or closes, hence every
    depth, and the bracket that it matches says its type. So L* = 0, and the all-positions conditionals of a word are
    its own tokens. For a noisy target wrap the language in `synthetic.combinators.target_noise.TargetNoise`.
    Source: ours, after the Dyck language of the paper's Theorem 6.1 (second-hand).

    Attributes:
        T: length, even and at least 2.
        k: number of bracket types, at least 1.
        D: largest depth, at least 1; None for no limit.

    >>> language = NestedBrackets(6, k=2, D=2)
    >>> language.n_words  # 2^3 types for each of 4 paths
    32
    >>> word = torch.tensor([[0, 2, 3, 2, -1, 1]])
    >>> language.render(word[0]), language.masked_conditional(word).tolist()
    ('( [ ] [ _ )', [[0.0, 0.0, 0.0, 1.0]])
    """

    family: ClassVar[str] = "nested-brackets"
    T: int
    k: int = 2
    D: int | None = None

    def __post_init__(self) -> None:
        """Check the parameters; whole numbers of any numeric type become ints.

        Raises:
            ValueError: if T is odd or below 2, k below 1, or D below 1.
        """
        if not self.T >= 2 or self.T % 2 != 0:
            raise ValueError(f"expected an even integer T >= 2, got {self.T}; a word of odd length cannot nest")
        if not self.k >= 1 or self.k % 1 != 0:
            raise ValueError(f"expected an integer k >= 1 of bracket types, got {self.k}; k = 1 is one type")
        if self.D is not None and (not self.D >= 1 or self.D % 1 != 0):
            raise ValueError(f"expected an integer depth D >= 1, got {self.D}; use None for no limit")
        object.__setattr__(self, "T", int(self.T))
        object.__setattr__(self, "k", int(self.k))
        object.__setattr__(self, "D", None if self.D is None else int(self.D))

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """`(`, `)`, `[`, `]`, `{`, `}`, then `<3`, `>3` and so on."""
        return (*NAMES, *(f"{side}{j}" for j in range(3, self.k) for side in "<>"))[: 2 * self.k]

    @property
    def length(self) -> int:
        return self.T

    @property
    def height(self) -> int:
        """The largest depth that some word reaches: T/2, or D if that is less."""
        return self.T // 2 if self.D is None else min(self.D, self.T // 2)

    @property
    def n_words(self) -> int:
        """Number of words, k^{T/2} times the number of Dyck paths of height ≤ D. Exact."""
        kinds: int = self.k ** (self.T // 2)
        return kinds * count_walks(self.T, nonnegative=True, ceiling=self.height)

    @property
    def log_n_words(self) -> float:
        """Logarithm of the number of words, rounded once from the exact integer; finite at any T."""
        return math.log(self.n_words)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """`middle-depth`, the depth halfway, and `open-type`, the innermost open bracket; those with two labels."""
        tasks: tuple[DownstreamTask, ...] = (MiddleDepthTask(self), OpenTypeTask(self))
        return {task.name: task for task in tasks if len(task.label_values) > 1}

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return −log(number of words) on words, −∞ elsewhere."""
        self.check_sentences(sentences)
        word = self._matched(sentences % 2 == 0, sentences // 2)[0]
        log_prob = torch.full((len(sentences),), -self.log_n_words, dtype=torch.float64, device=sentences.device)
        return log_prob.masked_fill(~word, -math.inf)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return 1/(number of words) on words, 0 elsewhere."""
        stack: list[int] = []
        for token in sentence:
            if token % 2 == 0:
                stack.append(token)
            elif not stack or stack.pop() != token - 1:
                return Fraction(0)
            if len(stack) > self.height:
                return Fraction(0)
        return Fraction(0) if stack else Fraction(1, self.n_words)

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return 0 on the one token that completes each context and −∞ on the others. Exact.

        ImpossibleContextError for a context that no word completes.
        """
        positions = self.check_contexts(contexts)
        opens = (contexts >= 0) & (contexts % 2 == 0)
        missing = self.T // 2 - opens.sum(1)
        opens = opens.scatter(1, positions[:, None], (missing == 1)[:, None])
        word, kind = self._matched(opens, torch.where(contexts >= 0, contexts // 2, -1))
        word &= (missing == 0) | (missing == 1)
        if not word.all():
            raise self.impossible(contexts[int((~word).nonzero()[0])])
        return self._certain(2 * kind + (missing == 0))

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return 0 on the tokens of each word and −∞ on all others: no other token fits. Errors as in `Language`.

        A row that is no word has, but for T = 2, a position whose context is impossible; the general rule finds it.
        """
        if bool(self.log_prob(sentences).isneginf().any()):
            return super().log_masked_conditionals(sentences)
        return self._certain(sentences.flatten()).reshape(*sentences.shape, self.n_tokens)

    @property
    def n_candidates(self) -> int:
        return self.n_words

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the words, path by path."""
        paths = enumerate_walks(self.T, nonnegative=True, ceiling=self.height)
        n_kinds = self.k ** (self.T // 2)
        place = torch.tensor([self.k**i for i in reversed(range(self.T // 2))], dtype=torch.int64)
        kinds = torch.arange(n_kinds)[:, None] // place % self.k
        return self._words(paths.repeat_interleave(n_kinds, 0), kinds.repeat(len(paths), 1))

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n uniform words from the generator's stream, exactly and without rejection; n < 0 is a ValueError."""
        check_sample_size(n)
        end = torch.zeros(n, dtype=torch.int64, device=generator.device)
        paths = sample_walks(self.T, end, generator, nonnegative=True, ceiling=self.height)
        kinds = torch.randint(0, self.k, (n, self.T // 2), generator=generator, device=generator.device)
        return self._words(paths, kinds).to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* = 0: the masked token is certain."""
        return 0.0

    def graph(self) -> nx.DiGraph:
        """Return the automaton of the depth: nodes 0 … min(D, T/2); an edge up opens a bracket, one down closes it.

        A node's weight is the expected share of the T steps that start there; an edge's is the share of these steps
        that take it. Quotients of exact integers.
        """
        count = count_completions(self.T, self.height)
        graph = nx.DiGraph()
        visits, opening = [], []
        for h in range(self.height + 1):
            visits.append(sum(count[t][h] * count[self.T - t][h] for t in range(self.T)))
            above = [row[h + 1] if h < self.height else 0 for row in count]
            opening.append(sum(count[t][h] * above[self.T - 1 - t] for t in range(self.T)))
            graph.add_node(h, label=str(h), weight=visits[h] / (self.T * count[self.T][0]))
        for h in range(self.height):
            # A word comes down from h + 1 as often as it goes up there.
            graph.add_edge(h, h + 1, weight=opening[h] / visits[h])
            graph.add_edge(h + 1, h, weight=opening[h] / visits[h + 1])
        return graph

    def _matched(
        self, opens: Bool[Tensor, "word position"], kinds: Int64[Tensor, "word position"]
    ) -> tuple[Bool[Tensor, " word"], Int64[Tensor, " word"]]:
        """Return which rows are words, and the type that an unknown one, −1, has to be (−1 if there is none)."""
        depth = torch.where(opens, 1, -1).cumsum(1)
        word = (depth[:, -1] == 0) & (depth >= 0).all(1) & (depth <= self.height).all(1)
        pairs = kinds.gather(1, _pair_order(opens)).reshape(-1, self.T // 2, 2)
        unknown = (pairs < 0).any(2)
        fits = unknown | (pairs[:, :, 0] == pairs[:, :, 1])
        kind = torch.where(unknown.any(1), torch.where(unknown, pairs.amax(2), 0).sum(1), -1)
        return word & fits.all(1), kind

    def _words(
        self, paths: Int64[Tensor, "word position"], kinds: Int64[Tensor, "word pair"]
    ) -> Int64[Tensor, "word position"]:
        """Return the words with these paths, 1 for up, and a type for each matching pair."""
        return (1 - paths).scatter_add(1, _pair_order(paths == 1), 2 * kinds.repeat_interleave(2, 1))

    def _certain(self, tokens: Int64[Tensor, " row"]) -> Float[Tensor, "row token"]:
        log_prob = torch.full((len(tokens), self.n_tokens), -math.inf, dtype=torch.float64, device=tokens.device)
        return log_prob.scatter(1, tokens[:, None], 0.0)


def _pair_order(opens: Bool[Tensor, "word position"]) -> Int64[Tensor, "word position"]:
    """Return the positions sorted by the depth below each bracket, earlier first.

    At one depth a word alternates between opening and closing, so neighbours 2i and 2i + 1 of this order match.
    """
    depth_below = torch.where(opens, 1, -1).cumsum(1) - opens.to(torch.int64)
    return depth_below.argsort(dim=1, stable=True)


@dataclass(frozen=True)
class MiddleDepthTask(SentenceTask):
    """Tell the depth after the first ⌊T/2⌋ tokens of a word. Source: ours."""

    name: ClassVar[str] = "middle-depth"
    language: NestedBrackets

    @property
    def label_values(self) -> tuple[float, ...]:
        """The depths of the parity of T/2 up to min(D, T/2)."""
        half = self.language.T // 2
        return tuple(float(h) for h in range(half % 2, self.language.height + 1, 2))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        opens = inputs[:, : self.language.T // 2] % 2 == 0
        return torch.where(opens, 1.0, -1.0).to(torch.float64).sum(1)


@dataclass(frozen=True)
class OpenTypeTask(SentenceTask):
    """Tell the type of the innermost bracket open after m tokens, m the largest odd number ≤ T/2. Source: ours.

    After an odd number of tokens some bracket is open, so the label always exists; it is uniform on 0 … k−1.
    """

    name: ClassVar[str] = "open-type"
    language: NestedBrackets

    @property
    def label_values(self) -> tuple[float, ...]:
        return tuple(float(j) for j in range(self.language.k))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        """Return the type of the last bracket opened at the final depth of the prefix."""
        half = self.language.T // 2
        prefix = inputs[:, : half - (half + 1) % 2]
        opens = prefix % 2 == 0
        depth = torch.where(opens, 1, -1).cumsum(1)
        place = torch.arange(prefix.shape[1], device=inputs.device)
        last = torch.where(opens & (depth == depth[:, -1:]), place, -1).amax(1, keepdim=True)
        return (prefix.gather(1, last)[:, 0] // 2).to(torch.float64)
