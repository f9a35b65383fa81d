r"""A bidirectional pre-LN transformer for masked tokens.

    h_0 = token + position,   h ← h + MHA(LN h),   h ← h + MLP(LN h),   state = LN h_L,   logits = state W + b

(pre-LN: Xiong et al., arXiv 2002.04745). Attention sees all positions; PAD is left out of it. What the masked-token
task needs of the last layer is computed at the masked position only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthetic import PAD
from verify.networks import first_order
from verify.networks.network import Network, NetworkConfig, check_generators, draw_normal
from verify.networks.primitives import (
    ACTIVATIONS,
    activate,
    attention,
    embed,
    layer_norm,
    linear,
    pick,
)

EPSILON = 1e-5
"""Added to the variance by the layer normalisations."""

POSITIONS = ("learned", "fixed", "none")


def sinusoids(length: int, width: int) -> Float[Tensor, "position feature"]:
    """Return sin(tω_i), cos(tω_i) side by side, ω_i = 10000^{−2i/width}, in float64.

    Source: Vaswani et al., arXiv 1706.03762, §3.5.
    """
    rate = 1e4 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :width]


@dataclass(frozen=True)
class TransformerConfig(NetworkConfig):
    """Configuration of a `Transformer`.

    Attributes:
        heads: number of attention heads; divides the width.
        mlp_ratio: hidden units of an MLP for each feature.
        activation: of the MLPs, relu or gelu.
        tied: whether the head's weights are the token embeddings.
        positions: whether a position is told by an embedding that is learned, by `sinusoids`, or not at all.
    """

    kind: ClassVar[str] = "transformer"

    heads: int = 4
    mlp_ratio: int = 4
    activation: str = "gelu"
    tied: bool = False
    positions: str = "learned"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.heads >= 1 and self.width % self.heads == 0, "heads", f"a divisor of width = {self.width}")
        self._require(self.mlp_ratio >= 1, "mlp_ratio", "at least 1")
        self._require(self.activation in ACTIVATIONS, "activation", f"one of {ACTIVATIONS}")
        self._require(self.positions in POSITIONS, "positions", f"one of {POSITIONS}")

    @property
    def mlp_width(self) -> int:
        return self.mlp_ratio * self.width

    @property
    def head_width(self) -> int:
        return self.width // self.heads


class Affine(nn.Module):
    """Weights (*stack, feature, out) and biases (*stack, out), initially 0."""

    def __init__(self, stack: tuple[int, ...], feature: int, out: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*stack, feature, out, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(*stack, out, dtype=dtype))

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return x W + b."""
        return linear(x, self.weight, self.bias)


