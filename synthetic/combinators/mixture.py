"""Mixtures of languages: a sentence comes from one component, drawn with its weight."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import (
    log_joint,
    log_joints,
    resized,
    shared_channel,
    shared_vocabulary,
    side_by_side,
)
from synthetic.combinators.channels import Channel, FloatChannel, exact_distribution, log_through
from synthetic.enumeration import all_strings, log_rows, n_strings
from synthetic.language import Language
from synthetic.sentence_tasks import SentenceTask, first_of_best
from synthetic.tasks import DownstreamTask, check_sample_size
from synthetic.tokens import PAD, mask


@dataclass(frozen=True, eq=False)
class Mixture(Language):
    """The language P(x) = Σ_k w_k P_k(x) of components P_k with weights w_k.

    The conditionals weigh the components by how well they explain the context, t being uniform over the same
    positions in each:

        p*(y | x_{−t}) = Σ_k w_k P_k(x_{−t}) p*_k(y | x_{−t}) / Σ_k w_k P_k(x_{−t}),

    where a component for which the context is impossible counts for nothing. Lengths may differ; shorter sentences are
    padded to the longest. Source: ours.

    Attributes:
        components: languages with one vocabulary, one target channel (or none), and masked positions that agree as
            far as each reaches; otherwise the position itself, or the noise, would tell the component.
        weights: probabilities of the components; Fractions are taken as they are, floats as the exact numbers they
            are, all divided by their sum.

    >>> from synthetic.closed_form.pairs import PairLanguage
    >>> mixture = Mixture((PairLanguage(2, 2.0), PairLanguage(2, -1.0)), (0.25, 0.75))
    >>> mixture.masked_conditional(torch.tensor([[1, 1, -1]]))  # 0.25 σ(2) + 0.75 σ(−1) for +1
    tensor([[0.5781, 0.4219]], dtype=torch.float64)
    """

    family: ClassVar[str] = "mixture"
    components: Sequence[Language]
    weights: Sequence[Fraction | float | int]

    def __post_init__(self) -> None:
        """Check that the components agree, and keep the weights as Fractions.

        Raises:
            ValueError: if there is no component, the weights are no probabilities, or the components differ in
                vocabulary, target channel or masked positions.
        """
        object.__setattr__(self, "components", tuple(self.components))
        shared_vocabulary(self.components, "components")
        shared_channel(self.components, "components")
        if len(self.weights) != len(self.components):
            raise ValueError(
                f"expected a weight for each of {len(self.components)} components, got {len(self.weights)}; "
                "give as many weights as components"
            )
        object.__setattr__(self, "weights", exact_distribution(self.weights, "the weights"))
        padded = any(part.padded or part.length < self.length for part in self.components)
        object.__setattr__(self, "padded", padded)
        for place, part in enumerate(self.components):
            within = [t for t in self.masked_positions if t < part.length]
            if sorted(part.masked_positions) != within:
                raise ValueError(
                    f"expected components that mask the same positions as far as they reach, got "
                    f"{tuple(part.masked_positions)} at place {place}, where others mask {tuple(within)}: the masked "
                    "position would depend on the component; give them the same masked_positions"
                )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.components[0].vocabulary

    @property
    def length(self) -> int:
        return max(part.length for part in self.components)

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """The positions that some component masks; every one that reaches so far does."""
        return tuple(sorted({t for part in self.components for t in part.masked_positions}))

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """`component`, the most probable component, and the tasks that all components have and agree on."""
        own: DownstreamTask = ComponentTask(self)
        first = self.components[0].downstream
        shared = {
            name: task
            for name, task in first.items()
            if all(part.length == self.length and part.downstream.get(name) == task for part in self.components)
        }
        return {**shared, own.name: own} if len(self.components) > 1 else shared

    def target_channel(self) -> Channel | None:
        return self.components[0].target_channel()

    def component_log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence component"]:
        """Return log w_k P_k(x), the logarithm of the joint law of sentence and component, in nats."""
        self.check_sentences(sentences)
        shape = (len(sentences), len(self.components))
        found = torch.full(shape, -math.inf, dtype=torch.float64, device=sentences.device)
        for k, (part, log_weight) in enumerate(self._weighted()):
            rows = _fits(part, sentences)
            found[rows, k] = log_weight + part.log_prob(sentences[rows, : part.length])
        return found

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        return self.component_log_prob(sentences).logsumexp(1)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        total = Fraction(0)
        for part, weight in zip(self.components, self.weights, strict=True):
            head, tail = sentence[: part.length], sentence[part.length :]
            if all(token == PAD for token in tail) and (part.padded or PAD not in head):
                total += Fraction(weight) * part.prob_exact(head)
        return total

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | x_{−t}) from the components' joint laws of context and token; exact to float64 rounding.

        ImpossibleContextError for a context that is impossible in every component.
        """
        self.check_contexts(contexts)
        shape = (len(contexts), self.n_tokens)
        total = torch.full(shape, -math.inf, dtype=torch.float64, device=contexts.device)
        for part, log_weight in self._weighted():
            rows = _fits(part, contexts)
            if rows.any():
                joint = log_weight + log_joint(part, contexts[rows, : part.length])
                total[rows] = torch.logaddexp(total[rows], joint)
        log_context = total.logsumexp(1, keepdim=True)
        if log_context.isneginf().any():
            raise self.impossible(contexts[int(log_context[:, 0].isneginf().nonzero()[0])])
        return self._noisy(total - log_context)

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(y | x_{−t}) for every position, by one pass of each component. Errors as in `Language`."""
        self.check_sentences(sentences)
        shape = (*sentences.shape, self.n_tokens)
        total = torch.full(shape, -math.inf, dtype=torch.float64, device=sentences.device)
        for part, log_weight in self._weighted():
            rows = _fits(part, sentences)
            if rows.any():
                joint = log_weight + log_joints(part, sentences[rows, : part.length])
                total[rows, : part.length] = torch.logaddexp(total[rows, : part.length], joint)
        log_context = total.logsumexp(2, keepdim=True)
        inside = (sentences != PAD)[:, :, None]
        impossible = (log_context.isneginf() & inside).nonzero()
        if len(impossible):
            row, t = impossible[0, :2].tolist()
            raise self.impossible(mask(sentences[[row]], torch.tensor([t], device=sentences.device))[0])
        return self._noisy(torch.where(inside, total - log_context, -math.inf))

    @property
    def n_candidates(self) -> int:
        """The components' candidates together, those that several share counted once for each; or all strings."""
        return min(self._n_listed(), n_strings(self.n_tokens, self.length, padded=self.padded))

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the components' candidates, each once; all strings if these are fewer than the components' lists."""
        if self._n_listed() > self.n_candidates:
            return all_strings(self.n_tokens, self.length, padded=self.padded)
        listed = torch.cat([resized(part.candidates(), self.length) for part in self.components])
        distinct: Tensor = torch.unique(listed, dim=0)
        return distinct

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences: the components first, then each component's share. ValueError if n is negative."""
        check_sample_size(n)
        sentences = torch.empty(n, self.length, dtype=torch.int64, device=generator.device)
        if n:
            weights = torch.tensor([float(w) for w in self.weights], dtype=torch.float64, device=generator.device)
            component = torch.multinomial(weights, n, replacement=True, generator=generator)
            for k, part in enumerate(self.components):
                rows = (component == k).nonzero()[:, 0]
                if len(rows):
                    sentences[rows] = resized(part.sample(len(rows), generator), self.length)
        return sentences.to(device or generator.device)

    def graph(self) -> nx.Graph | None:
        """Return the components' graphs side by side, a group for each; None if one has none."""
        return side_by_side(self.components)

    @cached_property
    def _float(self) -> FloatChannel | None:
        channel = self.target_channel()
        return None if channel is None else FloatChannel.of(channel)

    def _weighted(self) -> Iterator[tuple[Language, float]]:
        weights = [Fraction(weight) for weight in self.weights]
        return zip(self.components, log_rows([weights])[0].tolist(), strict=True)

    def _n_listed(self) -> int:
        return sum(part.n_candidates for part in self.components)

    def _noisy(self, log_clean: Float[Tensor, "*batch token"]) -> Float[Tensor, "*batch token"]:
        return log_clean if self._float is None else log_through(log_clean, self._float)


def _fits(part: Language, tokens: Int64[Tensor, "row position"]) -> Bool[Tensor, " row"]:
    """Return which rows have a length that the component may have."""
    pad = tokens == PAD
    fits = pad[:, part.length :].all(1)
    return fits if part.padded else fits & ~pad[:, part.length - 1]


@dataclass(frozen=True)
class ComponentTask(SentenceTask):
    """Tell the most probable component of a sentence, argmax_k w_k P_k(x); of near-equal ones the first. Source: ours.

    The label of an impossible sentence is 0.
    """

    name: ClassVar[str] = "component"
    language: Mixture

    @property
    def label_values(self) -> tuple[float, ...]:
        return tuple(float(k) for k in range(len(self.language.components)))

    def label(self, inputs: Int64[Tensor, "example position"]) -> Float[Tensor, " example"]:
        return first_of_best(self.language.component_log_prob(inputs)).to(torch.float64)
