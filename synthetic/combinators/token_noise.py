"""Noise on every token: the observed sentence is a hidden one of which each token passed through a channel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import Changed
from synthetic.combinators.channels import Channel, FloatChannel, exact_channel, log_through
from synthetic.enumeration import EnumerationTooLargeError
from synthetic.language import Language
from synthetic.tasks import check_sample_size
from synthetic.tokens import MASK, PAD, mask

HIDDEN_LIMIT = 2**16
"""Hidden candidate sentences above which the sum over them is refused."""

CHUNK = 2**22
"""Pairs of an observed and a hidden sentence that are held at once."""


@dataclass(frozen=True, eq=False)
class TokenNoise(Changed):
    """A language seen through a channel K on every token, context and target alike, independently.

    P(y) = Σ_x P(x) Π_t K(x_t, y_t), with x the hidden sentence of the inner language; lengths are not disturbed. The
    conditionals need the posterior of x, so in general a sum over all hidden sentences: exact, and refused where there
    are more than HIDDEN_LIMIT. An HMM needs no such sum, since its noise is a matrix product with its emissions; and
    noise on the masked token alone is `synthetic.combinators.target_noise.TargetNoise`, exact at any size.
    Source: ours.

    Attributes:
        language: the inner language, without target channel.
        channel: K as c rows of c probabilities; see `TargetNoise`.

    >>> from synthetic.combinators.channels import symmetric_channel
    >>> from synthetic.closed_form.table import TableLanguage
    >>> twins = TableLanguage(("a", "b"), {(0, 0): 1, (1, 1): 1})
    >>> TokenNoise(twins, symmetric_channel(2, keep=0.9)).masked_conditional(torch.tensor([[0, -1]]))
    tensor([[0.8200, 0.1800]], dtype=torch.float64)
    """

    family: ClassVar[str] = "token-noise"
    language: Language
    channel: Sequence[Sequence[Fraction | float | int]] = field(repr=False)

    def __post_init__(self) -> None:
        """Check the channel and keep it as Fractions.

        Raises:
            ValueError: if the inner language has a target channel; about the channel, as
                `synthetic.combinators.channels.exact_channel`.
            EnumerationTooLargeError: if the inner language has too many candidate sentences.
        """
        if self.language.n_candidates > HIDDEN_LIMIT:
            raise EnumerationTooLargeError(
                f"expected at most {HIDDEN_LIMIT} hidden candidate sentences, got {self.language.n_candidates:.6g}: "
                "noise on the context makes every conditional a sum over them; put the noise of an HMM into its "
                "emissions (emission matrix times channel), or use TargetNoise for noise on the masked token alone"
            )
        if self.language.target_channel() is not None:
            raise ValueError(
                f"expected an inner language without target channel, got {self.language!r}; make it noiseless, and "
                "put TargetNoise around the TokenNoise if the target has further noise"
            )
        object.__setattr__(self, "channel", exact_channel(self.channel, self.language.n_tokens))
        object.__setattr__(self, "padded", self.language.padded)

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log Σ_x P(x) Π_t K(x_t, y_t), summed over all hidden x; exact to float64 rounding."""
        self.check_sentences(sentences)
        found = torch.empty(len(sentences), dtype=torch.float64, device=sentences.device)
        for part in self._chunks(sentences, kept=1):
            found[part] = self._log_joint(sentences[part]).logsumexp(0)
        return found

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        channel, total = self._channel(), Fraction(0)
        for hidden, prob in self._hidden_exact.items():
            pairs = list(zip(hidden, sentence, strict=True))
            if all((v == PAD) == (y == PAD) for v, y in pairs):
                total += prob * math.prod((channel[v][y] for v, y in pairs if y != PAD), start=Fraction(1))
        return total

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | y_{−t}), the posterior of the hidden token at t sent through K; exact to float64 rounding.

        ImpossibleContextError for a context that no hidden sentence explains.
        """
        positions = self.check_contexts(contexts)
        found = torch.empty(len(contexts), self.n_tokens, dtype=torch.float64, device=contexts.device)
        for part in self._chunks(contexts, kept=1):
            log_joint = self._log_joint(contexts[part])
            for t in torch.unique(positions[part]).tolist():
                rows = (positions[part] == t).nonzero()[:, 0]
                found[part.start + rows] = self._conditional(log_joint[:, rows], contexts[part][rows], t)
        return found

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(y | y_{−t}) for every position, from running products before and after it.

        Exact to float64 rounding. Errors as in `Language`.
        """
        self.check_sentences(sentences)
        shape = (*sentences.shape, self.n_tokens)
        found = torch.full(shape, -math.inf, dtype=torch.float64, device=sentences.device)
        for part in self._chunks(sentences, kept=self.length):
            tokens = sentences[part]
            before = [self._log_hidden.to(tokens.device)[:, None].expand(-1, len(tokens))]
            for t in range(self.length - 1):
                before.append(before[t] + self._log_factor(tokens, t))
            after = torch.zeros_like(before[0])
            for t in reversed(range(self.length)):
                rows = (tokens[:, t] != PAD).nonzero()[:, 0]
                if len(rows):
                    contexts = mask(tokens[rows], torch.full_like(rows, t))
                    others = before[t] + after
                    log_joint = others if len(rows) == len(tokens) else others[:, rows]
                    found[part.start + rows, t] = self._conditional(log_joint, contexts, t)
                after = after + self._log_factor(tokens, t)
        return found

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n hidden sentences and send their tokens through the channel. ValueError if n is negative."""
        check_sample_size(n)
        sentences = self.language.sample(n, generator).clone()
        inside = sentences != PAD
        law = self._float.prob.to(generator.device)
        if n:
            sentences[inside] = torch.multinomial(law[sentences[inside]], 1, generator=generator)[:, 0]
        return sentences.to(device or generator.device)

    @cached_property
    def _hidden(self) -> Int64[Tensor, "hidden position"]:
        candidates = self.language.candidates()
        return candidates[self.language.log_prob(candidates) > -math.inf]

    @cached_property
    def _log_hidden(self) -> Float[Tensor, " hidden"]:
        return self.language.log_prob(self._hidden)

    @cached_property
    def _hidden_exact(self) -> dict[tuple[int, ...], Fraction]:
        return self.language.enumerate_exact()

    @cached_property
    def _float(self) -> FloatChannel:
        return FloatChannel.of(self._channel())

    @cached_property
    def _log_factors(self) -> Float[Tensor, "hidden observed"]:
        """Log K with two more rows and columns, so that PAD = −2 and MASK = −1 index it: a mask hides any token."""
        c = self.n_tokens
        factors = torch.full((c + 2, c + 2), -math.inf, dtype=torch.float64)
        factors[:c, :c] = self._float.log_prob
        factors[:c, MASK] = 0.0
        factors[PAD, PAD] = 0.0
        return factors

    def _channel(self) -> Channel:
        return self.channel  # type: ignore[return-value]  # Fractions since __post_init__

    def _chunks(self, tokens: Int64[Tensor, "observed position"], kept: int) -> Iterator[slice]:
        size = max(1, CHUNK // (kept * max(1, len(self._hidden))))
        return (slice(start, start + size) for start in range(0, len(tokens), size))

    def _log_factor(self, tokens: Int64[Tensor, "observed position"], t: int) -> Float[Tensor, "hidden observed"]:
        factors = self._log_factors.to(tokens.device)
        return factors[:, tokens[:, t]][self._hidden[:, t].to(tokens.device)]

    def _log_joint(self, tokens: Int64[Tensor, "observed position"]) -> Float[Tensor, "hidden observed"]:
        """Return log P(x) Π_t K(x_t, y_t) for every hidden x."""
        log_joint = self._log_hidden.to(tokens.device)[:, None]
        for t in range(self.length):
            log_joint = log_joint + self._log_factor(tokens, t)
        return log_joint

    def _conditional(
        self, log_joint: Float[Tensor, "hidden context"], contexts: Int64[Tensor, "context position"], t: int
    ) -> Float[Tensor, "context token"]:
        """Return log p*(y | y_{−t}) from the joint law of x and y_{−t}; an x that has no token at t does not count."""
        hidden = self._hidden[:, t].to(contexts.device)
        shape = (len(contexts), self.n_tokens)
        log_token = torch.full(shape, -math.inf, dtype=torch.float64, device=contexts.device)
        for v in torch.unique(hidden[hidden >= 0]).tolist():
            log_token[:, v] = log_joint[hidden == v].logsumexp(0)
        log_context = log_token.logsumexp(1, keepdim=True)
        if log_context.isneginf().any():
            raise self.impossible(contexts[int(log_context[:, 0].isneginf().nonzero()[0])])
        return log_through(log_token - log_context, self._float)
