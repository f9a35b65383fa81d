"""What a hidden Markov language says of its tokens and states, by forward and backward passes over batches.

With e_t(s) = E(s, x_t), or one where x_t is masked, the prediction and the backward message are, up to a factor,

    f_1 = start,  f_{t+1} = (f_t ∘ e_t) A,      b_ℓ = 1,  b_{t−1} = A (e_t ∘ b_t),      ℓ the sentence's length,

so that P(x_{−t}, v) ∝ Σ_s f_t(s) b_t(s) E(s, v), P(s_t = s | x) ∝ f_t(s) b_t(s) e_t(s), and
log P(x) = Σ_t log Σ_s f_t(s) e_t(s) with each f_t normalised. They are computed in float64, each message normalised
(Rabiner 1989, reference from memory); rows in which a product might underflow are computed again in logarithms.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from synthetic.enumeration import ImpossibleContextError
from synthetic.language import Language
from synthetic.semiring import Linear, Semiring, linear_then_log
from synthetic.tokens import PAD, mask

CHUNK = 2**18
"""Numbers in the messages of a chunk of rows: few enough for the caches, yet rows enough for fast products."""


@dataclass(frozen=True, eq=False)
class Messages:
    """The recursions of one model, with its parameters on one device and as a semiring writes them.

    Attributes:
        ring: the semiring.
        transition: A.
        emission: E.
        start: law of the first state.
        factors: E by token, with two more rows of ones, for PAD and MASK.
        least: with positive messages of this size no product of the recursions and readings is below float64's normal
            numbers: (least)² · min E and least · min E · min A over positive entries; 0 in logarithms.
    """

    ring: Semiring
    transition: Float[Tensor, "state state"]
    emission: Float[Tensor, "state token"]
    start: Float[Tensor, " state"]
    factors: Float[Tensor, "column state"]
    least: float

    @staticmethod
    def of(ring: Semiring, transition: Tensor, emission: Tensor, start: Tensor) -> Messages:
        factors = torch.nn.functional.pad(emission, (0, 2), value=1.0).T.contiguous()
        low_move, low_emit = (float(torch.log2(rows[rows > 0].min())) for rows in (transition, emission))
        # float64 has normal numbers down to 2^−1022; above 2^1000 nothing passes.
        least = 2.0 ** min(1000.0, max(-1021 - low_move - low_emit, (-1021 - low_emit) / 2))
        move, emit, begin, table = map(ring.write, (transition, emission, start, factors))
        return Messages(ring, move, emit, begin, table, least if isinstance(ring, Linear) else 0.0)

    def factor(self, tokens: Int64[Tensor, "*batch"]) -> Float[Tensor, "*batch state"]:
        """Return e: the emissions of tokens, one for MASK = −1 and PAD = −2, which are the last rows."""
        return torch.nn.functional.embedding(tokens.remainder(len(self.factors)), self.factors)

    def forward(
        self, tokens: Int64[Tensor, "row position"], last: int
    ) -> tuple[Float[Tensor, "row _ state"], Float[Tensor, "row _"]]:
        """Return f_t up to position `last`, and Σ_s f_t(s) e_t(s) before it; what follows a sum of 0 is NaN."""
        ring, found, totals = self.ring, [self.start.expand(len(tokens), -1)], []
        for t in range(last):
            seen = ring.times(found[t], self.factor(tokens[:, t]))
            totals.append(ring.total(seen, 1))
            found.append(ring.product(ring.over(seen, totals[t]), self.transition))
        return torch.stack(found, 1), torch.cat([*totals, tokens.new_empty(len(tokens), 0).double()], 1)

    def backward(self, tokens: Int64[Tensor, "row position"], first: int) -> Float[Tensor, "row _ state"]:
        """Return b_t from position `first` on; NaN where nothing can follow."""
        pad = tokens == PAD
        padded = bool(pad.any())
        found = [torch.full_like(self.start, self.ring.one).expand(len(tokens), -1)]
        for t in range(tokens.shape[1] - 1, first, -1):
            seen = self.ring.times(found[-1], self.factor(tokens[:, t]))
            message = self.ring.shares(self.ring.product(seen, self.transition.T), 1)
            found.append(torch.where(pad[:, t, None], self.ring.one, message) if padded else message)
        return torch.stack(found[::-1], 1)

    def lost(self, messages: Float[Tensor, "row position state"]) -> Bool[Tensor, " row"]:
        """Return which rows hold a positive number below `least`: from there on, digits may get lost."""
        # Most often nothing is small, which costs one look.
        if float(messages.amin()) >= self.least:
            return torch.zeros(len(messages), dtype=torch.bool, device=messages.device)
        return ((messages > 0) & (messages < self.least)).flatten(1).any(1)


class HiddenMarkovInference(Language):
    """The likelihoods, conditionals and posteriors of a hidden Markov model, whose parameters a subclass holds.

    Formulas and precision: `synthetic.hmm.language.HMM`. A sentence or context of probability zero, also for its
    length, is refused and named: the first one of the batch.

    Attributes:
        transition: A, state × state.
        emission: E, state × token.
        start: law of the first state.
        lengths: the fixed length, or the law of the lengths of a `padded` language.
        groups: mixture component of each state, if the model is a mixture.
    """

    transition: Float[Tensor, "..."]
    emission: Float[Tensor, "..."]
    start: Float[Tensor, "..."]
    lengths: int | Float[Tensor, "..."]
    groups: tuple[int, ...] | None

    @property
    def longest(self) -> int:
        """The greatest length of positive probability."""
        return int(self.lengths.nonzero().max()) + 1 if isinstance(self.lengths, Tensor) else self.length

    @abstractmethod
    def reaching(self, position: int) -> Language:
        """Return the law of the sentences given that they have at least `position` tokens."""

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x), by the forward pass; −∞ only for a probability of exactly zero."""
        self.check_sentences(sentences)
        found = torch.empty(len(sentences), dtype=torch.float64, device=sentences.device)

        def part(ring: type[Semiring], rows: Tensor) -> Tensor:
            messages, tokens = self._messages(ring, sentences.device), sentences[rows]
            forward, totals = messages.forward(tokens, self.length)
            found[rows] = messages.ring.log(totals).masked_fill(tokens == PAD, 0.0).sum(1)
            return messages.lost(forward)

        linear_then_log(torch.arange(len(sentences), device=sentences.device), part, self._chunk)
        found = torch.where(found.isnan(), -torch.inf, found)
        return found if not self.padded else found + self._length_prob(sentences).log()

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

        Precision as of the conditionals. Raises ImpossibleContextError for a sentence of probability zero.
        """
        self._check_possible(sentences)
        found = self._readings(sentences, None, states=True, logarithmic=False)
        self._require(sentences, ~found.isnan().flatten(1).any(1))
        return found

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
        found = self._readings(sentences, positions, states=True, logarithmic=False)
        self._require(sentences, ~found[:, 0].isnan())
        return found

    @cached_property
    def _kept(self) -> dict[tuple[type[Semiring], torch.device], Messages]:
        return {}

    def _messages(self, ring: type[Semiring], device: torch.device) -> Messages:
        if (ring, device) not in self._kept:
            parameters = (part.to(device) for part in (self.transition, self.emission, self.start))
            self._kept[ring, device] = Messages.of(ring(), *parameters)
        return self._kept[ring, device]

    def _chunk(self, _: type[Semiring]) -> int:
        return CHUNK // (self.length * len(self.start))

    def _readings(
        self, tokens: Int64[Tensor, "row position"], at: Tensor | None, *, states: bool, logarithmic: bool
    ) -> Tensor:
        """Return the law of the token, or the state, at every position or at one of each row; NaN if impossible."""
        shape = tokens.shape if at is None else tokens.shape[:1]
        size = len(self.start) if states else self.n_tokens
        found = torch.empty((*shape, size), dtype=torch.float64, device=tokens.device)

        def part(ring_type: type[Semiring], rows: Tensor) -> Tensor:
            messages = self._messages(ring_type, tokens.device)
            ring, words = messages.ring, tokens[rows]
            first, last = (0, self.length - 1) if at is None else (int(at[rows].min()), int(at[rows].max()))
            forward, _ = messages.forward(words, last)
            backward = messages.backward(words, first)
            if at is None:
                joint, here = ring.times(forward, backward), words
            else:
                row, place = torch.arange(len(rows), device=rows.device), at[rows]
                joint = ring.times(forward[row, place], backward[row, place - first])
                here = words[row, place]
            joint = ring.times(joint, messages.factor(here)) if states else ring.product(joint, messages.emission)
            law = ring.shares(joint, -1)
            found.index_copy_(0, rows, ring.log(law) if logarithmic else ring.read(law))
            return messages.lost(forward) | messages.lost(backward)

        # In the order of the positions, a chunk's messages need not go far beyond where they meet.
        order = torch.arange(len(tokens), device=tokens.device) if at is None else at.argsort(stable=True)
        linear_then_log(order, part, self._chunk)
        if at is None and self.padded:
            found.masked_fill_((tokens == PAD)[:, :, None], -torch.inf if logarithmic else 0.0)
        return found

    def _conditional(
        self, contexts: Int64[Tensor, "context position"], *, logarithmic: bool
    ) -> Float[Tensor, "context token"]:
        positions = self.check_contexts(contexts)
        found = self._readings(contexts, positions, states=False, logarithmic=logarithmic)
        impossible = found[:, 0].isnan()
        if self.padded:
            impossible |= self._length_prob(contexts) == 0
        if impossible.any():
            raise self.impossible(contexts[int(impossible.nonzero()[0])])
        return found

    def _conditionals(
        self, sentences: Int64[Tensor, "sentence position"], *, logarithmic: bool
    ) -> Float[Tensor, "sentence position token"]:
        self.check_sentences(sentences)
        found = self._readings(sentences, None, states=False, logarithmic=logarithmic)
        impossible = found[:, :, 0].isnan()
        if self.padded:
            impossible |= self._length_prob(sentences)[:, None] == 0
        if impossible.any():
            row, t = impossible.nonzero()[0]
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
