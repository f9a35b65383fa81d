"""Evidence: what is written is read back; what is not evidence is named; an interruption keeps what was written."""

import json
import math
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from verify.statistics import enclosure
from verify.trial import BadLine, Design, Evidence, Measurement, Networks, Reported, lines, read
from verify.trial.decision import decide
from verify.trial.evidence import SCHEMA, ControlOutcome, EvidenceFileError, append, check_writable

ROOT = Path(__file__).parents[3]


def design(statistic: str = "value", target: float = 1.0) -> Design:
    return Design(
        claim="product-model",
        prediction="one",
        target=target,
        delta=0.1,
        delta_refute=0.1,
        alpha=1e-4,
        power=0.99,
        n=1,
        statistic=statistic,
        bound="enclosure",
        spread=0.01,
        justification="a constant with a known rounding error",
        instances=2,
    )


def evidence() -> Evidence:
    declared = design()
    measured = [
        Measurement.of(decide(declared, enclosure(value, 0.01)), {"alpha": value, "B": 2}, 0.5)
        for value in (1.0, 1.004)
    ]
    control = ControlOutcome("off", "nothing holds", Measurement.of(decide(declared, enclosure(2.0, 0.01)), {}, None))
    return Evidence(
        claim="product-model",
        title="title",
        status="derived",
        verdict="supported",
        expected="supported",
        measurements=tuple(measured),
        controls=(control,),
        designs=(declared,),
        profile="quick",
        device="cpu",
        root_seed=3,
        seconds=0.5,
        versions={"python": "3.11"},
        hardware={"cores": 2},
        date="2026-01-01T00:00:00+00:00",
    )


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "evidence.jsonl"
    means = {"base": Reported(0.5, 0.4, 0.6), "largest class": Reported(0.3)}
    networks = Networks(
        language="hmm", scale="small", replicates=46, width=16, accuracies=means, beside=MappingProxyType(means)
    )
    of_networks = replace(evidence(), measurements=(replace(evidence().measurements[0], networks=networks),))
    append(path, evidence())
    append(path, of_networks)
    assert list(read(path)) == [evidence(), of_networks]


def test_what_schema_1_kept_among_the_parameters_has_fields_now() -> None:
    line = evidence().as_json()
    parameters = {
        "language": "hmm",
        "scale": "medium",
        "units": 54,
        "excess share": 0.05,
        "accuracy, base": 0.75,
        "accuracy, base: ±": 0.25,
        "many labels: mean difference": 0.5,
        "many labels: ±": 0.125,
        "pooled ρ given the excess": -0.5,
        "pooled ρ given the excess, low": -0.75,
        "pooled ρ given the excess, high": 0.25,
        "reliability of the exam's ranks": 0.875,
        "units without ranks": 0,
        "B": 8,
        "excess by": "polished",
    }
    for m in line["measurements"]:
        del m["networks"]
        m["parameters"] = parameters
        m["statistic"] = "accuracy mended inside units"
    for each in line["designs"]:
        each |= {"support": None, "statistic": "accuracy mended inside units"}
    del line["controls"][0]["measurement"]["networks"]
    found = Evidence.from_json({**line, "schema": 1})
    assert found.measurements[0].parameters == {"B": 8, "excess by": "polished"}
    assert found.design_of(found.measurements[0]).statistic == "accuracy recovered inside replicates"
    assert found.measurements[0].networks == Networks(
        language="hmm",
        scale="medium",
        replicates=54,
        excess_share=0.05,
        accuracies={"base": Reported(0.75, 0.5, 1.0)},
        evaluations={"many labels": Reported(0.5, 0.375, 0.625)},
        beside={
            "pooled ρ given the excess": Reported(-0.5, -0.75, 0.25),
            "reliability of the evaluation's ranks": Reported(0.875),
            "replicates without ranks": Reported(0.0),
        },
    )


def test_every_line_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    append(path, evidence())
    line = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name))
    assert line["controls"][0]["caught"] is True
    assert line["schema"] == SCHEMA


