"""log p_θ(y | x) as a function of the trainable parameters of a model, or of a stack of models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from verify.curvature.data import Inputs, Labelled, LogProb, call_model

Blocks = Mapping[str, str | Sequence[str]]
"""Name of a block ↦ prefix, or prefixes, of the names of its parameters."""

REST = "rest"
"""Name of the block of the parameters that no block was declared for."""


@dataclass(frozen=True)
class Likelihood:
    """log p_θ(y | x) as a function of the parameters that require a gradient.

    Attributes:
        model: the module, in evaluation mode if it has dropout or batch normalisation.
        log_prob: how it gives rows.
        stack: leading axes of every parameter, of inputs and of rows, for networks side by side; () for one.

    Raises:
        ValueError: nothing is trainable, or the likelihood of an example is random or depends on the others.
    """

    model: nn.Module
    log_prob: LogProb = call_model
    stack: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ValueError("expected a model with parameters that require gradients, got none; call requires_grad_()")
        for name, module in self.model.named_modules():
            dropping = isinstance(module, _DropoutNd) and module.p > 0
            if module.training and (dropping or isinstance(module, _BatchNorm)):
                raise ValueError(
                    f"expected log p(y | x) to be a function of θ and x, got {type(module).__name__} {name!r} in "
                    "training mode; call model.eval()"
                )

    @cached_property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The trainable parameters by name, a shared one once."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    @cached_property
    def n_parameters(self) -> int:
        return sum(value.numel() for value in self.parameters.values())

    def rows(self, inputs: Inputs) -> Float[Tensor, "*stack row token"]:
        """Return log p_θ(y | x).

        Raises:
            ValueError: it is not a table, or its rows are not normalised.
        """
        rows = self.log_prob(self.model, inputs)
        if rows.shape[:-2] != self.stack or rows.ndim < 2 or not rows.numel():
            raise ValueError(
                f"expected log_prob to return shape {self.stack} + (row, token), got {tuple(rows.shape)}; "
                "flatten positions into rows, and take one member of a stack of networks"
            )
        # log_softmax errs by ε times the largest score it had to subtract, which is at least that of a row
        largest = float(rows.detach().nan_to_num(neginf=0.0).abs().max())
        total = float(rows.detach().logsumexp(-1).abs().max())
        allowed = 16 * torch.finfo(rows.dtype).eps * (largest + rows.shape[-1])
        if not total <= allowed:
            raise ValueError(
                f"expected normalised rows of log p(y | x), got |log Σ p| up to {total:.3g} where rounding allows "
                f"{allowed:.3g}; for a model that returns scores give log_prob=softmax_of_model"
            )
        return rows

    def squared_norms(
        self, scores: Sequence[Tensor | None], scale: Sequence[Tensor] | None = None
    ) -> Float[Tensor, "*stack tensor"]:
        """Return ‖scale ⊙ part‖² of each parameter tensor, in float64 on the CPU; 0 for None."""
        found = torch.zeros(*self.stack, len(scores), dtype=torch.float64)
        for i, part in enumerate(scores):
            if part is not None:
                scaled = part if scale is None else part * scale[i]
                norm: Tensor = torch.linalg.vector_norm(scaled.reshape(*self.stack, -1), dim=-1)
                found[..., i] = norm.double().cpu().square()
        return found

    def flat(self, values: Sequence[Tensor | None]) -> Float[Tensor, " parameter"]:
        """Return one tensor for each parameter as a vector, None as zeros."""
        parts = [
            torch.zeros_like(parameter) if value is None else value
            for value, parameter in zip(values, self.parameters.values(), strict=True)
        ]
        return torch.cat([part.reshape(-1) for part in parts])

    def split(self, vectors: Float[Tensor, "*k parameter"]) -> list[Tensor]:
        """Return vectors as one tensor for each parameter, the inverse of `flat`."""
        shapes = [value.shape for value in self.parameters.values()]
        parts = torch.split(vectors, [math.prod(shape) for shape in shapes], dim=-1)
        return [part.reshape((*vectors.shape[:-1], *shape)) for part, shape in zip(parts, shapes, strict=True)]

    def dots(self, left: Float[Tensor, "k parameter"], right: Float[Tensor, "k parameter"]) -> Tensor:
        """Return left · right for every row, one column for each parameter tensor, in float64."""
        sizes = [value.numel() for value in self.parameters.values()]
        return torch.stack(
            [part.sum(-1, dtype=torch.float64) for part in torch.split(left * right, sizes, dim=-1)], dim=-1
        )


def assign_blocks(names: Sequence[str], blocks: Blocks | None) -> dict[str, list[int]]:
    """Return for every block the indices of its parameters in `names`; what is left over is the block `REST`.

    Raises:
        ValueError: a block has no parameter, or a parameter two blocks.
    """
    found: dict[str, list[int]] = {block: [] for block in blocks or {}}
    rest: list[int] = []
    for index, name in enumerate(names):
        owners = [
            block
            for block, prefixes in (blocks or {}).items()
            if name.startswith(prefixes if isinstance(prefixes, str) else tuple(prefixes))
        ]
        if len(owners) > 1:
            raise ValueError(f"expected disjoint blocks, got the parameter {name!r} in {owners}; use longer prefixes")
        (found[owners[0]] if owners else rest).append(index)
    for block, members in found.items():
        if not members:
            raise ValueError(f"expected a parameter in block {block!r}, got none among {list(names)}; check its prefix")
    if blocks and rest:
        if REST in found:
            raise ValueError(f"expected blocks other than {REST!r}, which is what is left over; rename it")
        found[REST] = rest
    return found


def cross_entropy(log_p: Float[Tensor, "row token"], batch: Labelled) -> Float[Tensor, ""]:
    """Return −Σ_x w_x Σ_y p*(y|x) log p_θ(y|x) in nats, or −Σ_x w_x log p_θ(y_x|x) where only targets are known.

    Raises:
        ValueError: neither is known.
    """
    weight = torch.full_like(log_p[:, 0], 1 / len(log_p)) if batch.weight is None else batch.weight.to(log_p)
    known = batch.log_conditional
    if known is not None:
        labels = known.exp().to(log_p)
        return -(weight @ torch.where(labels > 0, labels * log_p, 0.0).sum(-1))
    return -(weight @ log_p.gather(1, targets_of(batch)[:, None].to(log_p.device))[:, 0])


def targets_of(batch: Labelled) -> Tensor:
    """Return the targets of a batch.

    Raises:
        ValueError: it has none.
    """
    if batch.targets is None:
        raise ValueError(
            "expected data with p*(y | x) or with targets, got inputs alone; the Hessian of the loss needs labels: "
            "use method='fisher', or give them"
        )
    return batch.targets


def random_signs(
    shape: Sequence[int], generator: torch.Generator | Sequence[torch.Generator], like: Tensor
) -> Float[Tensor, "..."]:
    """Return independent ±1 at even odds, with the dtype and device of `like`.

    Several generators, one for each network of a stack, give an axis of as many rows of this shape in front.
    """
    if not isinstance(generator, torch.Generator):
        return torch.stack([random_signs(shape, own, like) for own in generator])
    bits = torch.randint(0, 2, tuple(shape), generator=generator, device=generator.device)
    return (2 * bits - 1).to(like)
