"""Features of a network: its final states where nothing is masked, at the masked position, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic.tokens import MASK, PAD

CHUNK = 1024
"""Inputs that go through a network at once."""

CHUNK_ON_CPU = 32
"""Inputs of each network of a stack, so few that their states stay in the cache."""


def unmasked_states(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"], positions: Sequence[int] | None = None
) -> Float[Tensor, "*member example feature"]:
    """Return the final states at all positions (or some), side by side: position-major, `width` numbers each.

    Padding has the state 0. A MASK in the input is left there. No gradient.

    Raises:
        ValueError: `positions` is empty or outside the input.
    """
    length = inputs.shape[-1]
    kept = list(range(length)) if positions is None else list(positions)
    if not kept or not all(0 <= t < length for t in kept):
        raise ValueError(f"expected positions from 0 to {length - 1}, got {kept}; name at least one")

    def extract(part: Tensor) -> Tensor:
        states = _states(network, part) * (part != PAD).unsqueeze(-1)
        return states[..., kept, :].flatten(-2)

    return _chunked(extract, inputs)


def mean_state(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"]
) -> Float[Tensor, "*member example feature"]:
    """Return the mean of the final states over the positions that are not padding. No gradient."""

    def extract(part: Tensor) -> Tensor:
        inside = (part != PAD).unsqueeze(-1)
        return (_states(network, part) * inside).sum(-2) / inside.sum(-2).clamp(min=1)

    return _chunked(extract, inputs)


def masked_position_state(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"], position: int | None = None
) -> Float[Tensor, "*member example feature"]:
    """Return the final state at the masked position: the one the input has, or `position`, whose token is hidden.

    No gradient.

    Raises:
        ValueError: a row does not have exactly one MASK, or `position` is outside, padding, or beside another MASK.
    """
    return _chunked(network.masked_state, with_mask(inputs, position))  # type: ignore[arg-type]


def every_masked_state(
    network: nn.Module, inputs: Int64[Tensor, "*stack example position"]
) -> Float[Tensor, "*member example feature"]:
    """Return the states at the masked position with each position masked in turn, side by side; 0 for padding.

    What the masked loss trains, as wide as `unmasked_states`. No gradient; one pass per position.

    Raises:
        ValueError: the input has a MASK already.
    """
    if bool((inputs == MASK).any()):
        raise ValueError("expected inputs without MASK, got some; use `masked_position_state`")
    parts = []
    for t in range(inputs.shape[-1]):
        present = inputs[..., t] != PAD
        # Padding cannot be masked: the first token stands in, and its state is dropped.
        place = torch.where(present, t, 0).unsqueeze(-1)
        masked = inputs.scatter(-1, place, MASK)
        parts.append(_chunked(network.masked_state, masked) * present.unsqueeze(-1))  # type: ignore[arg-type]
    return torch.cat(parts, -1)


def with_mask(
    inputs: Int64[Tensor, "*stack example position"], position: int | None
) -> Int64[Tensor, "*stack example position"]:
    """Return inputs with exactly one MASK each: their own, or put at `position`.

    Raises:
        ValueError: that is impossible.
    """
    masks = (inputs == MASK).sum(-1)
    if position is None:
        if not bool((masks == 1).all()):
            raise ValueError(
                f"expected exactly one MASK = {MASK} per row, got from {int(masks.min())} to {int(masks.max())}; "
                "name the position to mask"
            )
        return inputs
    if not 0 <= position < inputs.shape[-1] or bool(masks.any()) or bool((inputs[..., position] == PAD).any()):
        raise ValueError(
            f"expected rows without MASK and with a token at position {position}, got shape {tuple(inputs.shape)}, "
            f"{int(masks.sum())} masks; choose a position that every row has"
        )
    masked = inputs.clone()
    masked[..., position] = MASK
    return masked


def _states(network: nn.Module, inputs: Tensor) -> Tensor:
    states: Tensor = network.states(inputs)  # type: ignore[operator]
    return states


def _chunked(extract: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    with torch.no_grad():
        size = CHUNK_ON_CPU if inputs.device.type == "cpu" else CHUNK
        return torch.cat([extract(part) for part in torch.split(inputs, size, dim=-2)], dim=-2)
