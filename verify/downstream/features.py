"""Features of a network: its final states where nothing is masked, or at each position masked in turn."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic import MASK, PAD
from verify.training.adversary import concatenated

CHUNK = 1024
"""Inputs that go through a network at once."""

CHUNK_ON_CPU = 32
"""Inputs of each network of a stack, so few that their states stay in the cache."""


def unmasked_states(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"]
) -> Float[Tensor, "*member example feature"]:
    """Return the final states at all positions side by side, 0 for padding. No gradient."""
    return _chunked(lambda part: concatenated(network.states(part), part), inputs)  # type: ignore[operator]


def every_masked_state(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"]
) -> Float[Tensor, "*member example feature"]:
    """Return the states at the masked position with each position masked in turn, side by side; 0 for padding.

    What the masked loss trains, as wide as `unmasked_states`. No gradient; one pass per position.

    Raises:
        ValueError: the input has a MASK already.
    """
    if bool((inputs == MASK).any()):
        raise ValueError("expected inputs without MASK, got some")
    parts = []
    for t in range(inputs.shape[-1]):
        present = inputs[..., t] != PAD
        # Padding cannot be masked: the first token stands in, and its state is dropped.
        place = torch.where(present, t, 0).unsqueeze(-1)
        masked = inputs.scatter(-1, place, MASK)
        parts.append(_chunked(network.masked_state, masked) * present.unsqueeze(-1))  # type: ignore[arg-type]
    return torch.cat(parts, -1)


def _chunked(extract: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    with torch.no_grad():
        size = CHUNK_ON_CPU if inputs.device.type == "cpu" else CHUNK
        return torch.cat([extract(part) for part in torch.split(inputs, size, dim=-2)], dim=-2)


def alignment(
    first: Float[Tensor, "*member example feature"], second: Float[Tensor, "*member example other"]
) -> Float[Tensor, "*member"]:
    r"""Return the centred alignment of two kernels on the same examples, 1 where they are proportional.

    With X and Y the features less their means over examples: ‖XᵀY‖_F²/(‖XᵀX‖_F ‖YᵀY‖_F), which no rotation, shift or
    factor of the features changes; NaN where all examples have one feature.
    Source: arXiv 1905.00414, equation 5. Exact.
    """
    x, y = (own.double() - own.double().mean(-2, keepdim=True) for own in (first, second))
    cross, *own = (torch.linalg.matrix_norm(a.mT @ b) for a, b in ((x, y), (x, x), (y, y)))
    found: Tensor = cross.square() / (own[0] * own[1])
    return found
