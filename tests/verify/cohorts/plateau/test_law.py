"""The plateau law on networks: spectra against dense matrices, the law against dynamics, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from theory.claims import find
from verify.cohorts import FAMILIES, SCALES, Cohort, CohortDivergedError
from verify.cohorts.plateau import PlateauLaw, Protocol, fisher_spectrum
from verify.cohorts.plateau.law import law, risen
from verify.cohorts.plateau.spectrum import root_rows, systematic_sample
from verify.networks import Network, Transformer, TransformerConfig
from verify.training import ContextTable, Reference

EPS = torch.finfo(torch.float64).eps
TINY = replace(
    SCALES["small"], members=2, width=4, layers=1, heads=1, pretraining=8, checkpoints=2, reference=32, tested=32
)
SHORT = Protocol(rates=(0.02, 0.01), batch=2, times=(0.02, 0.04), runs=2, points=16)


@pytest.fixture(scope="module")
def table() -> ContextTable:
    found = FAMILIES["pcfg"].draw(7)[1]
    assert found is not None
    return found


@pytest.fixture(scope="module")
def network() -> Transformer:
    config = TransformerConfig(6, 4, width=4, layers=1, heads=1, mlp_ratio=2, padded=True)
    return Transformer(config, (), [torch.Generator().manual_seed(3)]).double()


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return Cohort("pcfg", TINY, 911)


def dense_fisher(network: Transformer, reference: Reference) -> Tensor:
    """Σ_x w Σ_y p ∇log p ∇log pᵀ, one gradient at a time."""
    leaves = list(network.parameters())
    log_prob = network(reference.contexts)
    total = torch.zeros(network.n_parameters(), network.n_parameters(), dtype=torch.float64)
    for x, weight in enumerate(reference.weight):
        for y in range(network.n_tokens):
            parts = torch.autograd.grad(log_prob[x, y], leaves, retain_graph=True)
            score = torch.cat([part.reshape(-1) for part in parts])
            total += weight * log_prob[x, y].detach().exp() * torch.outer(score, score)
    return total


@pytest.mark.parametrize(("points", "offsets"), [(16, 64), (512, 4)])  # contexts are hit once, or several times
def test_enumeration_of_offsets_gives_the_law_of_contexts(table: ContextTable, points: int, offsets: int) -> None:
    mean = torch.zeros_like(table.prob)
    for k in range(offsets):
        sample = systematic_sample(table, points, (k + 0.5) / offsets)
        assert float(sample.weight.sum()) == pytest.approx(1, abs=points * EPS)
        # one row of the table for each of the sample, as contexts are distinct
        row = (table.contexts == sample.contexts.unsqueeze(1)).all(-1).int().argmax(-1)
        assert sample.conditional.equal(table.conditional[row])
        mean[row] += sample.weight / offsets
    # an interval of length π holds within one of nmπ of the nm points
    assert float((mean - table.prob).abs().max()) <= (1 + 1e-9) / (points * offsets)


@pytest.mark.parametrize("points", [8, 200])  # fewer rows than parameters, and more
def test_enumeration_rows_and_eigenvalues_are_those_of_the_dense_matrix(
    network: Transformer, table: ContextTable, points: int
) -> None:
    reference = systematic_sample(table, points, 0.5)
    dense = dense_fisher(network, reference)
    rows = root_rows(network, reference)
    assert len(rows) == (network.n_tokens - 1) * len(reference.contexts)
    assert (len(rows) < network.n_parameters()) == (points == 8)
    size = float(dense.trace())
    # sums of so many products; a pass through the network has some hundred operations a number, each off by EPS
    assert float((rows.T @ rows - dense).abs().max()) <= (len(rows) + 200) * EPS * size
    expected = torch.linalg.eigvalsh(dense)
    for dtype in (torch.float64, torch.float32):
        found = fisher_spectrum(network, reference, dtype)
        kept = min(len(rows), len(dense))
        # Weyl: an eigenvalue moves by at most the norm of what the matrix moves
        bound = (network.n_parameters() + 200) * torch.finfo(dtype).eps * size
        assert float((found[-kept:] - expected[-kept:]).abs().max()) <= bound


def test_closed_form_the_law_is_the_sum_of_the_claims_predictions() -> None:
    spectrum = torch.tensor([0.0, 0.3, 2.0, 7.5], dtype=torch.float64)
    claim = find("plateau-transformer")
    for t, found in zip((1, 9), law(spectrum, 0.1, 8, (1, 9)), strict=True):
        expected = sum(claim.predict(eta=0.1, B=8, h=float(value), t=t) for value in spectrum[1:])
        assert float(found) == pytest.approx(expected, rel=64 * EPS)  # powers up to 18, then a sum of four


def quadratic(fisher: Tensor, noise: Tensor, rate: float, steps: int) -> float:
    """½ tr(F C) after some steps of δ ← δ − ηFδ + ηξ from δ = 0, with C = E δδᵀ and Cov ξ given: exact."""
    contraction = torch.eye(len(fisher), dtype=torch.float64) - rate * fisher
    covariance = torch.zeros_like(fisher)
    for _ in range(steps):
        covariance = contraction @ covariance @ contraction.T + rate**2 * noise
    return float((fisher @ covariance).trace()) / 2


def isotropic(fisher: Tensor) -> Tensor:
    """Noise of the same total variance in every direction alike."""
    return torch.eye(len(fisher), dtype=torch.float64) * fisher.trace() / len(fisher)


@pytest.mark.parametrize("steps", [1, 4, 40])
def test_enumeration_linear_dynamics_with_noise_f_over_b_follow_the_law(
    network: Transformer, table: ContextTable, steps: int
) -> None:
    fisher = dense_fisher(network, systematic_sample(table, 24, 0.5))
    spectrum = fisher_spectrum(network, systematic_sample(table, 24, 0.5), torch.float64)
    predicted = float(law(spectrum, 0.1, 8, (steps,)))
    # a step multiplies matrices of size P twice, none of which expands
    rounding = (2 * steps * len(fisher) + 200) * EPS
    assert predicted == pytest.approx(quadratic(fisher, fisher / 8, 0.1, steps), rel=rounding)


@pytest.mark.parametrize("noise", [lambda f: isotropic(f) / 8, lambda f: f / 4], ids=["isotropic", "half the batch"])
def test_mutant_other_noise_is_off_by_more_than_the_margin(
    network: Transformer, table: ContextTable, noise: Callable[[Tensor], Tensor]
) -> None:
    fisher = dense_fisher(network, systematic_sample(table, 24, 0.5))
    spectrum = fisher_spectrum(network, systematic_sample(table, 24, 0.5), torch.float64)
    predicted = float(law(spectrum, 0.1, 8, (32,)))
    assert abs(quadratic(fisher, noise(fisher), 0.1, 32) / predicted - 1) > 0.2


def test_closed_form_two_rates_take_out_what_is_linear() -> None:
    predicted = torch.tensor([[0.4, 0.2], [0.1, 0.05]], dtype=torch.float64)
    off = torch.tensor([[1.0], [0.25]]) * torch.tensor([0.3, -0.2])  # in proportion to the rates
    found = PlateauLaw(Protocol(), predicted, 2 * predicted, {"sampled": predicted * (1 + off)}, 0.0)
    assert torch.allclose(found.ratio(), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-7)  # off is float32
    assert torch.allclose(found.ratio(predicted=found.settled), torch.full((2,), 0.5).double(), rtol=0, atol=1e-7)


def test_closed_form_the_soft_run_and_what_falls_with_the_number_of_contexts_are_taken_away(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 2 + 16/n equal eigenvalues on n contexts the law for n → ∞ is that of 2."""
    excess = {"soft": torch.rand(2, 2, dtype=torch.float64), "sampled": torch.rand(2, 2, dtype=torch.float64)}

    def spectra(cohort: Cohort, network: Network, contexts: Sequence[Reference]) -> list[Tensor]:
        # The least weight of a systematic sample is 1/n.
        sizes = [2 + round(16 * float(own.weight.min())) for own in contexts]
        return [torch.full((size,), 0.3, dtype=torch.float64) for size in sizes]

    monkeypatch.setattr("verify.cohorts.plateau.law.spectra_of", spectra)
    monkeypatch.setattr("verify.cohorts.plateau.law.risen", lambda *asked: excess[asked[-1]])
    found = PlateauLaw.of(cohort, SHORT, ("sampled", "soft"))
    assert found.added["sampled"].equal(excess["sampled"] - excess["soft"])
    assert not found.added["soft"].any()
    for own, rate in zip(found.predicted, SHORT.rates, strict=True):
        expected = 2 * float(law(torch.tensor([0.3], dtype=torch.float64), rate, 2, SHORT.steps(rate)).sum())
        assert own.tolist() == pytest.approx([expected] * 2, rel=64 * EPS)
    assert found.context_error == pytest.approx(0.5, rel=64 * EPS)


