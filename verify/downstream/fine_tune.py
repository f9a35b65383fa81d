"""Fine-tuning: a short gradient training of a copy of the network together with a linear head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from synthetic.tokens import PAD
from verify.downstream.features import CHUNK
from verify.downstream.scores import Accuracy, accuracy, class_indices
from verify.runs.failures import DivergedRunError

States = Callable[[nn.Module, Tensor], Tensor]
"""Features of inputs, differentiable in the network: (*stack, example, feature)."""


def concatenated_states(
    network: nn.Module, inputs: Int64[Tensor, "*data example position"]
) -> Float[Tensor, "*stack example feature"]:
    """Return the final states of all positions side by side, 0 for padding, with their gradient."""
    states: Tensor = network.states(inputs)  # type: ignore[operator]
    return (states * (inputs != PAD).unsqueeze(-1)).flatten(-2)


@dataclass(frozen=True)
class FineTuning:
    """How to fine-tune: AdamW, a learning rate that falls linearly to 0.

    Attributes:
        steps: number of batches; 0 scores the network's head at its start, chance.
        batch: labelled inputs per batch, drawn with replacement.
        learning_rate: of the network.
        head_learning_rate: of the head, which starts at 0; the network's when None.
        weight_decay: decoupled.

    Raises:
        ValueError: a number out of range.
    """

    steps: int = 200
    batch: int = 64
    learning_rate: float = 1e-3
    head_learning_rate: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.learning_rate, self.weight_decay, self.head_learning_rate or 0.0)
        if self.steps < 0 or self.batch < 1 or not all(0 <= rate < float("inf") for rate in rates):
            raise ValueError(f"expected steps >= 0, batch >= 1 and rates >= 0, got {self}; change the one out of range")


@dataclass(frozen=True, eq=False)
class FineTuneResult:
    """A fine-tuned copy per member of the stack, scored on one test set.

    Attributes:
        accuracy: with its exact interval over test examples, the fine-tuned network being given.
        losses: mean cross-entropy of each batch, in nats.
        network: the fine-tuned copy.
        weight: of the head.
        bias: of the head.
    """

    accuracy: Accuracy
    losses: Float[Tensor, "step *stack"]
    network: nn.Module
    weight: Float[Tensor, "*stack feature class"]
    bias: Float[Tensor, "*stack class"]


def fine_tune(
    network: nn.Module,
    inputs_train: Int64[Tensor, "*data label position"],
    labels_train: Float[Tensor, "*data label"],
    inputs_test: Int64[Tensor, "*data example position"],
    labels_test: Float[Tensor, "*data example"],
    label_values: Sequence[float],
    generators: torch.Generator | Sequence[torch.Generator],
    *,
    settings: FineTuning | None = None,
    states: States = concatenated_states,
    alpha: float = 0.05,
) -> FineTuneResult:
    """Train a copy of the network and a new linear head on labelled inputs by cross-entropy; the network is unchanged.

    The members of a stack do not influence each other: the loss is their sum, AdamW acts entry by entry. They share
    one task and its batches, or have a task each, of the same label values, and batches from a generator each. The head
    reads the features divided by the root mean square that they have at the start, so that the
    learning rate means the same for features of any scale.

    Args:
        network: any module with `states(inputs)`, or with what `states` here needs.
        inputs_train: labelled inputs, for all members or, with the stack in front, for each its own.
        labels_train: their labels, among the label values.
        inputs_test: test inputs.
        labels_test: their labels.
        label_values: as in `DownstreamTask.label_values`.
        generators: source of the batches: one for inputs that are shared, one per member for its own inputs.
        settings: how to train; the defaults of FineTuning when None.
        states: the features the head reads.
        alpha: error probability of the interval for the accuracy.

    Raises:
        DivergedRunError: a loss is not finite; the message names the step.
        ValueError: the generators do not fit the inputs, or a label is not among the values.
    """
    chosen = settings or FineTuning()
    classes, test_classes = (class_indices(labels, label_values) for labels in (labels_train, labels_test))
    tuned = copy.deepcopy(network).requires_grad_(True)
    scale = _scale(tuned, states, inputs_train)
    first = states(tuned, inputs_train[..., :1, :])
    weight = first.new_zeros(*first.shape[:-2], first.shape[-1], len(label_values)).detach().requires_grad_(True)
    bias = first.new_zeros(*first.shape[:-2], len(label_values)).detach().requires_grad_(True)
    head_rate = chosen.learning_rate if chosen.head_learning_rate is None else chosen.head_learning_rate
    groups = [
        {"params": list(tuned.parameters()), "lr": chosen.learning_rate},
        {"params": [weight, bias], "lr": head_rate},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=chosen.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / max(1, chosen.steps)))

    def log_prob(inputs: Tensor) -> Tensor:
        return torch.log_softmax((states(tuned, inputs) / scale) @ weight + bias.unsqueeze(-2), -1)

    draw = _rows(generators, classes, chosen.batch)
    losses = []
    for step in range(chosen.steps):
        rows = draw()
        found = log_prob(torch.take_along_dim(inputs_train, rows.unsqueeze(-1), -2))
        at_label = torch.take_along_dim(classes, rows, -1).unsqueeze(-1)
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
    scored = accuracy(predicted, test_classes, alpha)
    history = torch.stack(losses) if losses else first.new_zeros(0, *first.shape[:-2])
    return FineTuneResult(scored, history.detach(), tuned, weight.detach(), bias.detach())


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


def _scale(network: nn.Module, states: States, inputs: Tensor) -> Float[Tensor, "*stack 1 1"]:
    with torch.no_grad():
        square = states(network, inputs[..., :CHUNK, :]).square().mean((-2, -1), keepdim=True)
    return torch.where(square > 0, square, torch.ones_like(square)).sqrt()
