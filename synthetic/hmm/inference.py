"""What a hidden Markov language says of its tokens and states: requests checked, then answered by the passes."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import ImpossibleContextError
from synthetic.hmm.passes import Passes
from synthetic.language import Language
from synthetic.tokens import PAD, mask


class HiddenMarkovInference(Language):
    """The likelihoods, conditionals and posteriors of a hidden Markov model, whose parameters a subclass holds.

    Formulas and precision: `synthetic.hmm.language.HMM`. A sentence or context of probability zero, also for its
    length, is refused and named: the first one of the batch, whatever thread it was computed on.

    Attributes:
        transition: A, state × state.
        emission: E, state × token.
        start: law of the first state.
        lengths: the fixed length, or the law of the lengths of a `padded` language.
    """

    transition: Float[Tensor, "..."]
    emission: Float[Tensor, "..."]
    start: Float[Tensor, "..."]
    lengths: int | Float[Tensor, "..."]

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x), by the backward pass; −∞ only for a probability of exactly zero."""
        self.check_sentences(sentences)
        log_prob = self._on(sentences.device).log_prob(sentences)
        return log_prob if not self.padded else log_prob + self._length_prob(sentences).log()

    def masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return p*(v | x_{−t}) by the messages from both ends to t; relative accuracy also of tiny entries."""
        return self._conditional(contexts, logarithmic=False)

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(v | x_{−t}); finite also where the probability underflows, −∞ only for exactly zero."""
        return self._conditional(contexts, logarithmic=True)

    def masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return p*(v | x_{−t}) for every position by one pass in each direction; rows of padding are 0."""
        return self._conditionals(sentences, logarithmic=False)

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(v | x_{−t}) for every position by one pass in each direction; rows of padding are −∞."""
        return self._conditionals(sentences, logarithmic=True)

    def state_posterior(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position state"]:
        """Return Pr(s_t = s | x) ∝ f_t(s) b_t(s) E(s, x_t) for every position; rows of padding are 0.

        Exact to float64 rounding relative. Raises ImpossibleContextError for a sentence of probability zero.
        """
        self._check_possible(sentences)
        posterior, possible = self._on(sentences.device).every_position(sentences, "states", logarithmic=False)
        self._require(sentences, possible.all(1))
        return posterior

    def state_posterior_at(
        self, sentences: Int64[Tensor, "sentence position"], positions: Int64[Tensor, " sentence"]
    ) -> Float[Tensor, "sentence state"]:
        """Return Pr(s_t = s | x) at one position t (from 0) of each sentence, inside it; else as `state_posterior`.

        Raises:
            ValueError: if a position lies outside its sentence.
        """
        self._check_possible(sentences)
        inside = (positions >= 0) & (positions < (sentences != PAD).sum(1))
        if not inside.all():
            row = int((~inside).nonzero()[0])
            raise ValueError(
                f"expected a position inside the sentence, got {int(positions[row])} for row {row}: "
                f"{sentences[row].tolist()}; positions count from 0"
            )
        passes = self._on(sentences.device)
        posterior, possible = passes.one_position(sentences, positions, "states", logarithmic=False)
        self._require(sentences, possible)
        return posterior

    @cached_property
    def _passes(self) -> dict[torch.device, Passes]:
        return {}

    def _on(self, device: torch.device) -> Passes:
        """Return the passes with their tables on a device."""
        if device not in self._passes:
            transition, emission, start = (part.to(device) for part in (self.transition, self.emission, self.start))
            self._passes[device] = Passes(transition, emission, start, padded=self.padded)
        return self._passes[device]

    def _conditional(
        self, contexts: Int64[Tensor, "context position"], *, logarithmic: bool
    ) -> Float[Tensor, "context token"]:
        positions = self.check_contexts(contexts)
        passes = self._on(contexts.device)
        found, possible = passes.one_position(contexts, positions, "tokens", logarithmic=logarithmic)
        if self.padded:
            possible &= self._length_prob(contexts) > 0
        if not possible.all():
            raise self.impossible(contexts[int((~possible).nonzero()[0])])
        return found

    def _conditionals(
        self, sentences: Int64[Tensor, "sentence position"], *, logarithmic: bool
    ) -> Float[Tensor, "sentence position token"]:
        self.check_sentences(sentences)
        found, possible = self._on(sentences.device).every_position(sentences, "tokens", logarithmic=logarithmic)
        if self.padded:
            possible &= self._length_prob(sentences)[:, None] > 0
        if not possible.all():
            row, t = (~possible).nonzero()[0]
            raise self.impossible(mask(sentences[row][None], t[None])[0])
        return found

    def _length_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        assert isinstance(self.lengths, Tensor)
        return self.lengths.to(sentences.device)[(sentences != PAD).sum(1) - 1]

    def _check_possible(self, sentences: Int64[Tensor, "sentence position"]) -> None:
        self.check_sentences(sentences)
        if self.padded:
            self._require(sentences, self._length_prob(sentences) > 0)

    def _require(self, sentences: Int64[Tensor, "sentence position"], possible: Tensor) -> None:
        if not possible.all():
            row = sentences[int((~possible).nonzero()[0])]
            raise ImpossibleContextError(
                f"expected a sentence of positive probability, got {self.render(row)!r} = {row.tolist()}: its hidden "
                "states have no posterior; use sampled sentences"
            )
