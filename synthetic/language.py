r"""The interface of a language whose masked-token conditionals are exactly known.

A language of one's own needs what is abstract in `synthetic.law.SentenceLaw`: a vocabulary, a length and `log_prob`.
Everything else follows by enumeration and Bayes' rule, and is overridden where a closed form or a faster algorithm
exists.

>>> import math
>>> from fractions import Fraction
>>> import torch
>>> from synthetic.language import MASK, Language
>>> from synthetic.testing.conformance import conformance
>>> class Weather(Language):
...     '''A day is like the day before with probability 3/4; the first day is fair or wet at even odds.'''
...
...     vocabulary = ("fair", "wet")
...     length = 5
...
...     def log_prob(self, sentences):
...         same = (sentences[:, 1:] == sentences[:, :-1]).sum(1).double()
...         return math.log(1 / 2) + same * math.log(3 / 4) + (4 - same) * math.log(1 / 4)
...
...     def prob_exact(self, sentence):  # optional: an exact oracle for the conformance suite
...         same = sum(a == b for a, b in zip(sentence, sentence[1:]))
...         return Fraction(1, 2) * Fraction(3, 4) ** same * Fraction(1, 4) ** (4 - same)
>>> language = Weather()
>>> context = torch.tensor([[0, 0, MASK, 0, 1]])
>>> language.masked_conditional(context)  # 9 : 1, since two neighbours are fair
tensor([[0.9000, 0.1000]], dtype=torch.float64)
>>> print(f"{language.entropy_floor():.6f}")  # L* in nats, t uniform over the five days
0.502798
>>> language.sample(2, torch.Generator().manual_seed(0)).shape
torch.Size([2, 5])
>>> conformance(language).skipped
{'downstream tasks': 'the language has no downstream task'}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import (
    ENUMERATION_LIMIT,
    ContextEnumeration,
    ImpossibleContextError,
    check_size,
    float_rows,
    log_rows,
)
from synthetic.law import SentenceLaw
from synthetic.tasks import DownstreamTask
from synthetic.tokens import MASK, PAD, check_tokens, fill, mask, masked_position

__all__ = ["MASK", "PAD", "EntropyFloorEstimate", "Language", "MaskedSample"]


@dataclass(frozen=True, eq=False)
class MaskedSample:
    """Training examples of the masked-token task: contexts x_{−t} and the targets y to be predicted."""

    contexts: Int64[Tensor, "example position"]
    targets: Int64[Tensor, " example"]


@dataclass(frozen=True)
class EntropyFloorEstimate:
    """Monte Carlo estimate of L* in nats, with its standard error over n contexts (each entropy exact)."""

    estimate: float
    standard_error: float
    n: int


class Language(SentenceLaw):
    """A law P of sentences x over c tokens, with the exact conditional of a token given the others.

    The masked-token task draws x ~ P, a position t uniform over `masked_positions` (those inside the sentence,
    if lengths vary), and a target y. The target is x_t itself, or x_t sent through the *target channel* K where
    the language declares one (noise on the masked token only; the context stays clean). Hence

        p*(y | x_{−t}) = Σ_v K(v, y) P(x_t = v | x_{−t}),   P(x_t = v | x_{−t}) = P(x_{−t}, v) / Σ_u P(x_{−t}, u).

    Sentences are int64 token indices of shape (sentence, position); a context has `MASK` = −1 at one position.
    Probabilities are float64, logarithms natural, on the device of the tokens given; enumerations lie on the CPU.
    Source: ours.
    """

    @property
    def masked_positions(self) -> tuple[int, ...]:
        """Positions that the masked-token task masks; all of them unless a language says otherwise."""
        return tuple(range(self.length))

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        """The downstream tasks by name; none unless a language has some."""
        return {}

    def target_channel(self) -> tuple[tuple[Fraction, ...], ...] | None:
        """Return K with K[v][y] = Pr(target y | masked token v) as exact Fractions; None when y = x_t."""
        return None

    def check_contexts(self, contexts: Tensor) -> Int64[Tensor, " context"]:
        """Return the masked positions; raise TypeError or ValueError unless each row has exactly one."""
        check_tokens(contexts, n_tokens=self.n_tokens, length=self.length, padded=self.padded, masks=True)
        return masked_position(contexts)

    def impossible(self, context: Int64[Tensor, " position"]) -> ImpossibleContextError:
        """Return (not raise) the error for a context of probability zero, which it names."""
        return ImpossibleContextError(
            f"expected a context of positive probability, got {self.render(context)!r} = {context.tolist()}, which no "
            "sentence of the language completes: its conditional is undefined; mask a token of a sampled sentence"
        )

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(y | x_{−t}) for every token y, by Bayes' rule on `log_prob`; exact to float64 rounding.

        Raises:
            ImpossibleContextError: if a context has probability zero. Malformed contexts: see `check_contexts`.
        """
        positions = self.check_contexts(contexts)
        completions = fill(contexts, positions, self.n_tokens)
        log_joint = self.log_prob(completions.flatten(0, 1)).reshape(completions.shape[:2])
        log_context = log_joint.logsumexp(1, keepdim=True)
        if log_context.isneginf().any():
            raise self.impossible(contexts[int(log_context[:, 0].isneginf().nonzero()[0])])
        log_clean = log_joint - log_context
        channel = self.target_channel()
        if channel is None:
            return log_clean
        return (log_clean[:, :, None] + log_rows(channel).to(contexts.device)).logsumexp(1)

    def masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return p*(y | x_{−t}) for every token y; rows sum to one. Same errors as the logarithmic form."""
        return self.log_masked_conditional(contexts).exp()

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(y | x_{−t}) for every position t of every sentence at once; exact to float64 rounding.

        Every position counts, also one that is not among `masked_positions`; the rows of padding are −∞. The general
        rule asks `log_masked_conditional` position by position; families with a faster pass override it.

        Raises:
            ImpossibleContextError: if some x_{−t} has probability zero. Malformed sentences: see `check_sentences`.
        """
        self.check_sentences(sentences)
        found = torch.full((*sentences.shape, self.n_tokens), -math.inf, dtype=torch.float64, device=sentences.device)
        for t in range(self.length):
            rows = (sentences[:, t] != PAD).nonzero()[:, 0]
            if len(rows):
                contexts = mask(sentences[rows], torch.full_like(rows, t))
                found[rows, t] = self.log_masked_conditional(contexts)
        return found

    def masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return p*(y | x_{−t}) for every position at once; rows of padding are 0. Errors as in logarithmic form."""
        return self.log_masked_conditionals(sentences).exp()

    def enumerate_contexts(self) -> ContextEnumeration:
        """Return every context of positive probability with E_t P(x_{−t}); exact to float64 rounding.

        Refused above ENUMERATION_LIMIT candidate contexts with EnumerationTooLargeError.
        """
        check_size(self.n_candidates * len(self.masked_positions), ENUMERATION_LIMIT, "candidate contexts")
        whole = self.enumerate()
        weights = self.position_prob(whole.sentences)
        row, position = weights.nonzero(as_tuple=True)
        contexts, index = torch.unique(mask(whole.sentences[row], position), dim=0, return_inverse=True)
        prob = torch.zeros(len(contexts), dtype=torch.float64)
        return ContextEnumeration(contexts, prob.index_add(0, index, whole.prob[row] * weights[row, position]))

    def position_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, "sentence position"]:
        """Return the law of the masked position: uniform over the declared positions inside each sentence.

        Raises:
            ValueError: if a sentence holds none of the declared positions.
        """
        declared = torch.zeros(self.length, dtype=torch.float64, device=sentences.device)
        declared[list(self.masked_positions)] = 1.0
        inside = declared * (sentences != PAD)
        count = inside.sum(1, keepdim=True)
        if (count == 0).any():
            row = sentences[int((count[:, 0] == 0).nonzero()[0])]
            raise ValueError(
                f"expected a maskable position in every sentence, got none of {self.masked_positions} in "
                f"{self.render(row)!r}; declare masked_positions that every sentence reaches"
            )
        return inside / count

    def sample_masked(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> MaskedSample:
        """Draw n examples of the masked-token task: x ~ P, t uniform, y = x_t (through the target channel)."""
        sentences = self.sample(n, generator)
        if n == 0:
            return MaskedSample(
                sentences.to(device or generator.device), sentences[:, 0].to(device or generator.device)
            )
        positions = torch.multinomial(self.position_prob(sentences), 1, generator=generator)[:, 0]
        targets = sentences.gather(1, positions[:, None])[:, 0]
        channel = self.target_channel()
        if channel is not None:
            law = float_rows(channel).to(generator.device)
            targets = torch.multinomial(law[targets], 1, generator=generator)[:, 0]
        place = device or generator.device
        return MaskedSample(mask(sentences, positions).to(place), targets.to(place))

    def entropy_floor(self) -> float:
        """Return L* = E H(p*(· | x_{−t})) in nats, the least masked-token loss; exact, by enumeration.

        Refused above ENUMERATION_LIMIT candidate contexts with EnumerationTooLargeError.
        """
        whole = self.enumerate_contexts()
        return float(whole.prob @ torch.special.entr(self.masked_conditional(whole.contexts)).sum(1))

    def estimate_entropy_floor(self, n: int, generator: torch.Generator) -> EntropyFloorEstimate:
        """Estimate L* by Monte Carlo: the mean of H(p*(· | x_{−t})) over n ≥ 2 sampled contexts.

        Raises:
            ValueError: if n < 2, when there is no standard error.
        """
        if n < 2:
            raise ValueError(f"expected n >= 2 contexts for an estimate with a standard error, got {n}; raise n")
        contexts = self.sample_masked(n, generator).contexts
        entropy = torch.special.entr(self.masked_conditional(contexts)).sum(1)
        return EntropyFloorEstimate(float(entropy.mean()), float(entropy.std()) / math.sqrt(n), n)