def test_a_line_cut_short_is_named_and_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    append(path, evidence())
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + whole[:50], encoding="utf-8")
    append(path, evidence())  # on a line of its own
    first, cut, last = lines(path)
    assert (first, last) == (evidence(), evidence())
    assert isinstance(cut, BadLine)
    assert str(cut).startswith(f"{path}, line 2: expected a JSON document, got ")
    assert "cut short or damaged: measure the claim again" in cut.reason
    given = read(path)
    assert [next(given), next(given)] == [evidence(), evidence()]
    with pytest.raises(ValueError, match="line 2"):
        next(given)


def test_lines_that_are_empty_too_long_or_hold_other_line_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evidence.jsonl"
    titled = replace(evidence(), title="a\u2028b\x85c")
    append(path, titled)
    with path.open("a") as file:
        file.write("\n  \n" + "x" * 9000 + "\n")
    append(path, evidence())
    monkeypatch.setattr("verify.trial.evidence.LARGEST_LINE", 4096)
    first, long, last = lines(path)
    assert (first, last) == (titled, evidence())
    assert isinstance(long, BadLine)
    assert (long.number, long.reason) == (4, "expected at most 4096 bytes; remove the line, measure again")


def test_numbers_that_are_not_finite_come_back(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    wide = replace(evidence().measurements[0], low=-math.inf, high=math.inf)
    append(path, replace(evidence(), measurements=(wide,)))
    assert next(read(path)).measurements == (wide,)


def test_a_full_disk_loses_nothing_that_was_written(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    append(path, evidence())
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(EvidenceFileError, match=r"expected to append evidence to .*File too large; make room"):
            append(path, evidence())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    append(path, evidence())
    assert len(list(read(path))) == 2


def test_a_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path, Path(__file__) / "evidence.jsonl"):
        with pytest.raises(EvidenceFileError, match="or name another file"):
            check_writable(path)
    command = [sys.executable, "-m", "pytest", "verify/claims/noise", "-k", "nothing", f"--evidence={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"expected to append evidence to {tmp_path}" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_runs_append_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    long = replace(evidence(), title="x" * 100_000)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: append(path, long), range(20)))
    assert list(read(path)) == [long] * 20


@pytest.mark.parametrize("change", [{"schema": 0}, {"claim": None, "surplus": 1}])
def test_foreign_lines_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "evidence.jsonl"
    path.write_text(json.dumps({**evidence().as_json(), **change}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"line 1.*measure again"):
        list(read(path))


def test_the_interval_is_widened_by_the_systematic_error() -> None:
    result = decide(design(), enclosure(1.0, 0.01), systematic=0.02)
    measured = Measurement.of(result, {}, None)
    assert measured.high == pytest.approx(1.03, abs=1e-12)
    assert measured.low == pytest.approx(0.97, abs=1e-12)


def test_the_headline_is_the_instance_that_reaches_farthest() -> None:
    assert evidence().headline.estimate == 1.004


def test_the_headline_of_a_one_sided_claim_is_the_instance_nearest_to_refutation() -> None:
    two_sided = evidence()
    low, high = (Measurement.of(decide(design(), enclosure(value, 0.01)), {}, None) for value in (0.99, 1.5))
    measurements = (low, high)
    assert replace(two_sided, measurements=measurements).headline is high
    one_sided = replace(two_sided, designs=(replace(design(), side="lower"),), measurements=measurements)
    assert one_sided.headline is low


def test_a_control_is_caught_only_by_refutation() -> None:
    unsure = Measurement.of(decide(design(), enclosure(1.05, 0.08)), {}, None)
    assert unsure.verdict == "inconclusive"
    assert not ControlOutcome("unsure", "nothing", unsure).caught
    assert math.isfinite(unsure.low)


def test_the_headline_is_of_the_design_that_decided() -> None:
    first, second = design("a"), design("b")
    fine = Measurement.of(decide(first, enclosure(1.0, 0.01)), {}, None)
    off = Measurement.of(decide(second, enclosure(1.5, 0.01)), {}, None)
    found = replace(evidence(), designs=(first, second), measurements=(fine, off), verdict="refuted")
    assert found.headline_design == second
    assert found.headline == off
    assert replace(found, verdict="supported").headline == fine
