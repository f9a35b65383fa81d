"""A cohort: the random languages of one family, their networks, and the conditions that are trained on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from verify.cohorts.conditions import CONDITIONS, Condition, Size, anneal
from verify.cohorts.evaluations import EVALUATIONS
from verify.cohorts.families import FAMILIES
from verify.cohorts.measurement import Found, Measurement
from verify.cohorts.path import Path, Point
from verify.cohorts.phase import Phase
from verify.cohorts.scale import EvaluationName, Scale
from verify.cohorts.sharpness import Sharpness, sharpness
from verify.cohorts.transfer import Evaluation
from verify.downstream.features import unmasked_states
from verify.networks.network import Network
from verify.runs.checkpointer import Work, at_once, complete
from verify.runs.failures import RecordedFailureError
from verify.runs.keys import RunKey, tensors_digest
from verify.runs.run import RunResult
from verify.runs.store import RunStore
from verify.streams import stream_seed
from verify.training.config import Training
from verify.training.diverged import AllDivergedError
from verify.training.excess import Reference, divergences, excess_loss
from verify.training.parameters import network_at
from verify.training.trainer import Trainer

NOT_TRAINED = (
    "families",
    "evaluations",
    "further_recoveries",
    "labels",
    "draws",
    "tested",
    "probes",
    "converged",
    "spread",
)
"""Fields of a scale that leave a family's conditions as they are: which others there are, and how they are measured."""

SOURCES = (
    "synthetic",
    "verify.cohorts",
    "verify.models.divergence",
    "verify.networks",
    "verify.streams",
    "verify.training",
)
"""What a condition becomes the source of these decides: a stored one is found again only while they are unchanged."""


MEASURES = ("verify.curvature", "verify.downstream")
"""What a measurement finds is decided by the source of these besides."""


class CohortDivergedError(RuntimeError):
    """A member of a condition diverged, so that the condition cannot be compared with others."""


