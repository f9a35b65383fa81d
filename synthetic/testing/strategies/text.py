"""Languages of n-gram models."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from synthetic.autoregressive import NGram, NGramLanguage
from synthetic.testing.strategies.steady import steady


def ngram_languages(max_tokens: int = 3, max_length: int = 4, max_order: int = 3) -> st.SearchStrategy[NGramLanguage]:
    """Draw the language of a random text: any order, Witten–Bell or a rational weight, 0 (no smoothing) included."""
    weight = st.none() | st.just(Fraction(0)) | st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)

    def fitted(n_tokens: int) -> st.SearchStrategy[NGramLanguage]:
        sentence = st.lists(st.integers(0, n_tokens - 1), min_size=1, max_size=8)
        text = st.lists(sentence, min_size=1, max_size=4)
        names = tuple(f"w{v}" for v in range(n_tokens))
        return st.tuples(text, st.integers(1, max_order), weight, st.integers(1, max_length)).map(
            lambda drawn: steady(_ngram_language)(names, *drawn)
        )

    return st.integers(1, max_tokens).flatmap(fitted)


def _ngram_language(names: Any, text: Any, order: int, weight: Any, length: int) -> NGramLanguage:
    return NGramLanguage(NGram.fit(text, len(names), order, weight), names, length)
