"""Languages restricted to sentences of some lengths, or to those that satisfy a predicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import CHUNK, log_joint, resized
from synthetic.combinators.channels import FloatChannel, log_through
from synthetic.combinators.restriction import DrawsByLength, KnowsLengths, Restriction
from synthetic.enumeration import all_strings
from synthetic.language import Language
from synthetic.tasks import check_sample_size
from synthetic.tokens import PAD, fill, mask


@dataclass(frozen=True, eq=False)
class Restricted(Restriction):
    """A language given that its sentences have one of some lengths: P(x | length) = P(x)/Pr(length wanted).

    A context shows the length, so the conditionals are the inner language's own, at any size. `log_prob` needs
    Pr(length wanted): from the inner language's `length_law()` if it has one, else by enumeration. Samples come from
    its `sample_length` if it has that (for several lengths, with the law); else from the list of sentences if it is
    short, else by rejection. Source: ours.

    Attributes:
        language: the inner language.
        lengths: the lengths wanted, in any order.

    >>> from synthetic.closed_form.table import TableLanguage
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
            ValueError: if no length is given, one is out of the inner language's reach, or does not reach a masked
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
    def length(self) -> int:
        return self.lengths[-1]

    def wanted(self, sentences: Int64[Tensor, "sentence position"]) -> Bool[Tensor, " sentence"]:
        """Return which sentences, or contexts, have a wanted length."""
        return torch.isin((sentences != PAD).sum(1), torch.tensor(self.lengths, device=sentences.device))

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return the inner conditionals; ImpossibleContextError also for a context of another length."""
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

    @property
    def n_candidates(self) -> int:
        """Number of strings of the wanted lengths, or of the inner candidates (of any length) if these are fewer."""
        return min(self.language.n_candidates, self._n_strings())

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return the strings of the wanted lengths, or those among the inner candidates."""
        if self._n_strings() > self.language.n_candidates:
            return super().candidates()
        blocks = [all_strings(self.n_tokens, size, padded=False) for size in self.lengths]
        return torch.cat([resized(block, self.length) for block in blocks])

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences: lengths first where the inner language draws by length, else as `Restriction.sample`."""
        weights = self._length_weights()
        if weights is None or not isinstance(self.language, DrawsByLength):
            return super().sample(n, generator, device)
        check_sample_size(n)
        sentences = torch.empty(n, self.length, dtype=torch.int64, device=generator.device)
        if n:
            law = torch.tensor(weights, dtype=torch.float64, device=generator.device)
            place = torch.multinomial(law, n, replacement=True, generator=generator)
            for i, size in enumerate(self.lengths):
                rows = (place == i).nonzero()[:, 0]
                if len(rows):
                    drawn = self.language.sample_length(len(rows), size, generator)
                    sentences[rows] = resized(drawn, self.length)
        return sentences.to(device or generator.device)

    def _log_share(self) -> float:
        if not isinstance(self.language, KnowsLengths):
            return super()._log_share()
        law = self.language.length_law()
        share = math.fsum(float(law.get(size, 0.0)) for size in self.lengths)
        return math.log(share) if share > 0 else -math.inf

    def _length_weights(self) -> list[float] | None:
        """Return weights of the wanted lengths; None if they are needed and unknown."""
        if len(self.lengths) == 1:
            return [1.0]
        if not isinstance(self.language, KnowsLengths):
            return None
        # The share raises the error for lengths that never occur.
        _, law = self.log_share, self.language.length_law()
        return [float(law.get(size, 0.0)) for size in self.lengths]

    def _refuse_other_lengths(self, contexts: Int64[Tensor, "context position"]) -> None:
        other = ~self.wanted(contexts)
        if other.any():
            raise self.impossible(contexts[int(other.nonzero()[0])])

    def _n_strings(self) -> int:
        return sum(self.n_tokens**size for size in self.lengths)


@dataclass(frozen=True, eq=False)
class Satisfying(Restriction):
    """A language given that its sentences satisfy a predicate, P(x | A) with A = {x : predicate(x)}.

    The conditionals need no P(A): p(v | x_{−t}, A) ∝ P(x_{−t}, v) 1{(x_{−t}, v) ∈ A}, exact at any size, then the
    inner target channel if there is one. A predicate is code, so files do not hold this language. Source: ours.

    Attributes:
        language: the inner language.
        predicate: says of sentences, one per row, which are in A.

    >>> from synthetic.closed_form.nested_brackets import NestedBrackets
    >>> starts_round = Satisfying(NestedBrackets(4, k=2), lambda words: words[:, 0] == 0)
    >>> print(f"{starts_round.log_share:.6f}")
    -0.693147
    """

    language: Language
    predicate: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "padded", self.language.padded)

    def wanted(self, sentences: Int64[Tensor, "sentence position"]) -> Bool[Tensor, " sentence"]:
        """Return which sentences satisfy the predicate.

        Raises:
            ValueError: if the predicate does not answer with one truth value for each sentence.
        """
        answer = self.predicate(sentences)
        if answer.dtype != torch.bool or answer.shape != sentences.shape[:1]:
            raise ValueError(
                f"expected the predicate to return {len(sentences)} truth values of shape ({len(sentences)},), got "
                f"{answer.dtype} of shape {tuple(answer.shape)}; compare rows, as in `words[:, 0] == 0`"
            )
        return answer

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | x_{−t}, A), the inner joint law where A holds; exact to float64 rounding.

        Raises:
            ImpossibleContextError: if no completion of a context is in A and possible. Malformed contexts: see
                `check_contexts`.
        """
        positions = self.check_contexts(contexts)
        size = max(1, CHUNK // (self.n_tokens * self.length))
        if len(contexts) > size:
            return torch.cat([self.log_masked_conditional(part) for part in torch.split(contexts, size)])
        completions = fill(contexts, positions, self.n_tokens)
        inside = self.wanted(completions.flatten(0, 1)).reshape(completions.shape[:2])
        joint = log_joint(self.language, contexts).masked_fill(~inside, -math.inf)
        log_context = joint.logsumexp(1, keepdim=True)
        if log_context.isneginf().any():
            raise self.impossible(contexts[int(log_context[:, 0].isneginf().nonzero()[0])])
        log_clean = joint - log_context
        return log_clean if self._float is None else log_through(log_clean, self._float)

    @cached_property
    def _float(self) -> FloatChannel | None:
        channel = self.target_channel()
        return None if channel is None else FloatChannel.of(channel)
