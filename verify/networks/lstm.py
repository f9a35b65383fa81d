r"""A bidirectional LSTM for masked tokens.

One direction of a layer, with σ the logistic function and ⊙ the product by components,

    (i, f, g, o) = x_t W + h U + b,   c ← σ(f) ⊙ c + σ(i) ⊙ tanh g,   h ← σ(o) ⊙ tanh c

(Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000). A layer's output at t is the forward state
after reading tokens up to t beside the backward state after reading down to t; the next layer reads both. At the masked
position both have read the mask and neither its token, and together they have read all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from synthetic import PAD
from verify.networks.network import Network, NetworkConfig, check_generators, draw_normal
from verify.networks.primitives import embed, linear, pick


@dataclass(frozen=True)
class LstmConfig(NetworkConfig):
    """Configuration of an `Lstm`; the width is that of both directions together."""

    kind: ClassVar[str] = "lstm"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.width % 2 == 0, "width", "even, half of it for each direction")

    @property
    def direction_width(self) -> int:
        return self.width // 2


class Layer(nn.Module):
    """Both directions of one layer, on an axis of size 2 after the stack: forward, backward."""

    def __init__(self, stack: tuple[int, ...], width: int, dtype: torch.dtype) -> None:
        super().__init__()
        h = width // 2
        self.input = nn.Parameter(torch.zeros(*stack, 2, width, 4 * h, dtype=dtype))
        self.recurrent = nn.Parameter(torch.zeros(*stack, 2, h, 4 * h, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(*stack, 2, 4 * h, dtype=dtype))

    def forward(
        self, x: Float[Tensor, "*stack example position feature"], inside: Tensor | None
    ) -> Float[Tensor, "*stack example position feature"]:
        """Return the forward and backward states at all positions, side by side."""
        both = torch.stack((x, x.flip(-2)), -4)  # (*stack, direction, example, step, feature)
        gates = linear(both, self.input, self.bias)
        steps = None if inside is None else torch.stack((inside, inside.flip(-1)), -3).unsqueeze(-1)
        zero = gates.new_zeros(())
        state = cell = zero.expand(*gates.shape[:-2], gates.shape[-1] // 4)
        states = []
        for t in range(x.shape[-2]):
            i, f, g, o = (gates[..., t, :] + state @ self.recurrent).chunk(4, -1)
            new_cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            new_state = torch.sigmoid(o) * torch.tanh(new_cell)
            if steps is None:
                state, cell = new_state, new_cell
            else:  # PAD is not read
                state = torch.where(steps[..., t, :], new_state, state)
                cell = torch.where(steps[..., t, :], new_cell, cell)
            states.append(state)
        forward, backward = torch.stack(states, -2).unbind(-4)
        return torch.cat((forward, backward.flip(-2)), -1)


class Lstm(Network):
    r"""A stack of bidirectional LSTMs.

    Initial weights are N(0, s²/fan-in), embeddings N(0, s²); biases 0, those of the forget gates 1 (Jozefowicz et al.
    2015). Without generators all weights are 0, to be loaded.

    Args:
        config: the configuration.
        stack: () for one network, (R,) for R.
        generators: one for each network of the stack, so that a network does not depend on the others.
        dtype: of the parameters.
    """

    config: LstmConfig

    def __init__(
        self,
        config: LstmConfig,
        stack: tuple[int, ...] = (),
        generators: Sequence[torch.Generator] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(config, stack)
        d, c = config.width, config.n_tokens
        self.token = nn.Parameter(torch.zeros(*stack, c + 1, d, dtype=dtype))
        self.layers = nn.ModuleList(Layer(stack, d, dtype) for _ in range(config.layers))
        self.head_weight = nn.Parameter(torch.zeros(*stack, d, c, dtype=dtype))
        self.head_bias = nn.Parameter(torch.zeros(*stack, c, dtype=dtype))
        if generators is not None:
            self._initialise(generators)

    @classmethod
    def empty(cls, config: Any, stack: tuple[int, ...]) -> Lstm:
        """Return a network with weights 0."""
        return cls(config, stack)

    def _initialise(self, generators: Sequence[torch.Generator]) -> None:
        check_generators(generators, self.stack)
        scale, h = self.config.initial_scale, self.config.direction_width
        for name, parameter in self.named_parameters():
            if name == "token":
                draw_normal(parameter, scale, generators, self.stack)
            elif not name.endswith("bias"):
                draw_normal(parameter, scale * parameter.shape[-2] ** -0.5, generators, self.stack)
            elif name != "head_bias":
                with torch.no_grad():
                    parameter[..., h : 2 * h] = 1.0

    def head(self, state: Float[Tensor, "*stack example feature"]) -> Float[Tensor, "*stack example token"]:
        """Return the logits of the tokens, linear in the state."""
        return linear(state, self.head_weight, self.head_bias)

    def _states(self, sentences: Tensor) -> Tensor:
        inside = sentences != PAD if self.config.padded else None
        x = embed(self.token_index(sentences), self.token)
        for layer in self.layers:
            x = layer(x, inside)
        return x if inside is None else x * inside.unsqueeze(-1)

    def _masked_state(self, contexts: Tensor) -> Tensor:
        states = self._states(contexts)
        return pick(states, self.masked_index(contexts).expand(states.shape[:-2]))
