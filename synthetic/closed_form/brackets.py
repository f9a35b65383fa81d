"""The bracket language: balanced or properly nested words, with the masked bracket noisy or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import logsigmoid

from synthetic.closed_form.nested_brackets import NestedBrackets
from synthetic.closed_form.sign_noise import check_alpha, sigmoid_exact, sign_entropy
from synthetic.closed_form.walks import count_walks, enumerate_walks, sample_walks
from synthetic.enumeration import ENUMERATION_LIMIT, check_size
from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration, check_sample_size
from synthetic.tokens import signs


@dataclass(frozen=True)
class BracketLanguage(Language):
    """Words x uniform on the balanced sequences of {±1}^T, or on the nested ones among them (Dyck words).

    Token 1, "(", is +1 and token 0, ")", is −1. *Nested* means that no prefix closes more than it opened. Given
    x_{−t}, with z = Σ_{i≠t} x_i e_i, the masked token is certain: x_t = −Σz.

    With noise α the joint law is that of (x, t, y): x a clean word, t uniform over the T positions and independent
    of x, and the target y = x_t with probability σ(α), −x_t otherwise. Only the target is noisy, through the
    language's `target_channel`; the T − 1 context tokens, `sample` and `enumerate` are clean, and

        p*(+1 | x_{−t}) = σ(−α Σz).

    No law Q of the observed sentence (x_{−t}, y) alone gives this task when T ≥ 4: these conditionals force
    Q(sum ±2) > 0 on single sentences, hence contexts with Σz = ±3, which the task never shows.
    Source: ours, after the paper's Theorem 6.1 (second-hand).

    Attributes:
        T: length, even and at least 2.
        alpha: noise parameter α, finite; None for no noise.
        nested: whether words must be properly nested.

    >>> language = BracketLanguage(4, alpha=1.5)
    >>> language.masked_conditional(torch.tensor([[1, 0, -1, 0]]))
    tensor([[0.1824, 0.8176]], dtype=torch.float64)
    >>> BracketLanguage(4).masked_conditional(torch.tensor([[1, 0, -1, 0]]))
    tensor([[0., 1.]], dtype=torch.float64)
    """

    family: ClassVar[str] = "brackets"
    vocabulary: ClassVar[tuple[str, ...]] = (")", "(")
    T: int
    alpha: float | int | None = None
    nested: bool = False

    def __post_init__(self) -> None:
        """Check the parameters; a whole T of any numeric type becomes an int.

        Raises:
            ValueError: if T is odd or below 2, or α is not finite.
        """
        if not self.T >= 2 or self.T % 2 != 0:
            raise ValueError(f"expected an even integer T >= 2, got {self.T}; a word of odd length cannot balance")
        object.__setattr__(self, "T", int(self.T))
        if self.alpha is not None:
            check_alpha(self.alpha)

    @property
    def length(self) -> int:
        return self.T

    @property
    def n_words(self) -> int:
        """Number of words: C(T, T/2), or the Catalan number C(T, T/2)/(T/2 + 1) when nested. Exact."""
        return count_walks(self.T, nonnegative=self.nested)

    @property
    def log_n_words(self) -> float:
        """Logarithm of the number of words, rounded once from the exact integer; finite at any T."""
        return math.log(self.n_words)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The task `sum-sign`: sequences with sum ±2, label 1{sum > 0}."""
        return {SumSignTask.name: SumSignTask(self.T)}

    def target_channel(self) -> tuple[tuple[Fraction, ...], ...] | None:
        """Return the channel that keeps the masked token with probability σ(α) (to 50 digits); None without noise."""
        if self.alpha is None:
            return None
        keep = sigmoid_exact(self.alpha)
        return ((keep, 1 - keep), (1 - keep, keep))

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return −log(number of words) on words, −∞ elsewhere."""
        self.check_sentences(sentences)
        log_prob = torch.full((len(sentences),), -self.log_n_words, dtype=torch.float64, device=sentences.device)
        return log_prob.masked_fill(~self._is_word(signs(sentences)), -math.inf)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return 1/(number of words) on words, 0 elsewhere."""
        height, lowest = 0, 0
        for token in sentence:
            height += 2 * token - 1
            lowest = min(lowest, height)
        word = height == 0 and (lowest == 0 or not self.nested)
        return Fraction(1, self.n_words) if word else Fraction(0)

    def masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return (σ(αΣz), σ(−αΣz)); without noise, one on the token −Σz.

        ImpossibleContextError for a context that no word completes.
        """
        return torch.sigmoid(self._logits(contexts))

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return the logarithm of `masked_conditional`; finite also where the probability underflows."""
        return logsigmoid(self._logits(contexts))

    @property
    def n_candidates(self) -> int:
        return self.n_words

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the words in lexicographic order, `)` before `(`."""
        return enumerate_walks(self.T, nonnegative=self.nested)

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n uniform words from the generator's stream, exactly and without rejection; n < 0 is a ValueError."""
        check_sample_size(n)
        end = torch.zeros(n, dtype=torch.int64, device=generator.device)
        return sample_walks(self.T, end, generator, nonnegative=self.nested).to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* = H(σ(α)) in nats, 0 without noise; in closed form."""
        return 0.0 if self.alpha is None else sign_entropy(self.alpha)

    def features(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context feature"]:
        """Return z = Σ_{i≠t} x_i e_i, what a model reads of a context: ±1, and 0 at the masked position."""
        return signs(contexts)

    def contexts(self) -> Float[Tensor, "context feature"]:
        """Return every z, in the order of `enumerate_contexts()`, each of probability 1/(T · number of words)."""
        return self.features(self.enumerate_contexts().contexts)

    def graph(self) -> nx.Graph:
        """Return the automaton of the height: nodes −T/2 … T/2, nested 0 … T/2; an edge up opens, one down closes.

        A node's weight is the expected share of the T steps that start there, an edge's the share of these steps that
        take it. Quotients of exact integers.
        """
        if self.nested:
            return NestedBrackets(self.T, k=1).graph()
        graph, half = nx.DiGraph(), self.T // 2

        def ways(steps: int, height: int) -> int:
            return math.comb(steps, (steps + height) // 2) if (steps + height) % 2 == 0 and steps >= abs(height) else 0

        for h in range(-half, half + 1):
            visits = sum(ways(t, h) * ways(self.T - t, h) for t in range(self.T))
            graph.add_node(h, label=str(h), weight=visits / (self.T * self.n_words))
            for above in (h + 1, h - 1):
                taken = sum(ways(t, h) * ways(self.T - t - 1, above) for t in range(self.T))
                if taken:
                    graph.add_edge(h, above, weight=taken / visits)
        return graph

    def _is_word(self, s: Float[Tensor, "row position"]) -> Tensor:
        height = s.cumsum(1)
        word = height[:, -1] == 0
        return word & (height >= 0).all(1) if self.nested else word

    def _logits(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        positions = self.check_contexts(contexts)
        z = signs(contexts)
        total = z.sum(1)
        # A word is completed by −Σz or by nothing; |Σz| ≠ 1 leaves a row that is no ±1 sequence.
        word = self._is_word(z.scatter(1, positions[:, None], -total[:, None])) & (total.abs() == 1)
        if not word.all():
            raise self.impossible(contexts[int((~word).nonzero()[0])])
        logit = -(math.inf if self.alpha is None else self.alpha) * total
        return torch.stack([-logit, logit], 1)


@dataclass(frozen=True)
class SumSignTask(DownstreamTask):
    """Tell which bracket is in excess: x uniform on {±1}^T with Σx = ±2, label 1{Σx > 0}.

    Both labels have probability ½, so n labels are all 0 with probability exactly 2^{−n}. Source: ours, after
    Theorem 6.1 of the paper (second-hand). Attributes:
        T: length of the sentences, even.
    """

    name: ClassVar[str] = "sum-sign"
    label_values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    T: int

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        return (signs(inputs).sum(1) > 0).to(torch.float64)

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        return signs(inputs)

    def enumerate(self) -> LabelledEnumeration:
        """Return the 2·C(T, T/2 + 1) sequences, equally probable; EnumerationTooLargeError above the limit."""
        check_size(2 * count_walks(self.T, 2), ENUMERATION_LIMIT, "inputs")
        inputs = torch.cat([enumerate_walks(self.T, -2), enumerate_walks(self.T, 2)])
        prob = torch.full((len(inputs),), 1 / len(inputs), dtype=torch.float64)
        return LabelledEnumeration(inputs, self.label(inputs), prob)

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        end = 4 * torch.randint(0, 2, (n,), generator=generator, device=generator.device) - 2
        return sample_walks(self.T, end, generator)
