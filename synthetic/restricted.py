"""A language given the length of its sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import networkx as nx
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.channels import Channel
from synthetic.combinators import resized
from synthetic.enumeration import (
    ENUMERATION_LIMIT,
    EXACT_ENUMERATION_LIMIT,
    EmptyLanguageError,
    Enumeration,
    all_strings,
    check_size,
)
from synthetic.language import Language
from synthetic.tasks import check_sample_size
from synthetic.tokens import PAD, mask

MAX_DRAWS = 1000
"""Inner sentences drawn for each one wanted (and for ten more) before sampling gives up."""

LISTED = 2**16
"""Candidate sentences up to which they are listed and drawn from, without rejection."""

BATCH = 2**16
"""Inner sentences drawn at once, or as many as are wanted if that is more."""


@runtime_checkable
class KnowsLengths(Protocol):
    """A language that knows the law of its sentence lengths."""

    def length_law(self) -> Mapping[int, float]:
        """Return Pr(length = ℓ) for every ℓ of positive probability."""


class LowAcceptanceError(ValueError):
    """Too few of the inner language's sentences have a wanted length for sampling by rejection."""


@dataclass(frozen=True, eq=False)
class Restricted(Language):
    """A language conditioned on its sentences having one of some lengths: P(x | length) = P(x)/Pr(length wanted).

    A context shows the length, so the conditionals are the inner language's own, at any size. `log_prob` needs
    Pr(length wanted): from the inner language's `length_law()` if it has one, else by enumeration. Samples come from
    the list of sentences if it is short, else from the inner language by rejection. Source: ours.

    Attributes:
        language: the inner language.
        lengths: the lengths wanted, in any order.

    >>> from synthetic.table import TableLanguage
    >>> table = TableLanguage(("a", "b"), {(0,): 5, (0, 1): 1, (1, 1): 3})
    >>> pairs = Restricted(table, (2,))
    >>> pairs.log_prob(torch.tensor([[1, 1]])).exp()
    tensor([0.7500], dtype=torch.float64)
    """

    family: ClassVar[str] = "restricted"
    language: Language
    lengths: Sequence[int]

    def __post_init__(self) -> None:
        """Check the lengths and sort them.

        Raises:
            ValueError: if no length is given, one is out of the inner language's reach, or none reaches a masked
                position.
        """
        reach = range(1 if self.language.padded else self.language.length, self.language.length + 1)
        if not self.lengths or not all(size in reach for size in self.lengths):
            raise ValueError(
                f"expected lengths among {reach.start}..{self.language.length}, got {tuple(self.lengths)}; "
                "give lengths that sentences of the inner language may have"
            )
        object.__setattr__(self, "lengths", tuple(sorted({int(size) for size in self.lengths})))
        object.__setattr__(self, "padded", len(self.lengths) > 1)
        if min(self.language.masked_positions) >= self.lengths[0]:
            raise ValueError(
                f"expected lengths that reach a masked position, got {self.lengths[0]} where "
                f"{self.language.masked_positions} are masked; drop this length"
            )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The inner vocabulary."""
        return self.language.vocabulary

    @property
    def length(self) -> int:
        """The largest length wanted."""
        return self.lengths[-1]

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """The inner masked positions that sentences reach."""
        return tuple(t for t in self.language.masked_positions if t < self.length)

    @cached_property
    def log_share(self) -> float:
        """The logarithm of Pr(length wanted) in the inner language, in nats.

        By the inner language's `length_law()`, or refused above ENUMERATION_LIMIT candidates with
        EnumerationTooLargeError.

        Raises:
            EmptyLanguageError: if the probability is zero.
        """
        if isinstance(self.language, KnowsLengths):
            law = self.language.length_law()
            share = math.fsum(float(law.get(size, 0.0)) for size in self.lengths)
            log_share = math.log(share) if share > 0 else -math.inf
        else:
            check_size(self.n_candidates, ENUMERATION_LIMIT, "candidate sentences of the wanted lengths")
            log_share = float(self.language.log_prob(self._widened(self.candidates())).logsumexp(0))
        if log_share == -math.inf:
            raise EmptyLanguageError(
                f"expected sentences of length {self.lengths} in {self.language!r}, got none of positive probability; "
                "choose lengths that it produces"
            )
        return log_share

    @cached_property
    def share_exact(self) -> Fraction:
        """Pr(length wanted) as a Fraction; EnumerationTooLargeError above EXACT_ENUMERATION_LIMIT candidates."""
        check_size(self.n_candidates, EXACT_ENUMERATION_LIMIT, "candidate sentences with exact probabilities")
        rows = self._widened(self.candidates()).tolist()
        return sum((self.language.prob_exact(tuple(row)) for row in rows), Fraction(0))

    def target_channel(self) -> Channel | None:
        """Return the inner channel."""
        return self.language.target_channel()

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x) − log Pr(length wanted), −∞ at another length. Errors of `log_share`."""
        self.check_sentences(sentences)
        log_prob = self.language.log_prob(self._widened(sentences)) - self.log_share
        return log_prob.masked_fill(~self._wanted(sentences), -math.inf)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x)/Pr(length wanted), 0 at another length."""
        if sum(token != PAD for token in sentence) not in self.lengths:
            return Fraction(0)
        padding = (PAD,) * (self.language.length - self.length)
        return self.language.prob_exact((*sentence, *padding)) / self.share_exact

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return the inner conditionals.

        Raises:
            ImpossibleContextError: if a context has another length, or is impossible in the inner language. Malformed
                contexts: see `check_contexts`.
        """
        self.check_contexts(contexts)
        self._refuse_other_lengths(contexts)
        return self.language.log_masked_conditional(self._widened(contexts))

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return the inner conditionals, in one inner pass. Errors as in `Language`."""
        self.check_sentences(sentences)
        self._refuse_other_lengths(mask(sentences, torch.zeros_like(sentences[:, 0])))
        return self.language.log_masked_conditionals(self._widened(sentences))[:, : self.length]

    def enumerate(self) -> Enumeration:
        """Return every sentence with its probability, as `Language.enumerate`; kept for the next call."""
        return self._whole

    @property
    def n_candidates(self) -> int:
        """Number of strings of the wanted lengths, or of the inner candidates (of any length) if these are fewer."""
        return min(self.language.n_candidates, self._n_strings())

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the strings of the wanted lengths, or those among the inner candidates."""
        if self._n_strings() <= self.language.n_candidates:
            blocks = [all_strings(self.n_tokens, size, padded=False) for size in self.lengths]
            return torch.cat([resized(block, self.length) for block in blocks])
        rows = self.language.candidates()
        return resized(rows[self._wanted(rows)], self.length)

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences: from a list of all if there are at most LISTED candidates, else by rejection.

        ValueError if n is negative.

        Raises:
            LowAcceptanceError: after MAX_DRAWS · (n + 10) inner sentences, when fewer than n had a wanted length.
        """
        check_sample_size(n)
        if self.n_candidates <= LISTED:
            return super().sample(n, generator, device)
        kept, found, drawn = [self.language.sample(0, generator)], 0, 0
        while found < n:
            # As many as the acceptance so far asks for, and some to spare.
            size = (n - found) * (drawn + 1) // (found + 1) + 10
            size = min(size, max(n, BATCH), MAX_DRAWS * (n + 10) - drawn)
            if size <= 0:
                raise LowAcceptanceError(
                    f"expected at least one sentence in {MAX_DRAWS} of length {self.lengths}, got {found} in {drawn} "
                    f"draws of {self.language!r}; choose likelier lengths, or a language of this length to begin with"
                )
            rows = self.language.sample(size, generator)
            kept.append(rows[self._wanted(rows)])
            drawn, found = drawn + size, found + len(kept[-1])
        return resized(torch.cat(kept)[:n], self.length).to(device or generator.device)

    def graph(self) -> nx.Graph | None:
        """Return the inner graph."""
        return self.language.graph()

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Restricted:
        """Rebuild the language."""
        return cls(state["language"], tuple(state["lengths"]))

    @cached_property
    def _whole(self) -> Enumeration:
        return super().enumerate()

    def _widened(self, tokens: Int64[Tensor, "row position"]) -> Int64[Tensor, "row inner_position"]:
        return resized(tokens, self.language.length)

    def _wanted(self, tokens: Int64[Tensor, "row position"]) -> Bool[Tensor, " row"]:
        return torch.isin((tokens != PAD).sum(1), torch.tensor(self.lengths, device=tokens.device))

    def _refuse_other_lengths(self, contexts: Int64[Tensor, "context position"]) -> None:
        other = ~self._wanted(contexts)
        if other.any():
            raise self.impossible(contexts[int(other.nonzero()[0])])

    def _n_strings(self) -> int:
        return sum(self.n_tokens**size for size in self.lengths)
