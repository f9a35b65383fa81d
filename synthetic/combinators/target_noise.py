"""Noise on the masked token alone, added to any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.combinators.agreement import Changed
from synthetic.combinators.channels import Channel, FloatChannel, compose, exact_channel, log_through
from synthetic.enumeration import EnumerationTooLargeError
from synthetic.language import Language
from synthetic.tasks import DownstreamTask


@dataclass(frozen=True, eq=False)
class TargetNoise(Changed):
    """A language whose masked token reaches the learner through a channel K, while the context stays clean.

    Sentences are those of the inner language; p*(y | x_{−t}) = Σ_v p*_inner(v | x_{−t}) K(v, y), at any size. A target
    channel of the inner language acts first. Source: ours.

    Attributes:
        language: the inner language.
        channel: K as c rows of c probabilities (`synthetic.combinators.channels.symmetric_channel` makes one);
            Fractions are taken as they are, floats as the exact numbers they are, each row divided by its sum.

    >>> from synthetic.combinators.channels import symmetric_channel
    >>> from synthetic.closed_form.nested_brackets import NestedBrackets
    >>> words = NestedBrackets(4, k=2)
    >>> noisy = TargetNoise(words, symmetric_channel(4, keep=0.7))
    >>> noisy.masked_conditional(torch.tensor([[0, 2, 3, -1]]))
    tensor([[0.1000, 0.7000, 0.1000, 0.1000]], dtype=torch.float64)
    """

    family: ClassVar[str] = "target-noise"
    language: Language
    channel: Sequence[Sequence[Fraction | float | int]] = field(repr=False)

    def __post_init__(self) -> None:
        """Check the channel and keep it as Fractions.

        Raises:
            ValueError: as `synthetic.combinators.channels.exact_channel`.
        """
        object.__setattr__(self, "channel", exact_channel(self.channel, self.language.n_tokens))
        object.__setattr__(self, "padded", self.language.padded)

    @property
    def downstream(self) -> Mapping[str, DownstreamTask]:
        return self.language.downstream

    def target_channel(self) -> Channel:
        """Return K, after the inner channel where there is one."""
        return self._whole

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return the inner log-probability: sentences are clean."""
        return self.language.log_prob(sentences)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        return self.language.prob_exact(sentence)

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return the inner conditionals sent through K. Errors of the inner language."""
        return log_through(self.language.log_masked_conditional(contexts), self._float)

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return the inner conditionals sent through K, in one inner pass. Errors of the inner language."""
        return log_through(self.language.log_masked_conditionals(sentences), self._float)

    @property
    def n_candidates(self) -> int:
        return self.language.n_candidates

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        return self.language.candidates()

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n clean sentences from the inner language."""
        return self.language.sample(n, generator, device)

    def entropy_floor(self) -> float:
        """Return L* in nats: the entropy of a row of K where the inner token is certain, else by enumeration.

        The first applies at any size, when the inner floor is 0 and all rows of K hold the same probabilities.
        """
        rows = [sorted(row) for row in self._own()]
        if all(row == rows[0] for row in rows) and self._certain():
            return float(torch.special.entr(torch.tensor([float(p) for p in rows[0]], dtype=torch.float64)).sum())
        return super().entropy_floor()

    @cached_property
    def _whole(self) -> Channel:
        inner = self.language.target_channel()
        return self._own() if inner is None else compose(inner, self._own())

    @cached_property
    def _float(self) -> FloatChannel:
        return FloatChannel.of(self._own())

    def _own(self) -> Channel:
        return self.channel  # type: ignore[return-value]  # Fractions since __post_init__

    def _certain(self) -> bool:
        try:
            return self.language.entropy_floor() == 0.0
        except EnumerationTooLargeError:
            return False
