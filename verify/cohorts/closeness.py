"""How far apart the minima of two pre-training tasks lie: ‖θ₁ − θ₂‖, θ_k the end of a training on task k alone.

Both trainings begin at the same networks, last as long and use the same random numbers, so that two tasks that are one
language have distance zero. A minimum is where a training of fixed length ends; what share of the excess loss on its
own task is left there is `left`. The idea after arXiv 2604.09258 (second-hand), the measure ours.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from synthetic import Language
from synthetic.combinators import Mixture
from verify.cohorts.cohort import Cohort
from verify.cohorts.phase import Phase
from verify.networks import Network
from verify.runs import RecordedFailureError, at_once, tensors_digest
from verify.training import (
    AllDivergedError,
    ContextTable,
    FlatParameters,
    Reference,
    Trainer,
    Training,
    context_table,
    excess_loss,
    network_at,
)
from verify.training.objective import DTYPES


class TaskDivergedError(RuntimeError):
    """A member diverged on a task, so that it has no minimum there."""


@dataclass(frozen=True, eq=False)
class Task:
    """One task of every member: to learn a language.

    Attributes:
        languages: one per member.
        tables: their contexts.
        reference: contexts of each on which its excess is measured.
    """

    languages: tuple[Language, ...]
    tables: tuple[ContextTable, ...]
    reference: Reference

    @classmethod
    def of(cls, languages: Sequence[Language], contexts: int, seeds: Sequence[int]) -> Task:
        """Return the task to learn these languages.

        Args:
            languages: one per member, small enough to be written out (else EnumerationTooLargeError).
            contexts: of the reference of each.
            seeds: of the references.
        """
        references = [
            Reference.sampled(language, contexts, torch.Generator().manual_seed(seed))
            for language, seed in zip(languages, seeds, strict=True)
        ]
        tables = tuple(context_table(language) for language in languages)
        return cls(tuple(languages), tables, Reference.each(references))

    @classmethod
    def components(cls, mixtures: Sequence[Language], contexts: int, seeds: Sequence[int]) -> tuple[Task, ...]:
        """Return the tasks to learn the first components of mixtures, the second ones, and so on; arguments as in `of`.

        Raises:
            ValueError: a language is not a mixture, or they differ in their number of components.
        """
        parts = [language.components if isinstance(language, Mixture) else () for language in mixtures]
        if len({len(own) for own in parts}) != 1 or not parts[0]:
            raise ValueError(
                f"expected mixtures of equally many components, got {[len(own) for own in parts]} (0: no mixture); "
                "take a family of mixtures"
            )
        return tuple(cls.of(languages, contexts, seeds) for languages in zip(*parts, strict=True))


@dataclass(frozen=True, eq=False)
class End:
    """Where a training on one task ends, for every member.

    Attributes:
        theta: θ_k.
        start: θ where it began.
        left: excess loss on the task at the end ÷ at the beginning; Monte Carlo, by the contexts of the reference.
    """

    theta: Float[Tensor, "member parameter"]
    start: Float[Tensor, "member parameter"]
    left: Float[Tensor, " member"]

    def distance(self, other: End) -> Float[Tensor, " member"]:
        """Return ‖θ_1 − θ_2‖; Monte Carlo, by the examples of the trainings."""
        return (self.theta - other.theta).square().sum(1).sqrt()

    def relative_distance(self, other: End) -> Float[Tensor, " member"]:
        """Return ‖θ_1 − θ_2‖ / ‖θ‖."""
        return self.distance(other) / self.start.square().sum(1).sqrt()


def end_of(
    network: Network,
    task: Task,
    training: Training,
    steps: int,
    seeds: Sequence[int],
    *,
    cohort: Cohort | None = None,
) -> End:
    """Train the members of a stack on a task and return where they end.

    Args:
        network: where the training begins; left as it is.
        task: one language for each member.
        training: how.
        steps: for how long.
        seeds: one per member; the same ones give trainings on several tasks the same random numbers.
        cohort: whose members they are: its store keeps the training and resumes it, and it can be stopped; None for
            a training on the CPU that is not kept.

    Raises:
        TaskDivergedError: a member diverged.
        KeyboardInterrupt: the cohort was stopped.
    """
    device = "cpu" if cohort is None else cohort.device
    start = FlatParameters(network, DTYPES[training.precision], "cpu").theta.detach().double()

    def excess(theta: Tensor) -> Float[Tensor, " member"]:
        own = network_at(network, theta, dtype=torch.float64)
        return excess_loss(own, task.reference, device=device).estimate.cpu()

    def build() -> Phase:
        trainer = Trainer(network, task.languages, training, seeds, table=task.tables, device=device)
        stopped = threading.Event() if cohort is None else cohort.stopped
        return Phase(trainer, steps, stopped)

    configuration = {
        "work": "training on one task",
        "network": network.config.to_json(),
        "start": tensors_digest(start),
        "task": tensors_digest(*(part for own in task.tables for part in (own.contexts, own.prob, own.conditional))),
        "training": training.to_json(),
        "steps": steps,
        "seeds": list(seeds),
    }
    try:
        found = at_once(build()) if cohort is None else cohort.completed(build, configuration)
    except (AllDivergedError, RecordedFailureError) as error:
        raise TaskDivergedError(str(error)) from error
    if found.content["dead"]:
        raise TaskDivergedError("; ".join(found.content["divergences"]) + "; lower the rate, as a new design")
    theta = found.tensors["theta"].double()
    return End(theta, start, excess(theta) / excess(start))
