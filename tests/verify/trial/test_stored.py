"""Stored evidence: found by profile and device, or a clear error; kept for every claim by the present designs."""

from pathlib import Path

import pytest

from tests.verify.trial.test_report import at_scale
from theory.claims import CLAIMS
from verify.claims import experiment, outlook
from verify.trial import read, stored
from verify.trial.design import same_decisions
from verify.trial.evidence import ANY, append
from verify.trial.stored import NotStoredError, stored_file


def test_a_file_for_each_profile_and_kind_of_device() -> None:
    assert stored_file("default", "cpu").name == "default-cpu.jsonl"
    assert stored_file("full", "cuda:1").name == "full-cuda.jsonl"


def test_what_is_not_stored_is_an_error_with_the_command_that_measures_it() -> None:
    with pytest.raises(NotStoredError, match="flatproof run plateau --profile full"):
        stored.stored("plateau", "full", "cpu")


def test_evidence_of_another_scale_is_found_for_a_claim_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "FOLDER", tmp_path)
    small, medium = at_scale("small"), at_scale("medium")
    assert stored.at_other_scales(small) == []
    append(stored_file("medium", "cuda"), medium)
    assert stored.at_other_scales(small) == [medium]
    assert stored.at_other_scales(medium) == []


@pytest.mark.parametrize("claim", CLAIMS)
def test_stored_evidence_is_of_the_designs_as_they_stand(claim: str) -> None:
    module = experiment(CLAIMS[claim])
    assert same_decisions(stored.stored(claim).designs, module.designs("default"))


@pytest.mark.parametrize("scale", ["long", "medium"])
def test_evidence_of_other_scales_is_of_the_designs_as_they_stand_with_every_control_caught(scale: str) -> None:
    found = list(read(stored_file(scale, "cpu")))
    assert len({item.claim for item in found}) == len(found)
    for item in found:
        module = experiment(CLAIMS[item.claim])
        assert same_decisions(item.designs, module.designs("default", scale))
        assert all(control.caught for control in item.controls)
        assert item.expected in {ANY, outlook(CLAIMS[item.claim]).expected}
