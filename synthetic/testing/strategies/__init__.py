"""Hypothesis strategies that draw random languages of each family, and contexts of a given language."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from synthetic.language import Language
from synthetic.testing.strategies.basic import (
    bracket_languages,
    nested_brackets_languages,
    noise_parameters,
    pair_languages,
    table_languages,
)
from synthetic.testing.strategies.combined import (
    channels,
    concatenation_languages,
    mixture_languages,
    restricted_languages,
    target_noise_languages,
    token_noise_languages,
)
from synthetic.testing.strategies.grammars import grammars, pcfg_languages
from synthetic.testing.strategies.graphs import potts_languages, token_graph_languages
from synthetic.testing.strategies.hidden_markov import hmm_languages
from synthetic.testing.strategies.text import ngram_languages
from synthetic.tokens import mask

__all__ = [
    "FAMILIES",
    "bracket_languages",
    "channels",
    "concatenation_languages",
    "contexts",
    "grammars",
    "hmm_languages",
    "languages",
    "mixture_languages",
    "nested_brackets_languages",
    "ngram_languages",
    "noise_parameters",
    "pair_languages",
    "pcfg_languages",
    "potts_languages",
    "restricted_languages",
    "table_languages",
    "target_noise_languages",
    "token_graph_languages",
    "token_noise_languages",
]

FAMILIES: tuple[Any, ...] = (
    pair_languages,
    bracket_languages,
    table_languages,
    nested_brackets_languages,
    pcfg_languages,
    mixture_languages,
    concatenation_languages,
    target_noise_languages,
    token_noise_languages,
    restricted_languages,
    hmm_languages,
    token_graph_languages,
    potts_languages,
    ngram_languages,
)
"""The strategies of languages, one for each family."""


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    return st.one_of([family() for family in FAMILIES])


def contexts(language: Language, max_size: int = 5) -> st.SearchStrategy[Tensor]:
    """Draw 1 to max_size contexts of positive probability, int64 of shape (context, position).

    Any position may be masked, not only the declared ones. The language must be small enough to be enumerated.
    """
    sentences = language.enumerate().sentences
    maskable = [(row, t) for row, t in (sentences >= 0).nonzero().tolist()]
    return st.lists(st.sampled_from(maskable), min_size=1, max_size=max_size).map(
        lambda picks: mask(sentences[[row for row, _ in picks]], torch.tensor([t for _, t in picks]))
    )
