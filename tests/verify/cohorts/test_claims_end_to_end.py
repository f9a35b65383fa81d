"""Every claim about trained networks from training to evidence, on the families of the larger scales, tiny."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.verify.cohorts.examples import TINY
from theory.claims import CLAIMS
from verify.claims import experiment
from verify.claims.language_models import test_closeness_predicts, test_noise_is_a_penalty, test_plateau_transformer
from verify.cohorts import Bench, Cohort, Comparison, evaluations, laboratory, scale
from verify.cohorts.path import Point
from verify.cohorts.plateau import Protocol
from verify.downstream import FineTuning
from verify.environment import Settings
from verify.trial import Design, Evidence, Trial
from verify.trial.evidence import ANY

EMPIRICAL = (
    "noise-lowers-trace",
    "same-loss-different-transfer",
    "continued-training",
    "model-size",
    "algorithm",
    "flatness-predicts",
    "flatness-mediates",
)

EVALUATED = {
    "same-loss-different-transfer": "accuracy of AdamW − accuracy of the adversarial algorithm",
    "continued-training": "accuracy after SGD on sampled labels − accuracy at convergence",
    "algorithm": "accuracy of AdamW − accuracy of the adversarial algorithm",
    "flatness-mediates": "accuracy, tr F penalised − accuracy, tr F rewarded",
}
"""The statistic beside which the differences in further evaluations are recorded."""


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
            anneal=6,
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
        patch.setattr(evaluations, "FINE_TUNING", FineTuning(steps=2))
        patch.setattr(laboratory, "default_root", lambda: folder)
        laboratory.benches_of.cache_clear()
        yield
    laboratory.benches_of.cache_clear()


def tried(claim: str, asked: str, done: list[float]) -> Evidence:
    """Put a claim on trial at a scale."""
    name = f"test_{CLAIMS[claim].module}"
    trial = Trial(CLAIMS[claim], Settings(root_seed=905, scale=asked), done.append)
    getattr(experiment(CLAIMS[claim]), name)(trial)
    return trial.conclude()


def languages(evidence: Evidence, design: Design) -> list[str]:
    """Return the languages that a design decided, in order."""
    return [networks.language for m, networks in evidence.about_networks if m.statistic == design.statistic]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("claim", EMPIRICAL)
def test_a_trial_at_medium_scale_ends_in_evidence_for_every_family(claim: str) -> None:
    done: list[float] = []
    evidence = tried(claim, "medium", done)
    assert done[-1] == pytest.approx(1.0)
    assert evidence.expected == ANY
    for design in evidence.designs:
        assert languages(evidence, design) == list(scale.SCALES["medium"].families)
    assert evidence.scales == {"medium"}
    assert len(evidence.controls) >= len(scale.SCALES["medium"].families)
    for m, networks in evidence.about_networks:
        assert networks.evaluations.keys() == (
            set(evaluations.EVALUATIONS) if m.statistic == EVALUATED.get(claim) else set()
        )
    recoveries = {"gain by adam", "ln(tr F, adam ÷ isotropic)"}
    shown = [
        recoveries <= networks.beside.keys() for m, networks in evidence.about_networks if "recovered" in m.statistic
    ]
    assert shown == [True] * (len(scale.SCALES["medium"].families) if claim == "flatness-mediates" else 0)


@pytest.mark.usefixtures("tiny")
def test_the_fall_of_the_trace_is_the_sum_of_what_is_of_the_function_and_what_is_of_scales() -> None:
    for measurement, networks in tried("noise-lowers-trace", "medium", []).about_networks:
        function, orbit = (networks.beside[f"ln(tr F ratio), {part} part"].value for part in ("function", "orbit"))
        assert function + orbit == pytest.approx(measurement.estimate, abs=1e-12)
        assert (abs(orbit) < 1e-12) == ("lstm" in networks.language)  # it has no such symmetries


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("claim", ["noise-lowers-trace", "continued-training"])
def test_a_long_continuation_is_compared_with_a_minimum_that_was_brought_down_as_well(claim: str) -> None:
    evidence = tried(claim, "long", [])
    compared = "polished" if claim == "continued-training" else "soft"
    for _, networks in evidence.about_networks:
        assert all(networks.beside[f"raw excess share, {condition}"].value > 0 for condition in ("sampled", compared))
        assert {"raw gain", "raw ln(tr F ratio)"} <= networks.beside.keys()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("claim", "family"), [("algorithm", "hmm-lstm"), ("continued-training", "hmm-lstm"), ("flatness-mediates", "pcfg")]
)
def test_a_trial_at_small_scale_has_no_further_evaluations_or_recoveries(claim: str, family: str) -> None:
    evidence = tried(claim, f"small:{family}", [])
    for _, networks in evidence.about_networks:
        assert networks.language == family
        assert not networks.evaluations
        assert not any("adam" in key for key in networks.beside)


@pytest.mark.usefixtures("tiny")
def test_the_plateau_law_is_tried_on_the_small_networks_and_taken_from_the_store_below_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = Protocol(rates=(0.02, 0.01), batch=2, times=(0.02, 0.04), runs=1, points=16)
    monkeypatch.setattr(test_plateau_transformer, "PROTOCOL", short)
    done: list[float] = []
    trial = Trial(CLAIMS["plateau-transformer"], Settings(root_seed=905, scale="medium"), done.append)
    test_plateau_transformer.test_plateau_transformer(trial)
    evidence = trial.conclude()
    assert done[-1] == pytest.approx(1.0)
    assert languages(evidence, evidence.designs[0]) == ["hmm", "pcfg"]
    assert evidence.scales == {"small"}
    assert len(evidence.controls) == 6

    monkeypatch.setattr(test_plateau_transformer, "stored", lambda claim, run: {"medium": evidence}[run])
    for profile in ("quick", "default"):
        later = Trial(CLAIMS["plateau-transformer"], Settings(profile))
        test_plateau_transformer.test_plateau_transformer(later)
        assert later.uses_stored
        assert later.conclude() is evidence


@pytest.mark.usefixtures("tiny")
def test_closeness_is_tried_on_small_networks_of_mixtures_and_taken_from_the_store_below_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[float] = []
    evidence = tried("closeness-predicts", "medium", done)
    assert done[-1] == pytest.approx(1.0)
    for design in evidence.designs:
        assert languages(evidence, design) == ["hmm-mixture", "pcfg-mixture"]
    assert evidence.scales == {"small"}
    names = ["shuffled distances", "shuffled distances against tr F", "one language twice"]
    assert [control.name for control in evidence.controls] == 2 * names

    monkeypatch.setattr(test_closeness_predicts, "stored", lambda claim, run: {"medium": evidence}[run])
    for profile in ("quick", "default"):
        later = Trial(CLAIMS["closeness-predicts"], Settings(profile))
        test_closeness_predicts.test_closeness_predicts(later)
        assert later.uses_stored
        assert later.conclude() is evidence


@pytest.mark.usefixtures("tiny")
def test_noise_and_penalty_are_compared_on_small_networks_of_any_family_and_taken_from_the_store_below_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # After six steps eigenvalues rise as well as fall, which no weighted mean bears.
    monkeypatch.setattr(test_noise_is_a_penalty, "finite_rate", lambda comparison: torch.full((16,), 0.01).double())
    done: list[float] = []
    evidence = tried("noise-is-a-penalty", "small:pcfg,hmm-lstm", done)
    assert done[-1] == pytest.approx(1.0)
    for design in evidence.designs:
        assert languages(evidence, design) == ["pcfg", "hmm-lstm"]
    names = ["half the penalty", "twice the penalty", "the largest class"]
    assert [control.name for control in evidence.controls] == 2 * names
    for m, networks in evidence.about_networks:
        if "tr F" in m.statistic:
            both = networks.beside["ln(tr F, sampled ÷ penalised)"].value
            assert m.estimate == pytest.approx(both - networks.beside["what the finite rate adds"].value)
    assert test_noise_is_a_penalty.networks("medium:hmm-medium") == "small"

    used: list[object] = []
    monkeypatch.setattr(test_noise_is_a_penalty, "stored", lambda claim, run: {"medium": evidence}[run])
    for profile in ("quick", "default"):
        later = Trial(CLAIMS["noise-is-a-penalty"], Settings(profile))
        monkeypatch.setattr(later, "use_stored", used.append)
        test_noise_is_a_penalty.test_noise_is_a_penalty(later)
        assert used.pop() is evidence


def test_closed_form_what_the_finite_rate_adds_to_one_eigenvalue_that_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only h = 2 → 1 falls, so that the share is that of h = 3/2; ln tr F answers ln λ by ln(½/1)/ln 4 = −½."""
    spectra = iter([[0.0, 1.0, 2.0], [0.0, 1.0, 1.0]])
    own = test_noise_is_a_penalty
    monkeypatch.setattr(own, "fisher_spectrum", lambda network, contexts: torch.tensor(next(spectra)).double())
    monkeypatch.setattr(own, "systematic_sample", lambda table, points, offset: None)
    cohort = Cohort("hmm", replace(TINY, members=1), 11)
    traces = {own.HALF: torch.tensor([1.0]).double(), own.DOUBLE: torch.tensor([0.5]).double()}
    nothing = torch.zeros(1)
    point = Point(cohort.initial("large", "pretraining"), nothing, nothing)
    monkeypatch.setattr(Comparison, "log_trace", lambda comparison, name: traces[name].log())
    share = CLAIMS["noise-is-a-penalty"].predict(eta=TINY.noisy_rate, h=1.5, t=TINY.continuation)
    found = own.finite_rate(Comparison(Bench(cohort), dict.fromkeys((own.STILL, own.PENALISED), point)))
    assert found.item() == pytest.approx(-math.log(share) / 2)
