"""A language given by a table: each sentence with its weight."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.enumeration import EmptyLanguageError, log_fraction
from synthetic.language import Language
from synthetic.tokens import PAD
from synthetic.typed import build


class TableLanguage(Language):
    """The language P(x) = w(x) / Σ_x' w(x') of a finite table of rational weights w.

    Rows may differ in length; the shorter ones are padded. With no closed form of its own it exercises the general
    rules of `Language`. Source: ours.

    Args:
        vocabulary: the tokens' names.
        weights: weight of each sentence (a tuple of token indices, without PAD); non-negative, not all zero.

    >>> language = TableLanguage(("a", "b"), {(0, 0): 1, (0, 1): 2, (1, 1): 1})
    >>> language.masked_conditional(torch.tensor([[0, -1]]))
    tensor([[0.3333, 0.6667]], dtype=torch.float64)
    """

    family: ClassVar[str] = "table"

    def __init__(self, vocabulary: tuple[str, ...], weights: Mapping[tuple[int, ...], int | Fraction]) -> None:
        """Normalise the weights.

        Raises:
            ValueError: if a weight is negative. Foreign tokens: see `check_tokens`.
            EmptyLanguageError: if no weight is positive.
        """
        for row, weight in weights.items():
            if weight < 0:
                raise ValueError(f"expected weights >= 0, got {weight} for sentence {row}; drop or correct it")
        total = Fraction(sum(weights.values()))
        if total == 0:
            raise EmptyLanguageError(
                f"expected a sentence of positive weight, got {len(weights)} sentences of total weight 0; add one"
            )
        self._vocabulary = tuple(vocabulary)
        self._length = max(map(len, weights))
        self.padded = min(map(len, weights)) < self._length
        self._prob = {self._pad(row): Fraction(weight) / total for row, weight in weights.items() if weight > 0}
        self.check_sentences(self.candidates())

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self._vocabulary

    @property
    def length(self) -> int:
        return self._length

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return the table's log-probability, −∞ for a sentence that is not in it."""
        self.check_sentences(sentences)
        prob = (self.prob_exact(tuple(row)) for row in sentences.tolist())
        return torch.tensor([log_fraction(p) for p in prob], dtype=torch.float64, device=sentences.device)

    def prob_exact(self, sentence: tuple[int, ...]) -> Fraction:
        return self._prob.get(sentence, Fraction(0))

    @property
    def n_candidates(self) -> int:
        return len(self._prob)

    def candidates(self) -> Int64[Tensor, "sentence position"]:
        return torch.tensor(list(self._prob), dtype=torch.int64)

    def state(self) -> dict[str, Any]:
        rows = [[v for v in row if v != PAD] for row in self._prob]
        return {"vocabulary": self._vocabulary, "sentences": rows, "weights": list(self._prob.values())}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> TableLanguage:
        return build(cls._of_rows, state)

    @classmethod
    def _of_rows(
        cls,
        vocabulary: tuple[str, ...],
        sentences: tuple[tuple[int, ...], ...],
        weights: tuple[int | Fraction, ...],
    ) -> TableLanguage:
        return cls(vocabulary, dict(zip(sentences, weights, strict=True)))

    def __repr__(self) -> str:
        return f"TableLanguage({self._vocabulary!r}, {len(self._prob)} sentences of length <= {self._length})"

    def _pad(self, row: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(row) + (PAD,) * (self._length - len(row))
