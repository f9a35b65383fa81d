"""Arms kept in a run store: interrupted ones go on to the bit, finished ones are not trained again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.verify.cohorts.test_cohort import TINY
from verify.cohorts.cohort import Cohort, CohortDivergedError
from verify.cohorts.phase import PIECE
from verify.runs.checkpointer import Checkpointer
from verify.runs.store import RunStore
from verify.training.trainer import Every, Trainer

SCALE = replace(TINY, pretraining=3 * PIECE, descent=2 * PIECE, continuation=2 * PIECE)


def test_an_interrupted_arm_goes_on_where_it_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    afresh = Cohort("hmm", SCALE, 3)
    stored = Cohort("hmm", SCALE, 3, store=RunStore(tmp_path))
    tick = Checkpointer.tick

    def saved_and_stopped(self: Checkpointer, progress: float, metrics: object = None) -> bool:
        self.every_seconds = 0
        stored.stopped.set()
        return tick(self, progress)

    interruptions = 0
    with monkeypatch.context() as patch:
        patch.setattr(Checkpointer, "tick", saved_and_stopped)
        while not stored._paths.get("sampled"):  # each try makes one piece
            try:
                stored.path("sampled")
            except KeyboardInterrupt:
                interruptions += 1
                assert interruptions < 20
                stored.stopped.clear()
    assert interruptions == 3 + 2 + 2 - 1  # before each piece but the first
    assert stored.path("sampled").theta.equal(afresh.path("sampled").theta)
    assert stored.path("sampled").excess.equal(afresh.path("sampled").excess)


def test_a_finished_arm_is_taken_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Cohort("pcfg", SCALE, 3, store=RunStore(tmp_path))
    expected = first.path("soft")

    def never(self: Trainer, until: int, hooks: object = ()) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "run", never)
    again = Cohort("pcfg", SCALE, 3, store=RunStore(tmp_path)).path("soft")
    assert again.theta.equal(expected.theta)
    assert again.steps == expected.steps
    for own, same in zip(again.template.parameters(), expected.template.parameters(), strict=True):
        assert torch.equal(own, same)
    # Families can be trained one by one, in processes of their own, and measured by more exams later.
    other = replace(SCALE, families=("pcfg",), exams=("many labels",), tested=SCALE.tested + 1)
    assert Cohort("pcfg", other, 3, store=RunStore(tmp_path)).path("soft").theta.equal(expected.theta)
    with pytest.raises(AssertionError, match="trained again"):
        Cohort("pcfg", replace(SCALE, batch=SCALE.batch + 1), 3, store=RunStore(tmp_path)).path("soft")
    with pytest.raises(AssertionError, match="trained again"):
        Cohort("pcfg", SCALE, 4, store=RunStore(tmp_path)).path("soft")


def test_a_stored_divergence_is_still_one_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scale, store, run = replace(SCALE, noisy_rate=1e6), RunStore(tmp_path), Trainer.run
    trained: list[Trainer] = []

    def counted(self: Trainer, until: int, hooks: Sequence[Every] = ()) -> None:
        trained.append(self)
        run(self, until, hooks)

    monkeypatch.setattr(Trainer, "run", counted)
    for again in (False, True):
        trained.clear()
        with pytest.raises(CohortDivergedError, match="arm sampled of family hmm"):
            Cohort("hmm", scale, 3, store=store).path("sampled")
        assert bool(trained) != again
        records = [store.record(digest) for digest in store.digests()]
        assert {record["key"]["configuration"]["arm"]: record["status"] for record in records} == {
            "base": "finished",
            "sampled": "diverged",
        }
