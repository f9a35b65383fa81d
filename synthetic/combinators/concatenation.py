"""Concatenations of languages: independent parts, one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import shared_channel, shared_vocabulary, side_by_side
from synthetic.combinators.channels import Channel
from synthetic.enumeration import ImpossibleContextError
from synthetic.language import Language
from synthetic.tasks import check_sample_size
from synthetic.tokens import PAD, mask


@dataclass(frozen=True, eq=False)
class Concatenation(Language):
    """Sentences x = x⁽¹⁾ x⁽²⁾ … of independent parts, P(x) = Π_i P_i(x⁽ⁱ⁾).

    A masked token depends on its own part alone: p*(y | x_{−t}) = p*_i(y | x⁽ⁱ⁾_{−t}), t in part i; the position t is
    uniform over the masked positions of all parts together. All parts but the last have a fixed length: without
    that, a sentence would not show where a part ends, and its conditionals would need a sum over the boundaries.
    Source: ours.

    Attributes:
        parts: languages with one vocabulary and one target channel (or none).

    >>> from synthetic.closed_form.nested_brackets import NestedBrackets
    >>> language = Concatenation((NestedBrackets(4, k=2), NestedBrackets(2, k=2)))
    >>> language.masked_conditional(torch.tensor([[0, 2, 3, 1, -1, 3]]))
    tensor([[0., 0., 1., 0.]], dtype=torch.float64)
    """

    family: ClassVar[str] = "concatenation"
    parts: Sequence[Language]

    def __post_init__(self) -> None:
        """Check that the parts agree.

        Raises:
            ValueError: if there is no part, they differ in vocabulary or target channel, or one but the last varies
                in length.
        """
        object.__setattr__(self, "parts", tuple(self.parts))
        shared_vocabulary(self.parts, "parts")
        shared_channel(self.parts, "parts")
        for place, part in enumerate(self.parts[:-1]):
            if part.padded:
                raise ValueError(
                    f"expected parts of fixed length before the last one, got sentences of several lengths at place "
                    f"{place}: they would not show where the part ends; restrict it to one length with "
                    "synthetic.combinators.restricted.Restricted, or put it last"
                )
        object.__setattr__(self, "padded", self.parts[-1].padded)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.parts[0].vocabulary

    @property
    def length(self) -> int:
        return sum(part.length for part in self.parts)

    @property
    def starts(self) -> tuple[int, ...]:
        return tuple(sum(part.length for part in self.parts[:i]) for i in range(len(self.parts)))

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """The parts' masked positions, shifted to where the parts lie."""
        return tuple(
            start + t for start, part in zip(self.starts, self.parts, strict=True) for t in part.masked_positions
        )

    def target_channel(self) -> Channel | None:
        return self.parts[0].target_channel()

    def part_log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence part"]:
        """Return log P_i(x⁽ⁱ⁾) of each part, in nats; −∞ for a last part of no token."""
        self.check_sentences(sentences)
        return self._part_log_prob(sentences)

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        return self.part_log_prob(sentences).sum(1)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        if sentence[self.starts[-1]] == PAD:
            return Fraction(0)
        return math.prod(
            (
                part.prob_exact(sentence[start : start + part.length])
                for start, part in zip(self.starts, self.parts, strict=True)
            ),
            start=Fraction(1),
        )

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*_i(y | x⁽ⁱ⁾_{−t}) of the part i that holds the masked position.

        Raises:
            ImpossibleContextError: if a context is impossible in its part, or another part is. Malformed contexts: see
                `check_contexts`.
        """
        positions = self.check_contexts(contexts)
        # A stand-in for the masked token: its own part's probability is not used.
        log_prob = self._part_log_prob(contexts.scatter(1, positions[:, None], 0))
        found = torch.empty(len(contexts), self.n_tokens, dtype=torch.float64, device=contexts.device)
        for i, (start, part) in enumerate(zip(self.starts, self.parts, strict=True)):
            rows = (positions >= start) & (positions < start + part.length)
            impossible = log_prob[rows].isneginf()
            impossible[:, i] = False
            if impossible.any():
                raise self.impossible(contexts[rows][int(impossible.any(1).nonzero()[0])])
            if rows.any():
                try:
                    found[rows] = part.log_masked_conditional(contexts[rows, start : start + part.length])
                except ImpossibleContextError:
                    # The part's own error does not show the whole context; Bayes' rule on the sentence does.
                    super().log_masked_conditional(contexts[rows])
                    raise
        return found

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return the parts' conditionals side by side, by one pass of each. Errors as in `Language`."""
        impossible = self.part_log_prob(sentences).isneginf()
        if len(self.parts) > 1 and impossible.any():
            row, i = impossible.nonzero()[0].tolist()
            t = self.starts[0 if i else 1]
            if sentences[row, t] != PAD:
                raise self.impossible(mask(sentences[[row]], torch.tensor([t], device=sentences.device))[0])
            return super().log_masked_conditionals(sentences)
        return torch.cat(
            [
                part.log_masked_conditionals(sentences[:, start : start + part.length])
                for start, part in zip(self.starts, self.parts, strict=True)
            ],
            1,
        )

    @property
    def n_candidates(self) -> int:
        return math.prod(part.n_candidates for part in self.parts)

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return every combination of the parts' candidates."""
        rows = self.parts[0].candidates()
        for part in self.parts[1:]:
            more = part.candidates()
            rows = torch.cat([rows.repeat_interleave(len(more), 0), more.repeat(len(rows), 1)], 1)
        return rows

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences part by part from the generator's stream. ValueError if n is negative."""
        check_sample_size(n)
        return torch.cat([part.sample(n, generator) for part in self.parts], 1).to(device or generator.device)

    def entropy_floor(self) -> float:
        """Return L* in nats: the parts' floors, weighted by their masked positions; by enumeration if lengths vary."""
        if self.padded:
            return super().entropy_floor()
        counts = [len(part.masked_positions) for part in self.parts]
        total = math.fsum(count * part.entropy_floor() for count, part in zip(counts, self.parts, strict=True))
        return total / sum(counts)

    def graph(self) -> nx.Graph | None:
        """Return the parts' graphs side by side, a group for each; None if one has none."""
        return side_by_side(self.parts)

    def _part_log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence part"]:
        shape = (len(sentences), len(self.parts))
        found = torch.full(shape, -math.inf, dtype=torch.float64, device=sentences.device)
        present = sentences[:, self.starts[-1]] != PAD
        for i, (start, part) in enumerate(zip(self.starts, self.parts, strict=True)):
            own = sentences[present, start : start + part.length]
            found[present, i] = part.log_prob(own)
        return found
