"""Small networks and languages for the tests of training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from synthetic.hmm import HMM
from synthetic.hmm_random import sticky_hmm
from synthetic.language import Language
from verify.networks.transformer import Transformer, TransformerConfig


def small_language(tokens: int = 3, length: int = 4) -> HMM:
    return sticky_hmm(torch.Generator().manual_seed(1), 2, tokens, length)


def small_network(language: Language, seeds: Sequence[int] | int, dtype: torch.dtype = torch.float32) -> Transformer:
    """One network for a number, a stack for several."""
    config = TransformerConfig(language.n_tokens, language.length, width=4, layers=1, heads=1, mlp_ratio=1)
    stack = () if isinstance(seeds, int) else (len(seeds),)
    listed = [seeds] if isinstance(seeds, int) else seeds
    return Transformer(config, stack, [torch.Generator().manual_seed(seed) for seed in listed], dtype)
