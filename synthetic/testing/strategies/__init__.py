"""Hypothesis strategies that draw random languages of each family, and contexts of a given language.

A function whose name ends in `_languages`, in any module here, is a family's strategy: `languages` draws from it.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

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


def languages() -> st.SearchStrategy[Language]:
    """Draw a small language of any family; each is small enough to be enumerated with Fractions."""
    modules = [import_module(info.name) for info in pkgutil.iter_modules(__path__, f"{__name__}.")]
    found = {name: build for part in modules for name, build in vars(part).items() if name.endswith("_languages")}
    return st.one_of([found[name]() for name in sorted(found)])


def contexts(language: Language, max_size: int = 5) -> st.SearchStrategy[Tensor]:
    """Draw 1 to max_size contexts of positive probability, int64 of shape (context, position).

    Any position may be masked, not only the declared ones. The language must be small enough to be enumerated.
    """
    sentences = language.enumerate().sentences
    maskable = [(row, t) for row, t in (sentences >= 0).nonzero().tolist()]
    return st.lists(st.sampled_from(maskable), min_size=1, max_size=max_size).map(
        lambda picks: mask(sentences[[row for row, _ in picks]], torch.tensor([t for _, t in picks]))
    )
