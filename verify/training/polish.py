"""Polishing: a short training on soft labels at a decaying rate, which takes the noise out of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthetic.language import Language
from verify.networks.network import Network
from verify.training.config import Training
from verify.training.excess import Excess, Reference, excess_loss
from verify.training.optimisers import SGD, AdamW
from verify.training.schedules import Schedule
from verify.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Polished:
    """A checkpoint before and after polishing; it is for the reader to say which of the two a figure is about.

    Attributes:
        raw: the networks that were given, float64.
        polished: the networks after it, float64.
        raw_excess: excess losses before.
        polished_excess: excess losses after.
        moved: ‖θ_polished − θ_raw‖ of every member.
        training: how it was polished.
        steps: for how long.
        seeds: of its contexts.
    """

    raw: Network
    polished: Network
    raw_excess: Excess
    polished_excess: Excess
    moved: Float[Tensor, " member"]
    training: Training
    steps: int
    seeds: tuple[int, ...]


def polish(
    network: Network,
    language: Language | Sequence[Language],
    reference: Reference,
    *,
    steps: int,
    rate: float | tuple[float, ...],
    seeds: Sequence[int],
    batch: int = 128,
    optimiser: SGD | AdamW | None = None,
) -> Polished:
    """Train a copy of the networks for `steps` steps against p* itself, the rate falling linearly to zero.

    Soft labels vanish on Γ and with them the gradient's noise, so that polishing goes down to Γ without the drift
    along Γ that label noise causes; contexts are still sampled. It is an operation on a checkpoint, never a part of
    training, and both ends are returned.

    Args:
        network: the checkpoint.
        language: whose p* is learnt; one for all members, or one per member.
        reference: contexts on which both ends are measured.
        steps: number of steps, at least 1.
        rate: learning rate at the beginning.
        seeds: one per member, others than those of the training, whose contexts would come again.
        batch: contexts per step and member.
        optimiser: AdamW unless given.

    Raises:
        AllDivergedError: no member survived; lower the rate.
    """
    config = Training(
        rate=rate,
        batch=batch,
        labels="soft",
        optimiser=optimiser if optimiser is not None else AdamW(),
        schedule=Schedule("linear", steps=steps),
        record_every=1,
    )
    trainer = Trainer(network, language, config, seeds)
    start = trainer.theta.double().clone()
    trainer.run(steps)
    raw, polished = network.copy().double(), trainer.snapshot()
    return Polished(
        raw,
        polished,
        excess_loss(raw, reference),
        excess_loss(polished, reference),
        torch.linalg.vector_norm(trainer.theta.double() - start, dim=1),
        config,
        steps,
        tuple(seeds),
    )
