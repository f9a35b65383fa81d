"""Random hidden Markov languages: their structure, moments, reproducibility and refusals."""

from collections.abc import Callable

import pytest
import torch

from synthetic.hmm import HMM, block_hmm, dirichlet_hmm, sticky_hmm


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("build", [dirichlet_hmm, sticky_hmm, block_hmm])
def test_one_seed_gives_one_model_of_the_size_asked_for(build: Callable[..., HMM]) -> None:
    state = torch.get_rng_state()
    one, same, other = (build(generator(seed), 10, 7, 4) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert (one.n_states, one.n_tokens, one.length) == (10, 7, 4)
    assert torch.equal(one.transition, same.transition)
    assert torch.equal(one.emission, same.emission)
    assert not torch.equal(one.emission, other.emission)
    paper = build(generator())
    assert (paper.n_states, paper.n_tokens, paper.length) == (100, 200, 16)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_closed_form_second_moment_of_a_dirichlet_row(alpha: float) -> None:
    # E p_k² = (α + 1) / (K (Kα + 1)); six standard errors of the mean over 200 rows.
    emission = dirichlet_hmm(generator(), 200, 20, 1, emission_concentration=alpha).emission
    expected = (alpha + 1) / (20 * alpha + 1)
    assert abs(float(emission.square().sum(1).mean()) - expected) < 6 * float(emission.square().sum(1).std()) / 200**0.5


def test_small_concentrations_leave_no_empty_row() -> None:
    language = dirichlet_hmm(generator(), 50, 20, 4, concentration=1e-3, emission_concentration=1e-3)
    assert (language.emission.amax(1) > 0.4).all()
    assert language.sample(10, generator()).shape == (10, 4)
    assert block_hmm(generator(), 20, 5, 4, concentration=1e-4, leave=0.0).groups is not None


def test_sticky_states_stay_and_blocks_hold() -> None:
    assert (sticky_hmm(generator(), 10, 5, 4, stay=0.8).transition.diagonal() >= 0.8).all()
    assert torch.equal(sticky_hmm(generator(), 3, 5, 4, stay=1.0).transition, torch.eye(3).double())
    transition = block_hmm(generator(), 10, 5, 4, blocks=3, leave=0.1).transition
    block = torch.arange(10) * 3 // 10
    outside = (transition * (block[:, None] != block[None, :])).sum(1)
    assert (outside <= 0.1 + 1e-15).all()
    assert (outside > 0).all()
    assert block_hmm(generator(), 10, 5, 4, blocks=3, leave=0.0).groups == tuple(block.tolist())


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1 of states, got 0"):
        dirichlet_hmm(generator(), 0, 2, 3)
    with pytest.raises(ValueError, match="expected at least 1 of tokens, got 0"):
        dirichlet_hmm(generator(), 2, 0, 3)
    for alpha in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected a concentration > 0"):
            dirichlet_hmm(generator(), 2, 2, 3, concentration=alpha)
    with pytest.raises(ValueError, match=r"expected stay in \[0, 1\], got 1\.5"):
        sticky_hmm(generator(), 2, 2, 3, stay=1.5)
    with pytest.raises(ValueError, match=r"expected leave in \[0, 1\], got -0\.1"):
        block_hmm(generator(), 2, 2, 3, blocks=1, leave=-0.1)
    with pytest.raises(ValueError, match=r"expected 1\.\.2 blocks for 2 states, got 3"):
        block_hmm(generator(), 2, 2, 3, blocks=3)
