"""A small network for the tests: a mean of embeddings through one hidden layer; and languages to train it on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from synthetic.hmm import HMM
from synthetic.hmm_random import sticky_hmm
from synthetic.language import Language
from verify.networks.network import Network


class Small(Network):
    """state_t = tanh(W (mean embedding) + U (embedding of t)); logits by a linear head."""

    def __init__(
        self, language: Language, width: int = 4, stack: tuple[int, ...] = (), seeds: Sequence[int] = (0,)
    ) -> None:
        super().__init__()
        self.stack, self.width = stack, width
        self.n_tokens, self.length = language.n_tokens, language.length
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def weight(*shape: int) -> nn.Parameter:
            rows = [torch.randn(shape, generator=g) / math.sqrt(shape[-1]) for g in generators]
            return nn.Parameter(torch.stack(rows).reshape(*stack, *shape))

        self.embedding = weight(self.n_tokens + 2, width)
        self.place = weight(self.length, width)
        self.mix = weight(width, width)
        self.own = weight(width, width)
        self.bias = weight(width)
        self.readout = weight(self.n_tokens, width)

    def states(self, sentences: Tensor) -> Tensor:
        table = torch.nn.functional.one_hot(sentences + 2, self.n_tokens + 2).to(self.embedding.dtype)
        embedded = torch.einsum("...npc,...cw->...npw", table, self.embedding) + self.place.unsqueeze(-3)
        mixed = embedded.mean(-2) @ self.mix.mT
        own = torch.einsum("...npv,...wv->...npw", embedded, self.own)
        return torch.tanh(mixed.unsqueeze(-2) + own + self.bias[..., None, None, :])

    def masked_state(self, contexts: Tensor) -> Tensor:
        return (self.states(contexts) * (contexts == -1).unsqueeze(-1)).sum(-2)

    def head(self, state: Tensor) -> Tensor:
        return state @ self.readout.mT


def small_language(tokens: int = 3, length: int = 4) -> HMM:
    return sticky_hmm(torch.Generator().manual_seed(1), 2, tokens, length)
