"""Integration: a trainer under a checkpointer, interrupted and resumed, ends bit for bit as if it never was."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.verify.training.examples import assert_same_tensors, small_language, small_network
from verify.runs.checkpointer import Resumable, Work, complete
from verify.runs.keys import RunKey
from verify.runs.run import RunResult
from verify.runs.store import RunStore
from verify.training.averaging import Averaging
from verify.training.config import Training
from verify.training.excess import Reference
from verify.training.matching import ExcessMonitor
from verify.training.optimisers import SGD
from verify.training.tables import context_table
from verify.training.trainer import Every, Trainer

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
SEEDS, STEPS, PIECE = [0, 1], 30, 3
TRAINING = Training(0.02, 8, "isotropic", average=Averaging(decay=0.9), record_every=4, prefetch=5)


class Lesson:
    """Training in pieces, with a monitor; `interrupt` plays Ctrl-C in the middle of a piece."""

    def __init__(self, config: Training = TRAINING, interrupt: int = STEPS + 1) -> None:
        self.trainer = Trainer(small_network(LANGUAGE, SEEDS), LANGUAGE, config, SEEDS, table=TABLE)
        self.monitor = ExcessMonitor(Reference.enumerated(TABLE), [0.4], 2)
        self.interrupt = interrupt

    def _stop(self, trainer: Trainer) -> None:
        if trainer.step == self.interrupt:
            raise KeyboardInterrupt

    def done(self) -> bool:
        return self.trainer.step == STEPS

    def advance(self) -> dict[str, Any]:
        self.trainer.run(self.trainer.step + PIECE, [Every(2, self.monitor), Every(1, self._stop)])
        return {"progress": self.trainer.step, "excess": self.monitor.curve[-1].tolist()}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, meta = self.trainer.state()
        measured, steps = self.monitor.state()
        return tensors | {f"monitor.{name}": value for name, value in measured.items()}, {"trainer": meta, **steps}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.trainer.restore(tensors, meta["trainer"])
        prefix = "monitor."
        measured = {name.removeprefix(prefix): tensors[name] for name in tensors if name.startswith(prefix)}
        self.monitor.restore(measured, meta)

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, meta = self.state()
        return tensors, {"diverged": [str(end) for end in self.trainer.divergences], **meta}


def finished(folder: Path, config: Training = TRAINING, interrupts: tuple[int, ...] = ()) -> RunResult:
    """The result of a run that is begun again after every interruption."""
    store, key = RunStore(folder), RunKey(config.to_json(), 0, {}, {})
    for step in interrupts:
        with pytest.raises(KeyboardInterrupt):
            complete(store, key, partial(Lesson, config, step), every_seconds=0)
    return complete(store, key, partial(Lesson, config), every_seconds=0)


def test_a_trainer_is_resumable_work() -> None:
    assert isinstance(Lesson().trainer, Resumable)
    assert isinstance(Lesson(), Work)


def test_property_interrupted_runs_end_as_uninterrupted_ones(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole")
    broken = finished(tmp_path / "broken", interrupts=(1, 4, 5, 13, 30))
    assert_same_tensors(broken.tensors, whole.tensors)
    assert broken.content == whole.content
    assert whole.content["steps"] == list(range(0, STEPS + 1, 2))


def test_property_a_member_diverges_and_the_others_are_kept(tmp_path: Path) -> None:
    mad = replace(TRAINING, optimiser=SGD(), rate=(0.02, 1e9))
    whole = finished(tmp_path / "whole", mad)
    broken = finished(tmp_path / "broken", mad, (4, 10))
    assert_same_tensors(broken.tensors, whole.tensors)
    (message,) = broken.content["diverged"]
    assert message.startswith("seed 1 (member 1) diverged at step 1")
    assert bool(torch.isfinite(broken.tensors["theta"]).all())
