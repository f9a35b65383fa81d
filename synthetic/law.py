"""The law of a language's sentences: their probabilities, their enumeration and their sampling."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any, ClassVar, TypeVar

import networkx as nx
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import (
    ENUMERATION_LIMIT,
    EXACT_ENUMERATION_LIMIT,
    EmptyLanguageError,
    Enumeration,
    all_strings,
    check_size,
    n_strings,
)
from synthetic.tasks import check_sample_size
from synthetic.tokens import PAD, check_tokens
from synthetic.typed import build

Law = TypeVar("Law", bound="SentenceLaw")


class SentenceLaw(ABC):
    """A law P of sentences x over c tokens; `synthetic.language.Language` sets the masked-token task on it.

    Sentences are int64 token indices of shape (sentence, position). Probabilities are float64, logarithms natural, on
    the device of the tokens given; enumerations lie on the CPU. Source: ours.
    """

    family: ClassVar[str] = ""
    """Name of the kind of language in files (`synthetic.catalogue.files`); empty for one that is not saved."""

    padded: bool = False
    """Whether sentences may be shorter than `length`; they then end in PAD = −2, which is never masked."""

    @property
    @abstractmethod
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens' names; a token is its index here."""

    @property
    @abstractmethod
    def length(self) -> int:
        """Number of positions T of a sentence (of the longest one, if `padded`)."""

    @abstractmethod
    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return log P(x) in nats; −∞ outside the support. Exact to float64 rounding."""

    @property
    def n_tokens(self) -> int:
        """Size c of the vocabulary."""
        return len(self.vocabulary)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        """Return P(x) as a Fraction; unless overridden, the exact value of the float64 number exp log_prob(x)."""
        return Fraction(math.exp(float(self.log_prob(torch.tensor([sentence]))[0])))

    def render(self, tokens: Int64[Tensor, " position"]) -> str:
        """Return a sentence or context as text; a masked token is written `_`, padding is left out."""
        return " ".join(self.vocabulary[v] if v >= 0 else "_" for v in tokens.tolist() if v != PAD)

    def check_sentences(self, sentences: Tensor) -> None:
        """Raise TypeError or ValueError unless each row is a string over the vocabulary, with nothing masked."""
        check_tokens(sentences, n_tokens=self.n_tokens, length=self.length, padded=self.padded, masks=False)

    @property
    def n_candidates(self) -> int:
        """Number of rows of `candidates`, known without building them."""
        return n_strings(self.n_tokens, self.length, padded=self.padded)

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        """Return strings that include every sentence of positive probability; all strings unless overridden."""
        return all_strings(self.n_tokens, self.length, padded=self.padded)

    def enumerate(self) -> Enumeration:
        """Return every sentence of positive probability with that probability; exact to float64 rounding.

        Refused above ENUMERATION_LIMIT candidates with EnumerationTooLargeError.

        Raises:
            EmptyLanguageError: if no sentence has positive probability.
        """
        check_size(self.n_candidates, ENUMERATION_LIMIT, "candidate sentences")
        sentences = self.candidates()
        log_prob = self.log_prob(sentences)
        inside = log_prob > -math.inf
        if not inside.any():
            raise self._empty()
        return Enumeration(sentences[inside], log_prob[inside].exp())

    def enumerate_exact(self) -> dict[tuple[int, ...], Fraction]:
        """Return every sentence of positive probability with that probability as a Fraction.

        Refused above EXACT_ENUMERATION_LIMIT candidates with EnumerationTooLargeError.

        Raises:
            EmptyLanguageError: if no sentence has positive probability.
        """
        check_size(self.n_candidates, EXACT_ENUMERATION_LIMIT, "candidate sentences with exact probabilities")
        candidates = (tuple(row) for row in self.candidates().tolist())
        exact = {row: prob for row in candidates if (prob := self.prob_exact(row)) > 0}
        if not exact:
            raise self._empty()
        return exact

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n independent sentences x ~ P; by enumeration unless overridden.

        The stream is the generator's alone, drawn on its device; `device` is where the result goes (default: the
        generator's device). Raises ValueError if n is negative.
        """
        check_sample_size(n)
        whole = self.enumerate()
        if n == 0:
            return whole.sentences[:0].to(device or generator.device)
        index = torch.multinomial(whole.prob.to(generator.device), n, replacement=True, generator=generator)
        return whole.sentences.to(generator.device)[index].to(device or generator.device)

    def graph(self) -> nx.Graph | None:
        """Return the language's structure as a graph for analysis and pictures; None if it has none to show.

        Attributes of a node: `label`, and perhaps `weight` in [0, 1] (its area) and `group` (a small integer, its
        colour); of an edge: perhaps `weight` in [0, 1] (its width) and `label`.
        """
        return None

    def state(self) -> dict[str, Any]:
        """Return what `from_state` rebuilds an equal language from: the fields, for a dataclass.

        Values are None, bool, int, finite float, str, Fraction, Tensor, Language, and lists, tuples and
        string-keyed dicts of these.

        Raises:
            TypeError: if the language is no dataclass and does not say what its state is.
        """
        if not hasattr(self, "__dataclass_fields__"):
            raise TypeError(
                f"expected a dataclass or an own state(), got {type(self).__name__}; "
                "define state() and from_state() to save this language"
            )
        instance: Any = self
        return {field.name: getattr(self, field.name) for field in fields(instance)}

    @classmethod
    def from_state(cls: type[Law], state: Mapping[str, Any]) -> Law:
        """Rebuild a language from its `state`; tuples may have become lists.

        Raises TypedDataError for what is not of the types that the constructor's annotations ask for (`build`), and
        what the constructor raises.
        """
        return build(cls, state)

    def _empty(self) -> EmptyLanguageError:
        return EmptyLanguageError(
            f"expected a sentence of positive probability, got none among {self.n_candidates} candidates of {self!r}; "
            "check log_prob (natural logarithms, -inf outside the support) and candidates()"
        )
