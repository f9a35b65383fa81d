"""One run of a campaign, as any process can do it: a cohort trained in all conditions and measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from synthetic.catalogue import Exchangeability
from verify.campaigns.grid import ROW_SOURCES, Run, trainings
from verify.cohorts import Bench, Cohort, Comparison
from verify.environment import hardware, versions
from verify.runs import CorruptFileError, RunLockedError, RunStore, State, complete, tensors_digest
from verify.runs.keys import RunKey, library_versions, loaded_digests
from verify.runs.run import Run as StoredRun
from verify.runs.run import read_record, read_result
from verify.training import SGD
from verify.training.excess import excess_loss
from verify.training.threads import torch_threads


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: finished; held, by another process that does it; or failed.
        content: of a finished run, as the store keeps it: `rows`, and where, when and how long it ran.
        report: of a failed one, why.
    """

    status: Literal["finished", "held", "failed"]
    content: Mapping[str, Any]
    report: str = ""


class _Store(RunStore):
    """A store that knows whether it had something of a run before it was opened here."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.found = False
        self._opened: set[str] = set()

    @contextmanager
    def open(self, key: RunKey, waits: Callable[[], bool] = lambda: False) -> Iterator[StoredRun]:
        with super().open(key, waits) as run:
            if key.digest not in self._opened:
                self.found |= run.result is not None or run.latest() is not None
            self._opened.add(key.digest)
            yield run


class _CohortWork:
    """A run as work that a store keeps, a condition a piece; `verify.runs.Work`.

    It has no state of its own: what was trained is in the store, where the cohort finds it again.
    """

    def __init__(self, run: Run, store: _Store) -> None:
        self._run, self._store, self._start = run, store, time.monotonic()
        self._cohort = Cohort(run.family, run.scale, run.root_seed, run.device, store)
        # Short before long: a longer dose of a condition goes on from a shorter one.
        self._left = sorted(run.conditions, key=lambda name: self._cohort.condition(name).steps)
        self._content: dict[str, Any] | None = None

    def done(self) -> bool:
        return self._content is not None

    def advance(self) -> dict[str, Any]:
        """Train a condition, or measure them all; errors as in `Cohort.end`."""
        if self._left:
            self._cohort.end(self._left.pop(0))
        else:
            device = hardware(self._run.device)
            self._content = {
                "rows": _rows(self._cohort, self._run.conditions),
                "seconds": time.monotonic() - self._start,
                "whole": not self._store.found,
                "hardware": device,
                "versions": versions(),
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        trained = [name for name in self._run.conditions if name not in self._left]
        return {"progress": sum(trainings(self._cohort, trained).values()) / self._run.steps}

    def state(self) -> State:
        return {}, {}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Do nothing; the conditions that are done are in the store."""

    def result(self) -> State:
        return {}, dict(self._content or {})


def perform(run: Run, root: Path, *, waits: bool = False) -> Outcome:
    """Do a run, or take what is stored of it; whatever happens is told by the outcome, nothing is raised.

    Args:
        run: which.
        root: folder of the store.
        waits: whether to wait for another process that does it, rather than leave it to that.
    """
    try:
        _check_sources(run)
        store = _Store(root)
        with torch_threads(1 if run.device == "cpu" else None):
            found = complete(RunStore(root), run.key, lambda: _CohortWork(run, store), waits=lambda: waits)
    except RunLockedError as error:
        return Outcome("held", {}, str(error))
    except Exception as error:  # of any kind: it has to cross to another process
        return Outcome("failed", {}, f"{type(error).__name__}: {error}")
    return Outcome("finished", found.content)


def finished(run: Run, root: Path) -> Outcome | None:
    """Return what the store keeps of a run, None if it is not finished."""
    try:
        found = read_result(RunStore(root).folder(run.key.digest))
    except CorruptFileError:
        return None
    return None if found is None else Outcome("finished", found.content)


def progress(run: Run, root: Path) -> float:
    """Return the share of a run's steps that the store had at the last checkpoint of a condition."""
    try:
        return float(read_record(RunStore(root).folder(run.key.digest))["progress"])
    except CorruptFileError:  # not there yet
        return 0.0


def _check_sources(run: Run) -> None:
    """Raise RuntimeError where this process has other sources or libraries than the command that made the run."""
    own = RunKey(run.key.configuration, run.root_seed, loaded_digests(ROW_SOURCES), library_versions())
    if own.digest != run.key.digest:
        here, there = ({**key.sources, **key.versions} for key in (own, run.key))
        names = ", ".join(name for name in there if here.get(name) != there[name])
        raise RuntimeError(
            f"expected the sources and libraries of the command, got another {names}; let all workers have the same, "
            "leave the source alone while a campaign runs, and start the command again"
        )


def _rows(cohort: Cohort, conditions: Sequence[str]) -> list[dict[str, Any]]:
    """Measure every condition at matched excess and before its anneal; return a row for each and each member."""
    bench = Bench(cohort)
    comparison = Comparison.of(bench, conditions, accuracy=conditions, traces=conditions, raw=conditions)
    reference = cohort.reference
    of_member: dict[str, Tensor] = {
        "learnable_gap": reference.learnable_gap,
        "chance": bench.evaluation.chance,
        "accuracy_slope": torch.full((cohort.scale.members,), bench.accuracy_slope, dtype=torch.float64),
        "log_trace_slope": torch.full((cohort.scale.members,), bench.log_trace_slope, dtype=torch.float64),
    }
    if cohort.tables is not None:
        shares = [Exchangeability.of_contexts(own.contexts, own.prob, own.conditional).share for own in cohort.tables]
        of_member["bag_share"] = torch.tensor(shares, dtype=torch.float64)
    languages = [
        tensors_digest(*parts)[:12]
        for parts in zip(reference.contexts, reference.weight, reference.conditional, strict=True)
    ]
    found = []
    for name in conditions:
        own = cohort.condition(name)
        training, sgd = own.training, own.training.optimiser
        point, raw, sharpness = comparison.points[name], comparison.raw(name), comparison.sharpness(name)
        told = {
            "condition": name,
            "start": own.start or "",
            "labels": training.labels,
            "optimiser": sgd.kind,
            "steps": own.steps,
            "rate": training.rate,
            "batch": training.batch,
            "momentum": sgd.momentum if isinstance(sgd, SGD) else None,
            "slow_time": cohort.slow_time(name),
        }
        measured = of_member | {
            "excess": point.excess,
            "excess_error": excess_loss(point.network, reference, device=cohort.device).standard_error,
            "accuracy": comparison.accuracy(name),
            "trace": sharpness.trace,
            "invariant": sharpness.invariant,
            "roots": sharpness.roots,
            "orbit_trace": sharpness.orbit_trace,
            "alignment": bench.alignment(point.network, own.size),
            "raw_excess": raw.excess,
            "raw_accuracy": raw.accuracy,
            "raw_trace": raw.log_trace.exp(),
        }
        for evaluation in cohort.scale.evaluations:
            measured[f"accuracy, {evaluation}"] = comparison.further_accuracy(evaluation, name)
        found += [
            {
                "member": member,
                "language": languages[member],
                **told,
                **{key: float(values[member]) for key, values in measured.items()},
            }
            for member in range(cohort.scale.members)
        ]
    return found
