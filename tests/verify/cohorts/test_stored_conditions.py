"""Conditions and trainings of claims, kept in a run store: interrupted, they go on to the bit; finished, they stay."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor

from tests.verify.cohorts.examples import TINY
from theory.claims import CLAIMS
from verify.cohorts import SCALES, Bench, Cohort, CohortDivergedError, anneal, laboratory, scale
from verify.cohorts.closeness import End, Task, TaskDivergedError, end_of
from verify.cohorts.phase import PIECE
from verify.cohorts.plateau import Protocol
from verify.cohorts.plateau.law import contexts_of, risen, spectra_of
from verify.environment import Profile, Settings
from verify.networks import Network
from verify.runs import Checkpointer, RunStore
from verify.training import Reference, Trainer
from verify.training.labels import Labels
from verify.trial import Trial

T = TypeVar("T")
SCALE = replace(TINY, pretraining=3 * PIECE, anneal=2 * PIECE, continuation=2 * PIECE)


def never(self: Trainer, until: int) -> None:
    raise AssertionError("trained again")


def with_interruptions(cohort: Cohort, work: Callable[[], T], patch: pytest.MonkeyPatch) -> tuple[T, int]:
    """Do some work that is saved and stopped after every piece, again and again; return how often it was stopped."""
    tick, interruptions = Checkpointer.tick, 0

    def saved_and_stopped(self: Checkpointer, progress: float, metrics: object = None) -> bool:
        self.every_seconds = 0
        cohort.stopped.set()
        return tick(self, progress)

    with patch.context() as own:
        own.setattr(Checkpointer, "tick", saved_and_stopped)
        while True:
            try:
                return work(), interruptions
            except KeyboardInterrupt:
                interruptions += 1
                assert interruptions < 20
            finally:
                cohort.stopped.clear()


def test_an_interrupted_condition_goes_on_where_it_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    afresh = Cohort("hmm", SCALE, 3).path("sampled")
    stored = Cohort("hmm", SCALE, 3, store=RunStore(tmp_path))
    found, interruptions = with_interruptions(stored, lambda: stored.path("sampled"), monkeypatch)
    assert interruptions == 3 + 2 + 2 - 1  # before each piece but the first
    assert found.theta.equal(afresh.theta)
    assert found.excess.equal(afresh.excess)


def test_a_finished_condition_is_taken_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Cohort("pcfg", SCALE, 3, store=RunStore(tmp_path))
    expected = first.path("soft")

    monkeypatch.setattr(Trainer, "run", never)
    again = Cohort("pcfg", SCALE, 3, store=RunStore(tmp_path)).path("soft")
    assert again.theta.equal(expected.theta)
    assert again.steps == expected.steps
    for own, same in zip(again.template.parameters(), expected.template.parameters(), strict=True):
        assert torch.equal(own, same)
    # Families can be trained one by one, in processes of their own, and measured by more evaluations later.
    other = replace(SCALE, families=("pcfg",), evaluations=("many labels",), tested=SCALE.tested + 1)
    assert Cohort("pcfg", other, 3, store=RunStore(tmp_path)).path("soft").theta.equal(expected.theta)
    with pytest.raises(AssertionError, match="trained again"):
        Cohort("pcfg", replace(SCALE, batch=SCALE.batch + 1), 3, store=RunStore(tmp_path)).path("soft")
    with pytest.raises(AssertionError, match="trained again"):
        Cohort("pcfg", SCALE, 4, store=RunStore(tmp_path)).path("soft")


def test_a_stored_divergence_is_still_one_and_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot, store, run = replace(SCALE, noisy_rate=1e6), RunStore(tmp_path), Trainer.run
    trained: list[Trainer] = []

    def counted(self: Trainer, until: int) -> None:
        trained.append(self)
        run(self, until)

    monkeypatch.setattr(Trainer, "run", counted)
    for again in (False, True):
        trained.clear()
        with pytest.raises(CohortDivergedError, match="condition sampled of family hmm"):
            Cohort("hmm", hot, 3, store=store).path("sampled")
        assert bool(trained) != again
        records = [store.record(digest) for digest in store.digests()]
        assert {record["key"]["configuration"]["condition"]: record["status"] for record in records} == {
            "base": "finished",
            "sampled": "diverged",
        }


def test_an_interrupted_training_on_one_task_goes_on_where_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = Cohort("hmm-mixture", TINY, 3, store=RunStore(tmp_path))
    network = cohort.initial("small", "pretraining")
    task, other = Task.components(cohort.languages, 32, cohort.seeds("reference", again=True))
    training, seeds = anneal(SCALE), cohort.seeds("both")

    def end(**changed: Any) -> End:
        chosen = {"network": network, "task": task, "training": training, "steps": 3 * PIECE, "seeds": seeds}
        return end_of(**{**chosen, **changed}, cohort=cohort)

    found, interruptions = with_interruptions(cohort, end, monkeypatch)
    afresh = end_of(network, task, training, 3 * PIECE, seeds)
    assert interruptions == 3 - 1
    for name in ("theta", "start", "left"):
        assert getattr(found, name).equal(getattr(afresh, name))
    monkeypatch.setattr(Trainer, "run", never)
    assert end().theta.equal(found.theta)
    for changed in (
        {"training": replace(training, rate=2 * SCALE.fine_rate)},
        {"steps": 2 * PIECE},
        {"seeds": cohort.seeds("again")},
        {"task": other},
        {"network": cohort.initial("small", "another")},
    ):
        with pytest.raises(AssertionError, match="trained again"):
            end(**changed)


def test_an_interrupted_rise_to_the_plateau_goes_on_where_it_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = Protocol(rates=(0.02, 0.01), batch=2, times=(0.08, 0.4), runs=2, points=16)
    cohort = Cohort("pcfg", TINY, 3, store=RunStore(tmp_path))
    start, another = cohort.initial("small", "pretraining"), cohort.initial("small", "another")
    reference, other = (Reference.each(contexts_of(cohort, points)) for points in (16, 8))

    def rise(changed: Protocol = protocol, labels: Labels = "sampled", at: Network = start) -> Tensor:
        return risen(cohort, at, reference, changed, labels)

    found, interruptions = with_interruptions(cohort, rise, monkeypatch)
    assert interruptions == 2 + 3 - 1  # pieces to steps 4 and 20; 8, 24 and 40
    assert found.equal(risen(Cohort("pcfg", TINY, 3), start, reference, protocol, "sampled"))
    monkeypatch.setattr(Trainer, "run", never)
    assert rise().equal(found)
    others: list[Callable[[], Tensor]] = [
        lambda: rise(replace(protocol, rates=(0.04, 0.02))),
        lambda: rise(replace(protocol, batch=4)),
        lambda: rise(replace(protocol, times=(0.08, 0.8))),
        lambda: rise(replace(protocol, runs=1)),
        lambda: rise(labels="soft"),
        lambda: rise(at=another),
        lambda: risen(cohort, start, other, protocol, "sampled"),
        lambda: risen(Cohort("pcfg", TINY, 4, store=RunStore(tmp_path)), start, reference, protocol, "sampled"),
    ]
    for trained in others:
        with pytest.raises(AssertionError, match="trained again"):
            trained()


@pytest.mark.parametrize("members", [1, 2])
def test_stored_divergences_of_claims_are_still_ones(tmp_path: Path, members: int) -> None:
    cohort = Cohort("hmm-mixture", replace(TINY, members=members), 3, store=RunStore(tmp_path))
    network = cohort.initial("small", "pretraining")
    task, _ = Task.components(cohort.languages, 32, cohort.seeds("reference", again=True))
    wild = replace(anneal(SCALE), rate=(1e9, 1e-3)[:members])
    hot = Protocol(rates=(1e5, 5e4), batch=2, times=(1e6, 2e6), runs=1, points=16)
    for _ in range(2):
        with pytest.raises(TaskDivergedError, match=r"seed .* diverged at .*; lower the "):
            end_of(network, task, wild, PIECE, cohort.seeds("both", again=True), cohort=cohort)
        with pytest.raises(CohortDivergedError, match=r"family hmm-mixture, labels soft: .* diverged .*; lower"):
            risen(cohort, network, Reference.each(contexts_of(cohort, 16)), hot, "soft")


@pytest.mark.parametrize(
    ("profile", "asked", "kept"),
    [("default", None, False), ("default", "small", True), ("quick", "medium", True), ("full", None, True)],
)
def test_only_runs_that_ask_for_a_scale_or_are_full_owe_something_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: Profile, asked: str | None, kept: bool
) -> None:
    sizes = {name: replace(SCALE, name=name, families=("hmm",), anneal=PIECE) for name in SCALES}
    monkeypatch.setattr(scale, "SCALES", sizes)
    monkeypatch.setattr(laboratory, "default_root", lambda: tmp_path)
    laboratory.benches_of.cache_clear()
    trial = Trial(CLAIMS["closeness-predicts"], Settings(profile, root_seed=3, scale=asked))
    (found,) = laboratory.trained(trial, ["base"], lambda bench: bench.cohort.scale.name, "small")
    laboratory.benches_of.cache_clear()
    assert found == "small"
    assert len(RunStore(tmp_path).digests()) == (1 if kept else 0)


def test_a_finished_measurement_is_taken_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = replace(SCALE, evaluations=("fine-tuning",))
    afresh = Bench(Cohort("hmm", scale, 3))
    expected = found_by(afresh)
    kept = found_by(Bench(Cohort("hmm", scale, 3, store=RunStore(tmp_path))))
    monkeypatch.setattr("verify.cohorts.bench.sharpness", again)
    monkeypatch.setattr("verify.cohorts.plateau.law.fisher_spectrum", again)
    monkeypatch.setattr(Bench, "further_accuracy", again)
    stored = found_by(Bench(Cohort("hmm", scale, 3, store=RunStore(tmp_path))))
    assert kept.keys() == stored.keys() == expected.keys()
    for name, value in expected.items():
        assert kept[name].equal(value)
        assert stored[name].equal(value)
    # Another evaluation, other probes, other contexts and other networks are measured.
    other = Bench(Cohort("hmm", replace(scale, tested=scale.tested + 1), 3, store=RunStore(tmp_path)))
    with pytest.raises(AssertionError, match="again"):
        other.evaluated("fine-tuning", "base", other.cohort.path("base").raw())
    more = Bench(Cohort("hmm", replace(scale, probes=scale.probes + 1), 3, store=RunStore(tmp_path)))
    with pytest.raises(AssertionError, match="again"):
        more.sharpness(more.cohort.end("base"))
    with pytest.raises(AssertionError, match="again"):
        spectra_of(more.cohort, more.cohort.end("base"), contexts_of(more.cohort, 5))
    with pytest.raises(AssertionError, match="again"):
        more.evaluated("fine-tuning", "sampled", more.cohort.path("sampled").raw())


def found_by(bench: Bench) -> dict[str, Tensor]:
    """All that takes long to measure."""
    cohort = bench.cohort
    base = cohort.end("base")
    spectra = spectra_of(cohort, base, contexts_of(cohort, 4))
    return {
        **bench.sharpness(base).tensors(),
        "trace": bench.sharpness(base).trace,
        "fine-tuning": bench.evaluated("fine-tuning", "base", cohort.path("base").raw()),
        **{f"spectrum {k}": own for k, own in enumerate(spectra)},
    }


def again(*_: object, **__: object) -> Tensor:
    raise AssertionError("measured again")


def test_a_stopped_measurement_is_not_begun() -> None:
    cohort = Cohort("hmm", SCALE, 3)
    base = cohort.end("base")
    cohort.stopped.set()
    with pytest.raises(KeyboardInterrupt):
        Bench(cohort).sharpness(base)
