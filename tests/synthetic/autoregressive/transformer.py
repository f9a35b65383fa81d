"""A small causal transformer with random weights and a key-value cache: an autoregressive language of one's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

Cache = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values, (batch, head, position, width), of every layer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What the transformer returns, under the names that Hugging Face models use."""

    logits: Float[Tensor, "batch position token"]
    past_key_values: Cache


class CausalTransformer(torch.nn.Module):
    """A pre-norm transformer whose logits at a position depend on the tokens up to it; weights are Gaussian.

    x ← x + attention(norm x), x ← x + W₂ gelu(W₁ norm x) in every layer, logits = scale · U norm x. Called as
    `model(input_ids=…, past_key_values=…, use_cache=…)`, so that `from_huggingface` reads it. Source: ours.

    Args:
        n_tokens: size of the vocabulary; the logits cover it, and the start token may be one of them.
        length: longest input, start token included.
        generator: source of the weights; computed in float64 unless the module is converted.
        width, layers, heads: sizes; the heads divide the width.
        scale: size of the logits, about their standard deviation: 0 is the uniform law, large is nearly certain.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(
        self,
        n_tokens: int,
        length: int,
        generator: torch.Generator,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        scale: float = 2.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"expected heads that divide the width, got {heads} heads and width {width}; change one")
        self.heads, self.scale = heads, scale

        def gaussian(*shape: int) -> torch.nn.Parameter:
            weights = torch.randn(*shape, generator=generator, dtype=torch.float64, device=generator.device)
            return torch.nn.Parameter(weights / math.sqrt(shape[-1]))

        self.tokens, self.positions = gaussian(n_tokens, width), gaussian(length, width)
        self.mixing = torch.nn.ParameterList(gaussian(4, width, width) for _ in range(layers))
        self.up = torch.nn.ParameterList(gaussian(4 * width, width) for _ in range(layers))
        self.down = torch.nn.ParameterList(gaussian(width, 4 * width) for _ in range(layers))
        self.readout = gaussian(n_tokens, width)

    def forward(
        self, input_ids: Int64[Tensor, "batch position"], past_key_values: Cache | None = None, use_cache: bool = False
    ) -> Answer:
        """Return the logits of the token after every position, given the keys and values of what came before."""
        before = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        n = input_ids.shape[1]
        seen = torch.ones(n, before + n, dtype=torch.bool, device=input_ids.device).tril(before)
        x = self.tokens[input_ids] * math.sqrt(self.tokens.shape[1])
        x = x + self.positions[before : before + n] * math.sqrt(self.positions.shape[1])
        caches: list[tuple[Tensor, Tensor]] = []
        for layer, (mixing, up, down) in enumerate(zip(self.mixing, self.up, self.down, strict=True)):
            z = layer_norm(x, x.shape[-1:])
            query, key, value = ((z @ w.T).unflatten(-1, (self.heads, -1)).transpose(1, 2) for w in mixing[:3])
            if past_key_values is not None:
                key = torch.cat([past_key_values[layer][0], key], 2)
                value = torch.cat([past_key_values[layer][1], value], 2)
            caches.append((key, value))
            attended = scaled_dot_product_attention(query, key, value, attn_mask=seen)
            x = x + attended.transpose(1, 2).flatten(2) @ mixing[3].T
            x = x + gelu(layer_norm(x, x.shape[-1:]) @ up.T) @ down.T
        logits = self.scale * (layer_norm(x, x.shape[-1:]) @ self.readout.T)
        return Answer(logits, tuple(caches) if use_cache else ())
