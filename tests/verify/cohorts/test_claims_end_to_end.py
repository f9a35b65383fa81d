"""Every claim about trained networks from its arms to its evidence, on the families of the larger scales, tiny."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from theory.claims import CLAIMS
from verify import test_plateau_transformer
from verify.cohorts import laboratory, scale
from verify.cohorts.plateau_law import Protocol
from verify.evidence import ANY
from verify.trial import Settings, Trial

EMPIRICAL = (
    "noise-lowers-trace",
    "same-loss-different-transfer",
    "continued-training",
    "model-size",
    "algorithm",
    "flatness-predicts",
    "flatness-mediates",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Scales with their own families and next to nothing to train."""
    sizes = {
        name: replace(
            known,
            members=16,
            width=8,
            layers=1,
            heads=2,
            pretraining=12,
            batch=4,
            continuation=6,
            noisy_batch=2,
            intervention=4,
            descent=6,
            checkpoints=3,
            trace_examples=4,
            adversary_examples=256,
            reference=64,
            probes=2,
            labels=8,
            draws=4,
            tested=300,
        )
        for name, known in scale.SCALES.items()
    }
    folder: Path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scale, "SCALES", sizes)
        patch.setattr(laboratory, "SCALES", sizes)
        patch.setattr(laboratory, "default_root", lambda: folder)
        laboratory.cohorts_of.cache_clear()
        yield
    laboratory.cohorts_of.cache_clear()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("claim", EMPIRICAL)
def test_a_trial_at_medium_scale_ends_in_evidence_for_every_family(claim: str) -> None:
    module = importlib.import_module(f"verify.test_{claim.replace('-', '_')}")
    done: list[float] = []
    trial = Trial(CLAIMS[claim], Settings(root_seed=905, scale="medium"), done.append)
    getattr(module, f"test_{claim.replace('-', '_')}")(trial)
    evidence = trial.conclude()
    assert done[-1] == pytest.approx(1.0)
    assert evidence.expected == ANY
    for design in evidence.designs:
        own = [m for m in evidence.measurements if m.statistic == design.statistic]
        assert [m.parameters["language"] for m in own] == list(scale.SCALES["medium"].families)
        assert {m.parameters["scale"] for m in own} == {"medium"}
    assert len(evidence.controls) >= len(scale.SCALES["medium"].families)


@pytest.mark.usefixtures("tiny")
def test_the_plateau_law_is_tried_on_the_small_networks_and_recalled_below_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Protocol(rates=(0.02, 0.01), batch=2, times=(0.02, 0.04), replicas=1, points=16)
    monkeypatch.setattr(test_plateau_transformer, "PROTOCOL", short)
    done: list[float] = []
    trial = Trial(CLAIMS["plateau-transformer"], Settings(root_seed=905, scale="medium"), done.append)
    test_plateau_transformer.test_plateau_transformer(trial)
    evidence = trial.conclude()
    assert done[-1] == pytest.approx(1.0)
    assert [m.parameters["language"] for m in evidence.measurements] == ["hmm", "pcfg"]
    assert {m.parameters["scale"] for m in evidence.measurements} == {"small"}
    assert len(evidence.controls) == 6

    monkeypatch.setattr(test_plateau_transformer, "stored", lambda claim, run: {"medium": evidence}[run])
    for profile in ("quick", "default"):
        later = Trial(CLAIMS["plateau-transformer"], Settings(profile))
        test_plateau_transformer.test_plateau_transformer(later)
        assert later.recalled
        assert later.conclude() is evidence
