"""Features and baselines, on a small network written out here."""

import math

import pytest
import torch

from synthetic import MASK, PAD
from synthetic.closed_form import BracketLanguage, PairLanguage
from tests.verify.downstream.networks import Mixer, stream
from verify.downstream import (
    alignment,
    conditional_features,
    every_masked_state,
    random_code,
    random_projection,
    unmasked_states,
)
from verify.downstream.baselines import LOG_FLOOR

NETWORK = Mixer(2, 5, 3, (2,), 0)
INPUTS = torch.tensor([[0, 1, 1, 0, 1], [1, 1, 0, PAD, PAD], [0, 0, 1, 1, PAD]])


def test_enumeration_states_side_by_side_with_padding_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    states = NETWORK.states(INPUTS).detach()
    found = unmasked_states(NETWORK, INPUTS)
    assert found.shape == (2, 3, 15)
    assert not found.requires_grad
    for row, length in enumerate([5, 3, 4]):
        torch.testing.assert_close(found[:, row, : 3 * length], states[:, row, :length].flatten(-2))
        assert found[:, row, 3 * length :].abs().sum() == 0
    monkeypatch.setattr("verify.downstream.features.CHUNK_ON_CPU", 2)
    assert torch.equal(unmasked_states(NETWORK, INPUTS), found)


def test_masked_states_hide_the_token() -> None:
    other, masked = INPUTS.clone(), INPUTS.clone()
    other[:, 1], masked[:, 1] = 1 - other[:, 1], MASK
    every = every_masked_state(NETWORK, INPUTS)
    assert every.shape == (2, 3, 15)
    assert torch.equal(every[..., 3:6], NETWORK.masked_state(masked))
    assert torch.equal(every[..., 3:6], every_masked_state(NETWORK, other)[..., 3:6])
    assert every[:, 1, 9:].abs().sum() == 0
    assert every_masked_state(Mixer(2, 5, 3, (), 0), INPUTS).shape == (3, 15)
    with pytest.raises(ValueError, match="without MASK"):
        every_masked_state(NETWORK, masked)


def test_projections_keep_squared_norms_on_average() -> None:
    unit = torch.eye(12)[:1]
    squares = torch.stack([random_projection(unit, 5, stream(seed)).square().sum() for seed in range(400)])
    # Var = 2/5; 6 standard errors of 400 draws.
    assert abs(float(squares.mean()) - 1) < 6 * math.sqrt(2 / 5 / 400)
    stack = torch.randn(2, 4, 12, generator=stream(1))
    both = random_projection(stack, 5, stream(0))
    torch.testing.assert_close(both[1], random_projection(stack[1], 5, stream(0)))


def test_the_true_conditional_as_features() -> None:
    language = PairLanguage(3, 1.5)
    sentences = language.sample(5, stream(1))
    prob = conditional_features(language, sentences)
    torch.testing.assert_close(prob, language.masked_conditionals(sentences).flatten(1))
    log = conditional_features(language, sentences, logarithm=True)
    rows = prob.reshape(5, -1, language.n_tokens).sum(-1, keepdim=True) > 0
    expected = prob.clamp(min=LOG_FLOOR).log().reshape(5, -1, language.n_tokens) * rows
    torch.testing.assert_close(log, expected.flatten(1))
    brackets = BracketLanguage(4)
    assert conditional_features(brackets, brackets.sample(5, stream(1))).shape == (5, 4 * 2)


def test_a_random_code_belongs_to_its_row_and_seed() -> None:
    codes = random_code(INPUTS, 6, 3)
    assert torch.equal(random_code(INPUTS.flip(0), 6, 3).flip(0), codes)
    assert torch.equal(random_code(INPUTS[[1, 1]], 6, 3), codes[[1, 1]])
    assert not torch.equal(random_code(INPUTS, 6, 4), codes)


def test_closed_form_alignment_of_features() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    torch.testing.assert_close(alignment(x, -2 * x @ turned + 5), torch.ones(2, dtype=torch.float64))
    # Kernels of two contrasts of four examples that are orthogonal, and of one of them beside both.
    contrasts = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert float(alignment(contrasts[:, :1], contrasts[:, 1:])) == 0
    assert float(alignment(contrasts, contrasts[:, 1:])) == pytest.approx(2**-0.5)
