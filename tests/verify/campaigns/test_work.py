"""Closed form and mutant: a run's rows are what a comparison measures; how a run ends is told, whatever happens."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.verify.campaigns.examples import written
from verify.campaigns import Run, finished, load, perform, progress, runs
from verify.cohorts import Bench, Cohort, Comparison
from verify.runs import RunStore


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runs(
        load(written(tmp_path, ("[3, 4]", "[3]"), ("tested = 16", 'tested = 16\nevaluations = ["many labels"]')))
    )[0]


def test_rows_are_what_a_comparison_measures(tmp_path: Path, run: Run) -> None:
    assert (finished(run, tmp_path / "store"), progress(run, tmp_path / "store")) == (None, 0)
    outcome = perform(run, tmp_path / "store")
    assert outcome.status == "finished", outcome.report
    assert finished(run, tmp_path / "store") == outcome == perform(run, tmp_path / "store")
    assert outcome.content["whole"]
    assert progress(run, tmp_path / "store") == 1

    cohort = Cohort(run.family, run.scale, run.root_seed)
    compared = Comparison.of(Bench(cohort), run.conditions)
    found = outcome.content["rows"]
    assert [(row["condition"], row["member"]) for row in found] == [
        (name, k) for name in run.conditions for k in (0, 1)
    ]
    for name in run.conditions:
        own, raw = [row for row in found if row["condition"] == name], compared.raw(name)
        expected = {
            "excess": compared.points[name].excess,
            "accuracy": compared.accuracy(name),
            "trace": compared.sharpness(name).trace,
            "invariant": compared.sharpness(name).invariant,
            "raw_excess": raw.excess,
            "raw_accuracy": raw.accuracy,
            "accuracy, many labels": compared.further_accuracy("many labels", name),
            "learnable_gap": cohort.reference.learnable_gap,
            "chance": compared.bench.evaluation.chance,
            "accuracy_slope": torch.tensor(compared.bench.accuracy_slope, dtype=torch.float64),
        }
        for column, values in expected.items():
            assert [row[column] for row in own] == values.expand(2).tolist(), column
    told = {name: next(row for row in found if row["condition"] == name) for name in run.conditions}
    assert told["polished"]["slow_time"] == 0
    assert told["sampled"]["slow_time"] == pytest.approx(6 * 0.1**2 / 8)
    assert [told["sampled"][key] for key in ("start", "labels", "optimiser", "steps", "rate", "batch", "momentum")] == [
        *("base", "sampled", "sgd", 6, 0.1, 8, 0.0)
    ]
    assert len({row["language"] for row in found}) == 2


def test_conditions_that_another_campaign_trained_are_not_trained_again(tmp_path: Path, run: Run) -> None:
    Cohort(run.family, run.scale, run.root_seed, store=RunStore(tmp_path / "store")).end("base")
    outcome = perform(run, tmp_path / "store")
    assert outcome.status == "finished"
    assert not outcome.content["whole"]


def test_a_run_that_another_process_does_is_left_to_it(tmp_path: Path, run: Run) -> None:
    with RunStore(tmp_path).open(run.key):
        assert perform(run, tmp_path).status == "held"


def test_error_a_run_that_diverges_fails_and_says_why(tmp_path: Path, run: Run) -> None:
    wild = replace(run, scale=replace(run.scale, noisy_rate=1e30))
    outcome = perform(wild, tmp_path)
    assert outcome.status == "failed"
    assert outcome.report.startswith("CohortDivergedError: condition sampled of family hmm: ")
    assert finished(wild, tmp_path) is None
    assert "is recorded as diverged" in perform(wild, tmp_path).report


def test_error_a_worker_with_other_sources(tmp_path: Path, run: Run) -> None:
    sources = {**run.key.sources, "verify.training": "0" * 64}
    outcome = perform(replace(run, key=replace(run.key, sources=sources)), tmp_path)
    assert outcome.status == "failed"
    assert "expected the sources and libraries of the command, got another verify.training; let all" in outcome.report
    assert not list(tmp_path.glob("*/run.json"))


def test_mutant_a_result_that_is_corrupt_is_not_finished(tmp_path: Path, run: Run) -> None:
    perform(run, tmp_path)
    path = tmp_path / run.key.digest / "result.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert finished(run, tmp_path) is None
