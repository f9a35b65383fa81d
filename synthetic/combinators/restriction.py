"""What languages conditioned on an event share: the share of the event, and sampling by list or by rejection."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import Changed, resized
from synthetic.combinators.channels import Channel
from synthetic.enumeration import (
    ENUMERATION_LIMIT,
    EXACT_ENUMERATION_LIMIT,
    EmptyLanguageError,
    Enumeration,
    check_size,
)
from synthetic.tasks import check_sample_size

MAX_DRAWS = 1000
"""Inner sentences drawn for each one wanted (and for ten more) before sampling gives up."""

LISTED = 2**16
"""Candidate sentences up to which they are listed and drawn from, without rejection."""

BATCH = 2**16
"""Inner sentences drawn at once, or as many as are wanted if that is more."""


class LowAcceptanceError(ValueError):
    """Too few of the inner language's sentences are in the event for sampling by rejection."""


@runtime_checkable
class KnowsLengths(Protocol):
    """A language that knows the law of its sentence lengths."""

    def length_law(self) -> Mapping[int, float]:
        """Return Pr(length = ℓ) for every ℓ of positive probability."""


@runtime_checkable
class DrawsByLength(Protocol):
    """A language that draws sentences of a given length directly."""

    def sample_length(self, n: int, length: int, generator: torch.Generator) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences from the language given their length."""


class Restriction(Changed):
    """The law P(x | x ∈ A) = P(x) 1{x ∈ A}/P(A) of an inner language P and an event A that a subclass defines.

    `log_prob` needs P(A), in general by enumeration; sampling does not. Source: ours.
    """

    @abstractmethod
    def wanted(self, sentences: Int64[Tensor, "sentence position"]) -> Bool[Tensor, " sentence"]:
        """Return which sentences lie in A."""

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """The inner masked positions that sentences reach."""
        return tuple(t for t in self.language.masked_positions if t < self.length)

    @cached_property
    def log_share(self) -> float:
        """The logarithm of P(A) in nats, kept for the next call; refused above ENUMERATION_LIMIT candidates.

        Raises:
            EmptyLanguageError: if P(A) = 0.
        """
        log_share = self._log_share()
        if log_share == -math.inf:
            raise EmptyLanguageError(
                f"expected a sentence of positive probability in {self!r}, got none; "
                "restrict the inner language to sentences that it produces"
            )
        return log_share

    @cached_property
    def share_exact(self) -> Fraction:
        """P(A) as a Fraction; EnumerationTooLargeError above EXACT_ENUMERATION_LIMIT candidates."""
        check_size(self.n_candidates, EXACT_ENUMERATION_LIMIT, "candidate sentences with exact probabilities")
        rows = self._widened(self.candidates()).tolist()
        return sum((self.language.prob_exact(tuple(row)) for row in rows), Fraction(0))

    def target_channel(self) -> Channel | None:
        return self.language.target_channel()

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x) − log P(A), −∞ outside A. Errors of `log_share`."""
        self.check_sentences(sentences)
        log_prob = self.language.log_prob(self._widened(sentences)) - self.log_share
        return log_prob.masked_fill(~self.wanted(sentences), -math.inf)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        row = torch.tensor([sentence])
        if not self.wanted(row)[0]:
            return Fraction(0)
        return self.language.prob_exact(tuple(self._widened(row)[0].tolist())) / self.share_exact

    def enumerate(self) -> Enumeration:
        """Return every sentence with its probability, as `Language.enumerate`; kept for the next call."""
        return self._whole

    @property
    def n_candidates(self) -> int:
        """The number of inner candidates, in A or not."""
        return self.language.n_candidates

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        rows = self.language.candidates()
        return resized(rows[self.wanted(rows)], self.length)

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences: from a list of all if there are at most LISTED candidates, else by rejection.

        ValueError if n is negative.

        Raises:
            LowAcceptanceError: after MAX_DRAWS · (n + 10) inner sentences, when fewer than n were in A.
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
                    f"expected one sentence in {MAX_DRAWS} to be kept, got {found} of {drawn} for {self!r}; "
                    "choose a likelier restriction, or a language that is so to begin with"
                )
            rows = self.language.sample(size, generator)
            kept.append(rows[self.wanted(rows)])
            drawn, found = drawn + size, found + len(kept[-1])
        return resized(torch.cat(kept)[:n], self.length).to(device or generator.device)

    @cached_property
    def _whole(self) -> Enumeration:
        return super().enumerate()

    def _log_share(self) -> float:
        check_size(self.n_candidates, ENUMERATION_LIMIT, "candidate sentences for the share of a restriction")
        return float(self.language.log_prob(self._widened(self.candidates())).logsumexp(0))

    def _widened(self, tokens: Int64[Tensor, "row position"]) -> Int64[Tensor, "row inner_position"]:
        return resized(tokens, self.language.length)