def test_a_cohort_is_tried_with_every_kind_of_noise(cohort: Cohort) -> None:
    found = PlateauLaw.of(cohort, SHORT)
    assert found.predicted.shape == found.settled.shape == (2, 2)
    assert bool((found.predicted > 0).all())
    assert bool((found.predicted < found.settled).all())
    assert set(found.added) == {"sampled", "isotropic"}
    assert bool(torch.isfinite(found.ratio()).all())
    assert 0 <= found.context_error < 1
    again = PlateauLaw.of(Cohort("pcfg", TINY, 911), SHORT, ("sampled",))
    assert again.added["sampled"].equal(found.added["sampled"])


def test_runs_are_averaged_and_see_examples_of_their_own(cohort: Cohort) -> None:
    assert cohort.tables is not None
    reference = Reference.each([systematic_sample(own, 16, 0.5) for own in cohort.tables])
    start = cohort.end("base")
    one = risen(cohort, start, reference, replace(SHORT, runs=1), "sampled")
    two = risen(cohort, start, reference, SHORT, "sampled")
    assert not two.equal(one)
    three = risen(cohort, start, reference, replace(SHORT, runs=3), "sampled")
    # the third alone is positive, like any excess summed
    assert bool((3 * three - 2 * two > 0).all())


def test_errors_of_a_protocol() -> None:
    with pytest.raises(ValueError, match="larger one first"):
        Protocol(rates=(0.05, 0.1))
    with pytest.raises(ValueError, match="multiples of the rates"):
        Protocol(times=(0.15,))
    with pytest.raises(ValueError, match="rising times"):
        Protocol(times=(0.8, 0.4))
    with pytest.raises(ValueError, match="batch and runs >= 1"):
        Protocol(runs=0)


