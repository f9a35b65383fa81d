"""A small network of two layers, written out."""

import torch
from torch import Tensor, nn

from synthetic import MASK


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Mixer(nn.Module):
    """Embeds tokens, mixes positions by one matrix, tanh: with a leading stack axis or without."""

    def __init__(self, n_tokens: int, length: int, width: int, stack: tuple[int, ...], seed: int) -> None:
        super().__init__()
        generator = stream(seed)
        self.embedding = nn.Parameter(torch.randn(*stack, n_tokens + 2, width, generator=generator))
        self.mixing = nn.Parameter(torch.randn(*stack, length, length, generator=generator))

    def states(self, inputs: Tensor) -> Tensor:
        one_hot = nn.functional.one_hot(inputs + 2, self.embedding.shape[-2]).to(self.embedding.dtype)
        return torch.tanh(self.mixing.unsqueeze(-3) @ (one_hot @ self.embedding.unsqueeze(-3)))

    def masked_state(self, inputs: Tensor) -> Tensor:
        at = (inputs == MASK).to(self.embedding.dtype).unsqueeze(-1)
        return (self.states(inputs) * at).sum(-2)