class Norm(nn.Module):
    """Gains (*stack, feature), initially 1, and biases (*stack, feature), initially 0, of a layer normalisation."""

    def __init__(self, stack: tuple[int, ...], feature: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(*stack, feature, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(*stack, feature, dtype=dtype))

    def forward(self, x: Float[Tensor, "..."], fast: bool = False) -> Float[Tensor, "..."]:
        """Return the normalised x, scaled and shifted."""
        return (first_order.layer_norm if fast else layer_norm)(x, self.gain, self.bias, EPSILON)


class Block(nn.Module):
    """One layer. Columns of `qkv`: queries, keys, values, each head by head; then `out`, `hidden`, `output`."""

    def __init__(self, config: TransformerConfig, stack: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        d, m = config.width, config.mlp_width
        self.config = config
        self.attention_norm, self.mlp_norm = Norm(stack, d, dtype), Norm(stack, d, dtype)
        self.qkv, self.out = Affine(stack, d, 3 * d, dtype), Affine(stack, d, d, dtype)
        self.hidden, self.output = Affine(stack, d, m, dtype), Affine(stack, m, d, dtype)

    def forward(
        self, x: Float[Tensor, "*batch position feature"], inside: Tensor | None, fast: bool
    ) -> Float[Tensor, "*batch position feature"]:
        """Return the block's output at all positions."""
        qkv = self._by_head(self.qkv(self.attention_norm(x, fast)))
        if fast:
            mixed = first_order.self_attention(qkv, inside)
        else:
            query, key, value = qkv.unbind(-3)
            mixed = attention(query, key, value, inside)
        return self._mlp(x + self.out(mixed), fast)

    def at(
        self, x: Float[Tensor, "*batch position feature"], position: Tensor, inside: Tensor | None, fast: bool
    ) -> Float[Tensor, "*batch feature"]:
        """Return the block's output at one position of each example."""
        d = self.config.width
        normal = self.attention_norm(x, fast)
        key, value = self._by_head(linear(normal, self.qkv.weight[..., d:], self.qkv.bias[..., d:])).unbind(-3)
        query = self._by_head(linear(pick(normal, position), self.qkv.weight[..., :d], self.qkv.bias[..., :d]))
        mixed = attention(query, key, value, inside).squeeze(-2)
        return self._mlp(pick(x, position) + self.out(mixed), fast)

    def _by_head(self, x: Tensor) -> Tensor:
        """Split features into (queries | keys | values, head, feature)."""
        return x.reshape(*x.shape[:-1], -1, self.config.heads, self.config.head_width)

    def _mlp(self, x: Tensor, fast: bool) -> Tensor:
        hidden = activate(self.hidden(self.mlp_norm(x, fast)), self.config.activation)
        return x + self.output.forward(hidden)


class Transformer(Network):
    r"""A stack of bidirectional pre-LN transformers.

    Initial weights are N(0, s²/fan-in), the two that write to the residual stream divided by √(2 layers) (GPT-2's
    rule); embeddings N(0, s²); biases 0 and gains 1. Without generators all weights are 0, to be loaded.

    Args:
        config: the configuration.
        stack: () for one network, (R,) for R.
        generators: one for each network of the stack, so that a network does not depend on the others.
        dtype: of the parameters.
    """

    config: TransformerConfig

    def __init__(
        self,
        config: TransformerConfig,
        stack: tuple[int, ...] = (),
        generators: Sequence[torch.Generator] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(config, stack)
        d, c = config.width, config.n_tokens
        self.token = nn.Parameter(torch.zeros(*stack, c + 1, d, dtype=dtype))
        if config.positions == "learned":
            self.position = nn.Parameter(torch.zeros(*stack, config.length, d, dtype=dtype))
        self.blocks = nn.ModuleList(Block(config, stack, dtype) for _ in range(config.layers))
        self.norm = Norm(stack, d, dtype)
        if config.tied:
            self.head_bias = nn.Parameter(torch.zeros(*stack, c, dtype=dtype))
        else:
            self.unembedding = Affine(stack, d, c, dtype)
        if generators is not None:
            self._initialise(generators)

    @classmethod
    def empty(cls, config: Any, stack: tuple[int, ...]) -> Transformer:
        """Return a network with weights 0."""
        return cls(config, stack)

    def _initialise(self, generators: Sequence[torch.Generator]) -> None:
        check_generators(generators, self.stack)
        scale, residual = self.config.initial_scale, (2 * self.config.layers) ** -0.5
        for name, parameter in self.named_parameters():
            if name in {"token", "position"}:
                draw_normal(parameter, scale, generators, self.stack)
            elif name.endswith("weight"):
                into_residual = residual if name.endswith(("out.weight", "output.weight")) else 1.0
                deviation = scale * into_residual * parameter.shape[-2] ** -0.5
                draw_normal(parameter, deviation, generators, self.stack)

    def head(self, state: Float[Tensor, "*stack example feature"]) -> Float[Tensor, "*stack example token"]:
        """Return the logits of the tokens, linear in the state."""
        if self.config.tied:
            scaled = state * self.config.width**-0.5
            return linear(scaled, self.token[..., : self.n_tokens, :].mT, self.head_bias)
        return linear(state, self.unembedding.weight, self.unembedding.bias)

    def _embedded(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        x = embed(self.token_index(tokens), self.token)
        if self.config.positions == "learned":
            x = x + self.position.unsqueeze(-3)
        elif self.config.positions == "fixed":
            x = x + sinusoids(self.config.length, self.config.width).to(x)
        return x, tokens != PAD if self.config.padded else None

    def _states(self, sentences: Tensor) -> Tensor:
        x, inside = self._embedded(sentences)
        for block in self.blocks:
            x = block(x, inside, self.fast)
        state = self.norm.forward(x, self.fast)
        return state if inside is None else state * inside.unsqueeze(-1)

    def _masked_state(self, contexts: Tensor) -> Tensor:
        x, inside = self._embedded(contexts)
        for block in self.blocks[:-1]:
            x = block(x, inside, self.fast)
        position = self.masked_index(contexts).expand(x.shape[:-2])
        last = self.blocks[-1]
        assert isinstance(last, Block)
        return self.norm.forward(last.at(x, position, inside, self.fast), self.fast)