class Cohort:
    """The replicates of one family: member k is a random language with its own networks, in all conditions.

    Conditions are trained when they are first asked for, and kept. All random numbers come from the root seed, the
    family and their purpose, whatever the order of asking and whichever claim asks.

    Args:
        family: name in `FAMILIES`.
        scale: sizes.
        root_seed: root of all random streams.
        device: where to train.
        store: where trained conditions and long measurements are kept and found again; None begins afresh.

    Attributes:
        family: the family.
        languages: one per member.
        tables: their contexts, or None where one has too many to write out.
        reference: contexts of every member, sampled once, on which excess losses are measured.
        evaluation: labelled sentences of every member.
        stopped: set it, and work that goes on in another thread ends after its piece: 16 steps, or one measurement.
    """

    def __init__(
        self, family: str, scale: Scale, root_seed: int, device: str = "cpu", store: RunStore | None = None
    ) -> None:
        self.family = FAMILIES[family]
        self.scale = scale
        self._root_seed = root_seed
        self._device = device
        self._store = store
        self.stopped = threading.Event()
        self._ends: dict[str, Network] = {}
        self._paths: dict[str, Path] = {}
        self._evaluations: dict[EvaluationName, Evaluation] = {}
        self._evaluated: dict[tuple[EvaluationName, str, tuple[int, ...]], Tensor] = {}
        drawn = [self.family.draw(seed) for seed in self.seeds("language")]
        self.languages = tuple(language for language, _ in drawn)
        tables = [table for _, table in drawn]
        self.tables = None if None in tables else [table for table in tables if table is not None]
        self.reference = Reference.each(
            [
                Reference.sampled(language, scale.reference, torch.Generator().manual_seed(seed))
                for language, seed in zip(self.languages, self.seeds("reference"), strict=True)
            ]
        )
        self.evaluation = self.draw_evaluation("exam")

    def seeds(self, *purpose: str) -> list[int]:
        """Return one seed per member for a purpose."""
        return [
            stream_seed(self._root_seed, "cohort", self.family.name, *purpose, member)
            for member in range(self.scale.members)
        ]

    def draw_evaluation(self, purpose: str, *, many: int | None = None) -> Evaluation:
        """Return an evaluation of every member; another purpose gives independent sentences.

        Args:
            purpose: name of its random numbers.
            many: labelled sentences of one large draw, in place of the scale's draws of few.
        """
        tasks = [self.family.task_of(language) for language in self.languages]
        labels, draws = (self.scale.labels, self.scale.draws) if many is None else (many, 1)
        return Evaluation.sample(tasks, self.seeds(purpose), labels=labels, draws=draws, tested=self.scale.tested)

    def initial(self, size: Size, stream: str) -> Network:
        """Return networks of a size as they are before training."""
        half = 1 if size == "large" else 2
        return self.family.networks(
            self.languages[0].length,
            width=self.scale.width // half,
            layers=self.scale.layers,
            heads=max(1, self.scale.heads // half),
            generators=self._generators("initial", stream),
        )

    def _generators(self, *purpose: str) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in self.seeds(*purpose)]

    def condition(self, name: str) -> Condition:
        """Return how a condition is trained."""
        return CONDITIONS[name](self.scale, self.family)

    def path(self, name: str) -> Path:
        """Return the path of a condition, trained on first use; errors as in `end`."""
        self.end(name)
        return self._paths[name]

    def end(self, name: str) -> Network:
        """Return the networks at the end of a condition, trained on first use.

        Raises:
            CohortDivergedError: a member diverged.
        """
        if name not in self._ends:
            condition = self.condition(name)
            start = (
                self.initial(condition.size, condition.stream) if condition.start is None else self.end(condition.start)
            )
            if condition.anneals:
                path, end = self._anneal(name, start, condition.training, condition.steps, condition.stream)
                path = replace(path, anneals=True)
            else:
                trained, _ = self._phase(name, start, condition.training, condition.steps, condition.stream)
                path, end = self._anneal(name, trained, anneal(self.scale), self.scale.anneal, "descent")
            self._paths[name], self._ends[name] = path, end
        return self._ends[name]

    def _anneal(self, name: str, start: Network, training: Training, steps: int, stream: str) -> tuple[Path, Network]:
        """Train on the anneal and keep its checkpoints."""
        end, found = self._phase(name, start, training, steps, stream, every=max(1, steps // self.scale.checkpoints))
        return Path(end, tuple(found.content["kept"]), found.tensors["kept.theta"], found.tensors["kept.excess"]), end

    def _phase(
        self, name: str, start: Network, training: Training, steps: int, stream: str, *, every: int | None = None
    ) -> tuple[Network, RunResult]:
        """Train, or take what is stored; return the networks at the end and what was kept."""

        def build() -> Phase:
            trainer = Trainer(
                start, self.languages, training, self.seeds("training", stream), table=self.tables, device=self._device
            )
            return Phase(trainer, steps, every, self._excess, self.stopped)

        try:
            found = self.completed(
                build,
                {"condition": name, "phase": stream, "training": training.to_json(), "steps": steps, "every": every},
            )
        except (AllDivergedError, RecordedFailureError) as error:
            raise CohortDivergedError(f"condition {name} of family {self.family.name}: {error}") from error
        if found.content["dead"]:
            raise CohortDivergedError(
                f"condition {name} of family {self.family.name}: members {found.content['dead']} diverged at rate "
                f"{training.rate}; lower the rates of the scale, as a new design"
            )
        network = network_at(start, found.tensors["theta"].to(next(start.parameters()).device), dtype=torch.float32)
        return network, found

    def measured(
        self, what: str, network: Network, measure: Callable[[], Found], **configuration: Any
    ) -> Mapping[str, Tensor]:
        """Return what a measurement of networks finds, or found when the store kept it.

        Args:
            what: name of the measurement.
            network: what is measured; told by its parameters.
            measure: computes tensors, by name.
            configuration: JSON data; what else determines them.
        """
        own = {"measurement": what, "network": network.config.to_json(), "theta": tensors_digest(*network.parameters())}
        return self.completed(
            lambda: Measurement(measure, self.stopped), own | configuration, (*SOURCES, *MEASURES)
        ).tensors

    def completed(
        self, build: Callable[[], Work], configuration: Mapping[str, Any], sources: Sequence[str] = SOURCES
    ) -> RunResult:
        """Do some work on the cohort, or take its result from the store, where it is also resumed.

        Args:
            build: makes the work at its beginning.
            configuration: JSON data; what determines the work, besides the cohort and the source code.
            sources: modules whose source determines it.

        Raises:
            RecordedFailureError: the work is recorded as diverged.
        """
        if self._store is None:
            return at_once(build())
        return complete(self._store, self._key(configuration, sources), build)

    def _key(self, configuration: Mapping[str, Any], sources: Sequence[str] = SOURCES) -> RunKey:
        """Return what determines a run; the sampled contexts tell languages that are read from files."""
        own = {
            "scale": {name: value for name, value in asdict(self.scale).items() if name not in NOT_TRAINED},
            "family": self.family.name,
            "contexts": tensors_digest(self.reference.contexts),
            "device": self._device.partition(":")[0],
        }
        return RunKey.of(own | dict(configuration), self._root_seed, sources)

    def _excess(self, trainer: Trainer) -> Float[Tensor, " member"]:
        return excess_loss(trainer.snapshot(), self.reference, device=self._device).estimate

    def divergences(self, network: Network) -> Float[Tensor, "member context"]:
        """Return KL(p* ‖ p_θ) of every member at the contexts of the reference, whose weighted mean is the excess."""
        return divergences(network, self.reference, device=self._device)

    def features(self, network: Network) -> Float[Tensor, "member example feature"]:
        """Return the final states of the evaluation's unmasked sentences, all positions side by side."""
        return unmasked_states(self._placed(network), self.evaluation.inputs.to(self._device)).cpu()

    def _placed(self, network: Network) -> Network:
        """Return a copy to be evaluated: on the device, in float32, with fused kernels."""
        copied = network.copy().to(device=self._device, dtype=torch.float32)
        copied.fast = True
        return copied

    def accuracy(self, network: Network) -> Float[Tensor, " member"]:
        """Return the few-label accuracy of every member."""
        return self.evaluation.accuracy(self.features(network))

    def further_accuracy(self, evaluation: EvaluationName, network: Network) -> Float[Tensor, " member"]:
        """Return the accuracy of every member in one of `EVALUATIONS`, on sentences of its own."""
        further = EVALUATIONS[evaluation]
        if evaluation not in self._evaluations:
            self._evaluations[evaluation] = self.draw_evaluation(f"exam, {evaluation}", many=further.many)
        return further.grade(
            self._evaluations[evaluation].to(self._device),
            self._placed(network),
            self._generators("batches", evaluation),
        ).cpu()

    def evaluated(self, evaluation: EvaluationName, condition: str, point: Point) -> Float[Tensor, " member"]:
        """Return `further_accuracy` at a point of a condition; kept, as several claims compare the same conditions."""
        place = evaluation, condition, tuple(point.checkpoint.tolist())
        if place not in self._evaluated:
            network, sizes = point.network, {name: getattr(self.scale, name) for name in ("labels", "draws", "tested")}
            self._evaluated[place] = self.measured(
                evaluation, network, lambda: {"accuracy": self.further_accuracy(evaluation, network)}, **sizes
            )["accuracy"]
        return self._evaluated[place]

    def sharpness(self, network: Network) -> Sharpness:
        """Return tr F and Σθ²F of every member, with the same probes for every condition."""
        probes = self.scale.probes

        def measure() -> Found:
            placed = network.copy().to(self._device)
            return sharpness(placed, self.reference, self.seeds("sharpness"), batches=probes).tensors()

        return Sharpness.of(self.measured("sharpness", network, measure, probes=probes))

    @cached_property
    def accuracy_slope(self) -> float:
        """Change of the mean accuracy per replicate of ln(excess), along the second half of the way of `base`."""
        return self._slope(self.accuracy)

    @cached_property
    def log_trace_slope(self) -> float:
        """Change of the mean of ln tr F per replicate of ln(excess), likewise."""
        return self._slope(lambda network: self.sharpness(network).trace.log())

    def _slope(self, statistic: Callable[[Network], Tensor]) -> float:
        path = self.path("base")
        middle = len(path.steps) // 2
        change = statistic(path.network(-1)) - statistic(path.network(middle))
        return float(change.mean() / (path.excess[-1] / path.excess[middle]).log().mean())

    @cached_property
    def untrained(self) -> dict[Size, Network]:
        """The initial networks of both sizes."""
        return {"large": self.initial("large", "pretraining"), "small": self.initial("small", "pretraining")}
