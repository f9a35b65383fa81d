"""Many vector-Jacobian products at once where torch can batch them, one by one where it cannot."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor


def pullbacks(
    outputs: Sequence[Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]
) -> list[Tensor | None]:
    """Return Σ_o v_o · ∂o/∂θ for k directions v: one tensor (k, *θ.shape) for each θ, None if it is not used. Exact.

    Batching (`is_grads_batched`) has wrong shapes in some backward passes: that of GroupNorm's raises, another might
    not. So a batch stands only if a combination of its rows is the product of the combined directions.

    Args:
        outputs: what is differentiated; its graph is kept.
        parameters: by what.
        directions: for each output k directions, (k, *output.shape).
    """
    weight = torch.linspace(1, 2, len(directions[0])).to(directions[0])
    batched = _batched(outputs, parameters, directions) if len(weight) > 1 else None
    if batched is not None:
        together = _single(outputs, parameters, [torch.tensordot(weight, v, 1) for v in directions])
        if all(_agree(weight, rows, row) for rows, row in zip(batched, together, strict=True)):
            return batched
    rows = [_single(outputs, parameters, [v[k] for v in directions]) for k in range(len(weight))]
    return [None if column[0] is None else torch.stack(list(column)) for column in zip(*rows, strict=True)]


def _single(
    outputs: Sequence[Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]
) -> tuple[Tensor | None, ...]:
    found: tuple[Tensor | None, ...] = torch.autograd.grad(
        outputs, parameters, directions, retain_graph=True, allow_unused=True
    )
    return found


def _batched(
    outputs: Sequence[Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]
) -> list[Tensor | None] | None:
    """Return the products of all directions at once, or None where torch has no way, or none but a loop, to them."""
    try:
        with warnings.catch_warnings(action="error"):  # it warns where it loops over an operation
            return list(
                torch.autograd.grad(
                    outputs, parameters, directions, retain_graph=True, allow_unused=True, is_grads_batched=True
                )
            )
    except (RuntimeError, UserWarning):
        return None


def _agree(weight: Tensor, rows: Tensor | None, row: Tensor | None) -> bool:
    """Whether Σ_k w_k rows_k is `row`, to the square root of the precision: far above rounding, far below an error."""
    if rows is None or row is None:
        return rows is row
    combined = torch.tensordot(weight, rows, 1)
    scale = torch.tensordot(weight, rows.abs(), 1).norm()
    return bool((combined - row).norm() <= torch.finfo(row.dtype).eps ** 0.5 * scale)
