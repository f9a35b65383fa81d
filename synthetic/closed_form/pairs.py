"""The pair language: a masked token that is a noisy copy of the product of two context tokens."""

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

from synthetic.closed_form.sign_noise import check_alpha, sigmoid_exact, sign_entropy
from synthetic.enumeration import ENUMERATION_LIMIT, all_strings, check_size
from synthetic.language import Language
from synthetic.tasks import DownstreamTask, LabelledEnumeration, check_sample_size
from synthetic.tokens import MASK, signs


@dataclass(frozen=True)
class PairLanguage(Language):
    """Sentences (z₁, …, z_d, y): z uniform on {±1}^d and Pr(y = +1 | z) = σ(α z₁z₂); y is the masked token.

    P(z, y) = 2^{−d} σ(α y z₁z₂). Token 0 is −1 and token 1 is +1. Every conditional has a closed form: with
    g the product of the other two of (z₁, z₂, y), the token is +1 with probability σ(αg), and a masked z_i with
    i > 2 is a fair coin. Source: ours, the noisy counterpart of the paper's synthetic language (second-hand).

    Attributes:
        d: number of context tokens, at least 2.
        alpha: noise parameter α, finite; σ(α) is the probability that y = z₁z₂.

    >>> language = PairLanguage(3, alpha=1.5)
    >>> language.masked_conditional(torch.tensor([[1, 1, 0, -1], [0, 1, 0, -1]]))
    tensor([[0.1824, 0.8176],
            [0.8176, 0.1824]], dtype=torch.float64)
    """

    family: ClassVar[str] = "pairs"
    vocabulary: ClassVar[tuple[str, ...]] = ("-1", "+1")
    d: int
    alpha: float | int

    def __post_init__(self) -> None:
        """Check the parameters; a whole d of any numeric type becomes an int.

        Raises:
            ValueError: if d < 2 or α is not finite.
        """
        if not self.d >= 2 or self.d % 1 != 0:
            raise ValueError(f"expected an integer d >= 2, got {self.d}; the label needs the two tokens z_1 and z_2")
        object.__setattr__(self, "d", int(self.d))
        check_alpha(self.alpha)

    @property
    def length(self) -> int:
        """T = d + 1."""
        return self.d + 1

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """Only y is masked."""
        return (self.d,)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        return {PairProductTask.name: PairProductTask(self.d)}

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return −d log 2 + log σ(α y z₁z₂)."""
        self.check_sentences(sentences)
        return logsigmoid(self.alpha * self._triple(signs(sentences))) - self.d * math.log(2)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return 2^{−d} σ(α y z₁z₂), with σ(α) to 50 digits."""
        odd_downs = [sentence[0], sentence[1], sentence[-1]].count(0) % 2
        return sigmoid_exact(-self.alpha if odd_downs else self.alpha) / int(2**self.d)

    def masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return (σ(−αg), σ(αg)), g the product of the others of (z₁, z₂, y) or 0; any position may be masked."""
        return torch.sigmoid(self._logits(contexts))

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return (log σ(−αg), log σ(αg)); finite also where the probability underflows."""
        return logsigmoid(self._logits(contexts))

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences from the generator's stream, exactly; ValueError if n is negative."""
        check_sample_size(n)
        z = torch.randint(0, 2, (n, self.d), generator=generator, device=generator.device)
        uniform = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
        s = signs(z)
        y = uniform < torch.sigmoid(self.alpha * s[:, 0] * s[:, 1])
        return torch.cat([z, y[:, None].to(torch.int64)], 1).to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* = H(σ(α)) in nats, in closed form."""
        return sign_entropy(self.alpha)

    def features(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context feature"]:
        """Return z ∈ {±1}^d, what a model reads of contexts whose y is masked."""
        return signs(contexts[:, :-1])

    def contexts(self) -> Float[Tensor, "context feature"]:
        """Return every z ∈ {±1}^d, in the order of `enumerate_contexts()`, each of probability 2^{−d}."""
        return self.features(self.enumerate_contexts().contexts)

    def graph(self) -> nx.Graph:
        """Return the tokens, with z₁, z₂ and y joined by the interaction α/2 · y z₁z₂."""
        graph = nx.Graph()
        graph.add_node("interaction", label=f"{self.alpha / 2:g}", weight=0.1, group=1)
        for name in [*(f"z{i + 1}" for i in range(self.d)), "y"]:
            graph.add_node(name, label=name, weight=0.5, group=0)
        graph.add_edges_from((("interaction", name) for name in ("z1", "z2", "y")), weight=0.5)
        return graph

    def _triple(self, s: Float[Tensor, "row position"]) -> Float[Tensor, " row"]:
        return s[:, 0] * s[:, 1] * s[:, -1]

    def _logits(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        positions = self.check_contexts(contexts)
        s = signs(contexts).scatter(1, positions[:, None], 1.0)
        relevant = (positions < 2) | (positions == self.d)
        logit = self.alpha * torch.where(relevant, self._triple(s), 0.0)
        return torch.stack([-logit, logit], 1)


@dataclass(frozen=True)
class PairProductTask(DownstreamTask):
    """Tell z₁z₂ = ±1 from a context of the pair language: z uniform on {±1}^d, the last token masked.

    Source: ours. Attributes:
        d: number of context tokens.
    """

    name: ClassVar[str] = "pair-product"
    label_values: ClassVar[tuple[float, ...]] = (-1.0, 1.0)
    d: int

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        z = signs(inputs)
        return z[:, 0] * z[:, 1]

    def features(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, "example feature"]:
        return signs(inputs[:, :-1])

    def enumerate(self) -> LabelledEnumeration:
        """Return the 2^d contexts, each of probability 2^{−d}; EnumerationTooLargeError above the limit."""
        check_size(2**self.d, ENUMERATION_LIMIT, "inputs")
        inputs = torch.nn.functional.pad(all_strings(2, self.d, padded=False), (0, 1), value=MASK)
        return LabelledEnumeration(inputs, self.label(inputs), torch.full((len(inputs),), 2.0**-self.d).double())

    def _sample_inputs(self, n: int, generator: torch.Generator) -> Int64[Tensor, "example position"]:
        z = torch.randint(0, 2, (n, self.d), generator=generator, device=generator.device)
        return torch.nn.functional.pad(z, (0, 1), value=MASK)
