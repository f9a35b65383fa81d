"""Fine-tuning: a short gradient training of a copy of the network together with a linear head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from verify.downstream.features import CHUNK
from verify.runs import DivergedRunError
from verify.training.adversary import concatenated


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune: Adam, a learning rate that falls linearly to 0.

    Attributes:
        steps: number of batches; 0 scores the network's head at its start, chance.
        batch: labelled inputs per batch, drawn with replacement.
        learning_rate: of the network.
        head_learning_rate: of the head, which starts at 0.

    Raises:
        ValueError: a number out of range.
    """

    steps: int = 200
    batch: int = 64
    learning_rate: float = 1e-3
    head_learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        rates = (self.learning_rate, self.head_learning_rate)
        if self.steps < 0 or self.batch < 1 or not all(0 <= rate < float("inf") for rate in rates):
            raise ValueError(f"expected steps >= 0, batch >= 1 and rates >= 0, got {self}; change the one out of range")


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What became of the members of a stack.

    Attributes:
        accuracy: share of right answers on the test set.
        losses: mean cross-entropy of each batch, in nats.
    """

    accuracy: Float[Tensor, "*stack"]
    losses: Float[Tensor, "step *stack"]


def fine_tune(
    network: nn.Module,
    inputs_train: Int64[Tensor, "*data label position"],
    classes_train: Int64[Tensor, "*data label"],
    inputs_test: Int64[Tensor, "*data example position"],
    classes_test: Int64[Tensor, "*data example"],
    n_classes: int,
    generators: torch.Generator | Sequence[torch.Generator],
    settings: FineTuning,
) -> FineTuned:
    """Train a copy of the network and a new linear head on labelled inputs by cross-entropy; the network is unchanged.

    The members of a stack do not influence each other: the loss is their sum, Adam acts entry by entry. They share one
    task and its batches, or have a task each, with the stack in front, and batches from a generator each. The head
    reads the final states of all positions side by side, divided by the root mean square that they have at the start,
    so that the learning rate means the same for features of any scale.

    Raises:
        DivergedRunError: a loss is not finite; the message names the step.
        ValueError: there is not one generator for each task.
    """
    tuned = copy.deepcopy(network).requires_grad_(True)

    def states(inputs: Tensor) -> Tensor:
        return concatenated(tuned.states(inputs), inputs)  # type: ignore[operator]

    with torch.no_grad():
        square = states(inputs_train[..., :CHUNK, :]).square().mean((-2, -1), keepdim=True)
        scale = torch.where(square > 0, square, torch.ones_like(square)).sqrt()
        first = states(inputs_train[..., :1, :])
    weight = first.new_zeros(*first.shape[:-2], first.shape[-1], n_classes).requires_grad_(True)
    bias = first.new_zeros(*first.shape[:-2], n_classes).requires_grad_(True)
    groups = [
        {"params": list(tuned.parameters()), "lr": settings.learning_rate},
        {"params": [weight, bias], "lr": settings.head_learning_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / max(1, settings.steps)))

    def log_prob(inputs: Tensor) -> Tensor:
        return torch.log_softmax((states(inputs) / scale) @ weight + bias.unsqueeze(-2), -1)

    draw = _rows(generators, classes_train, settings.batch)
    losses = []
    for step in range(settings.steps):
        rows = draw()
        found = log_prob(torch.take_along_dim(inputs_train, rows.unsqueeze(-1), -2))
        at_label = torch.take_along_dim(classes_train, rows, -1).unsqueeze(-1)
        loss = -found.gather(-1, at_label.expand(*found.shape[:-1], 1)).squeeze(-1).mean(-1)
        if not bool(torch.isfinite(loss).all()):
            raise DivergedRunError(f"fine-tuning: loss {loss.tolist()} at step {step}; use a smaller learning rate")
        optimiser.zero_grad()
        torch.autograd.backward(loss.sum())
        optimiser.step()
        schedule.step()
        losses.append(loss.detach())
    with torch.no_grad():
        predicted = torch.cat([log_prob(part).argmax(-1) for part in torch.split(inputs_test, CHUNK, -2)], -1)
    right = (predicted == classes_test).double().mean(-1)
    return FineTuned(right, torch.stack(losses) if losses else first.new_zeros(0, *first.shape[:-2]))


def _rows(
    generators: torch.Generator | Sequence[torch.Generator], classes: Int64[Tensor, "*data label"], batch: int
) -> Callable[[], Int64[Tensor, "*data batch"]]:
    """Return a draw of rows with replacement: for all members, or for each its own.

    Raises:
        ValueError: there is not one generator for each table of labels.
    """
    listed = [generators] if isinstance(generators, torch.Generator) else list(generators)
    tables = classes.shape[:-1].numel()
    if len(listed) != tables:
        raise ValueError(
            f"expected {tables} generators for labels of shape {tuple(classes.shape)}, got {len(listed)}; "
            "give one for a task that all members share, one per member for tasks of their own"
        )

    def draw() -> Tensor:
        rows = [torch.randint(classes.shape[-1], (batch,), generator=g, device=g.device) for g in listed]
        return torch.stack(rows).reshape(*classes.shape[:-1], batch).to(classes.device)

    return draw
