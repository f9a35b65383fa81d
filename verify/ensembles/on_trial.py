"""Ensembles of a claim that is on trial: on the run's device, by the claim's random streams."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.ensembles.options import Sgd
from verify.ensembles.run import run_ensemble
from verify.models import FiniteModel
from verify.trial import Trial


class DivergedError(RuntimeError):
    """Some replicas of an ensemble diverged, so that their mean means nothing."""


def ensemble(
    trial: Trial,
    model: FiniteModel,
    start: Float[Tensor, "replica parameter"],
    sgd: Sgd,
    steps: int,
    *path: str | int,
    again: bool = False,
    label_conditional: Float[Tensor, "context token"] | None = None,
) -> Float[Tensor, "replica parameter"]:
    """Advance an ensemble on the run's device and return its final points in float64 on the CPU.

    Equal paths give equal random streams; ensembles that share theirs, such as those at several rates, say `again`.

    Raises:
        RepeatedStreamError: the path was taken before, and not `again`.
        DivergedError: a replica diverged; it is named and nothing is averaged.
    """
    result = run_ensemble(
        model,
        start,
        sgd,
        steps,
        seed=trial.seed(*path, again=again),
        label_conditional=label_conditional,
        device=trial.device,
    )
    if result.diverged:
        first = result.diverged[0]
        raise DivergedError(
            f"{trial.claim.id}: {len(result.diverged)} of {len(start)} replicas diverged, replica {first.replica} "
            f"first at step {first.step} with learning rate {first.learning_rate}; use a smaller learning rate"
        )
    trial.advance()
    return result.theta.to("cpu", torch.float64)