def test_errors_outside_the_domain(network: Transformer, table: ContextTable, cohort: Cohort) -> None:
    with pytest.raises(ValueError, match="below 2/η = 20"):
        law(torch.tensor([20.0], dtype=torch.float64), 0.1, 8, (1,))
    with pytest.raises(ValueError, match=r"offset in \[0, 1\)"):
        systematic_sample(table, 4, 1.0)
    with pytest.raises(ValueError, match="single network"):
        root_rows(cohort.end("base"), systematic_sample(table, 4, 0.5))


def test_error_of_a_family_that_is_not_written_out(monkeypatch: pytest.MonkeyPatch, cohort: Cohort) -> None:
    monkeypatch.setattr(cohort, "tables", None)
    with pytest.raises(ValueError, match="that can be written out, got family pcfg"):
        PlateauLaw.of(cohort, SHORT)


def test_error_of_runs_that_diverge_and_of_an_interruption(cohort: Cohort) -> None:
    assert cohort.tables is not None
    reference = Reference.each([systematic_sample(own, 16, 0.5) for own in cohort.tables])
    wild = Protocol(rates=(1e5, 5e4), batch=2, times=(1e6, 2e6), runs=1, points=16)
    with pytest.raises(CohortDivergedError, match=r"family pcfg, labels sampled: .*; lower the rates of the protocol"):
        risen(cohort, cohort.end("base"), reference, wild, "sampled")
    cohort.stopped.set()
    with pytest.raises(KeyboardInterrupt):
        risen(cohort, cohort.end("base"), reference, SHORT, "sampled")
    cohort.stopped.clear()
