"""What is trained: the random languages of one family, their networks, and the conditions that start from them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from verify.cohorts.conditions import CONDITIONS, Condition, Size
from verify.cohorts.families import FAMILIES
from verify.cohorts.path import Path
from verify.cohorts.phase import Found, MeasuringWork, Phase
from verify.cohorts.scale import Scale
from verify.networks import Network
from verify.runs import (
    RecordedFailureError,
    RunKey,
    RunResult,
    RunStore,
    State,
    Work,
    at_once,
    complete,
    tensors_digest,
)
from verify.streams import Streams
from verify.training import AllDivergedError, Reference, Trainer, Training, excess_loss, network_at

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


class UnknownConditionError(ValueError):
    """A condition is asked for that is not to be had."""


class Cohort:
    """The replicates of one family: member k is a random language with its own networks, in all conditions.

    Conditions are trained when they are first asked for, and kept. All random numbers come from the root seed, the
    family and their purpose, whatever the order of asking and whichever claim asks.

    A condition at a dose (`sampled@2000`) goes on from the longest shorter dose that was asked for before, to the same
    bits as by itself.

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
        streams: its random streams.
        reference: contexts of every member, sampled once, on which excess losses are measured.
        device: where networks are trained and measured.
        stopped: set it, and work that goes on in another thread ends after its piece: 16 steps, or one measurement.
    """

    def __init__(
        self, family: str, scale: Scale, root_seed: int, device: str = "cpu", store: RunStore | None = None
    ) -> None:
        self.family = FAMILIES[family]
        self.scale = scale
        self._root_seed = root_seed
        self.streams = Streams(root_seed, "cohort")
        self.device = device
        self._store = store
        self.stopped = threading.Event()
        self._ends: dict[str, Network] = {}
        self._paths: dict[str, Path] = {}
        self._legs: dict[str, dict[int, State]] = {}
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

    def seeds(self, *purpose: str, again: bool = False) -> list[int]:
        """Return one seed per member for a purpose; `again`: as in `Streams.seed`, which raises."""
        return [
            self.streams.seed(self.family.name, *purpose, member, again=again) for member in range(self.scale.members)
        ]

    def initial(self, size: Size, stream: str) -> Network:
        """Return networks of a size as they are before training; one stream serves the conditions of that name."""
        half = 1 if size == "large" else 2
        return self.family.networks(
            self.languages[0].length,
            width=self.scale.width // half,
            layers=self.scale.layers,
            heads=max(1, self.scale.heads // half),
            initial_scale=self.scale.initial_scale,
            generators=self.generators("initial", stream, again=True),
        )

    def generators(self, *purpose: str, again: bool = False) -> list[torch.Generator]:
        """Return one generator per member for a purpose, as `seeds` does."""
        return [torch.Generator().manual_seed(seed) for seed in self.seeds(*purpose, again=again)]

    def condition(self, name: str) -> Condition:
        """Return how a condition is trained, by its name in `CONDITIONS`; NAME@STEPS: for so many steps instead.

        A rate that falls to zero over the condition falls to zero over its dose.

        Raises:
            UnknownConditionError: there is no such condition, or it has no dose: it begins at no other, or is no more
                than its anneal.
        """
        kind, at, dose = name.partition("@")
        if kind not in CONDITIONS:
            raise UnknownConditionError(f"expected a condition among {', '.join(CONDITIONS)}, got {name!r}")
        own = CONDITIONS[kind](self.scale, self.family)
        if not at:
            return own
        if own.start is None or not own.steps:
            raise UnknownConditionError(f"expected a condition that goes on from another, got {name!r}; leave out @")
        if not (dose.isascii() and dose.isdecimal() and dose[0] != "0"):
            raise UnknownConditionError(f"expected NAME@STEPS with a number of steps from 1 on, got {name!r}")
        steps = int(dose)
        training = replace(own.training, decay=steps) if own.training.decay else own.training
        return replace(own, steps=steps, training=training)

    def slow_time(self, name: str) -> float:
        """Return τ = Σ kη²/(B(1 − μ)²) over all phases of SGD from the initial networks to the end of a condition."""
        own = self.condition(name)
        return own.slow_time + (0.0 if own.start is None else self.slow_time(own.start))

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
            own = self.condition(name)
            start = self.initial(own.size, own.stream) if own.start is None else self.end(own.start)
            training, steps, stream = own.training, own.steps, own.stream
            if not own.anneals:
                start, _ = self._phase(name, start, training, steps, stream, [])
                training, stream = own.descent(self.scale), "descent"
                steps = training.decay
            keep = list(range(0, steps + 1, max(1, steps // self.scale.checkpoints)))
            end, found = self._phase(name, start, training, steps, stream, keep)
            self._paths[name] = Path(
                end, tuple(keep), found.tensors["kept.theta"], found.tensors["kept.excess"], own.anneals
            )
            self._ends[name] = end
        return self._ends[name]

    def _phase(
        self, name: str, start: Network, training: Training, steps: int, stream: str, keep: Sequence[int]
    ) -> tuple[Network, RunResult]:
        """Train, or take what is stored; return the networks at the end and what was kept at some steps.

        What is stored is told by this training and by the parameters that it starts from: all that came before, the
        conditions that it rests on and their trainings, is in them.

        Raises:
            CohortDivergedError: a member diverged.
        """

        def measure(trainer: Trainer) -> Found:
            excess = excess_loss(trainer.snapshot(), self.reference, device=self.device).estimate
            return {"theta": trainer.theta.detach().clone(), "excess": excess}

        kind, dosed, _ = name.partition("@")
        legs = self._legs.setdefault(kind, {}) if dosed and not keep and not training.decay else None

        def build() -> Phase:
            seeds = self.seeds("training", stream, again=True)  # conditions of one stream see the same
            trainer = Trainer(start, self.languages, training, seeds, table=self.tables, device=self.device)
            if shorter := [leg for leg in legs or () if leg <= steps]:
                trainer.restore(*(legs or {})[max(shorter)])
            return Phase(trainer, steps, self.stopped, keep, measure, goes_on=legs is not None)

        configuration = {
            "condition": kind,
            "phase": stream,
            "network": start.config.to_json(),
            "start": tensors_digest(*start.parameters()),
            "training": training.to_json(),
            "steps": steps,
            "keep": list(keep),
        }
        try:
            found = self.completed(build, configuration)
        except (AllDivergedError, RecordedFailureError) as error:
            raise CohortDivergedError(f"condition {name} of family {self.family.name}: {error}") from error
        if found.content["dead"]:
            raise CohortDivergedError(
                f"condition {name} of family {self.family.name}: members {found.content['dead']} diverged at rate "
                f"{training.rate}; lower the rates of the scale, as a new design"
            )
        if legs is not None and (leg := Phase.leg(found)) is not None:
            legs[steps] = leg
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
            lambda: MeasuringWork(measure, self.stopped), own | configuration, (*SOURCES, *MEASURES)
        ).tensors

    def completed(
        self, build: Callable[[], Work], configuration: Mapping[str, Any], sources: Sequence[str] = SOURCES
    ) -> RunResult:
        """Do some work on the cohort, or take its result from the store, where it is also resumed.

        Args:
            build: makes the work at its beginning.
            configuration: JSON data; what determines the work, besides the cohort's languages and the source code: the
                sizes of a scale are not in the key.
            sources: modules whose source determines it.

        Raises:
            RecordedFailureError: the work is recorded as diverged.
        """
        if self._store is None:
            return at_once(build())
        key = self._key(configuration, sources)
        return complete(self._store, key, build, waits=lambda: not self.stopped.is_set())

    def _key(self, configuration: Mapping[str, Any], sources: Sequence[str] = SOURCES) -> RunKey:
        """Return what determines a run; the reference tells languages that are read from files."""
        reference = self.reference
        own = {
            "family": self.family.name,
            "reference": tensors_digest(reference.contexts, reference.weight, reference.conditional),
            "device": self.device.partition(":")[0],
        }
        return RunKey.of(own | dict(configuration), self._root_seed, sources)
