"""Features, baselines and fine-tuning on a small network written out here."""

import math

import pytest
import torch
from torch import Tensor, nn

from synthetic.closed_form.brackets import BracketLanguage
from synthetic.closed_form.pairs import PairLanguage
from synthetic.tokens import MASK, PAD
from verify.downstream.baselines import conditional_features, projection_matrix, random_code, random_projection
from verify.downstream.features import (
    every_masked_state,
    masked_position_state,
    mean_state,
    unmasked_states,
    with_mask,
)
from verify.downstream.fine_tune import FineTuning, fine_tune
from verify.downstream.probe import ridge_probe
from verify.runs.failures import DivergedRunError


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Mixer(nn.Module):
    """Embeds tokens, mixes positions by one matrix, tanh: with a leading stack axis or without."""

    def __init__(self, n_tokens: int, length: int, width: int, stack: tuple[int, ...], seed: int) -> None:
        super().__init__()
        generator = stream(seed)
        self.embedding = nn.Parameter(torch.randn(*stack, n_tokens + 2, width, generator=generator))
        self.mixing = nn.Parameter(torch.randn(*stack, length, length, generator=generator))

    def states(self, inputs: Tensor) -> Tensor:
        one_hot = nn.functional.one_hot(inputs + 2, self.embedding.shape[-2]).to(self.embedding.dtype)
        return torch.tanh(self.mixing.unsqueeze(-3) @ (one_hot @ self.embedding.unsqueeze(-3)))

    def masked_state(self, inputs: Tensor) -> Tensor:
        at = (inputs == MASK).to(self.embedding.dtype).unsqueeze(-1)
        return (self.states(inputs) * at).sum(-2)


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
        torch.testing.assert_close(mean_state(NETWORK, INPUTS)[:, row], states[:, row, :length].mean(-2))
    torch.testing.assert_close(unmasked_states(NETWORK, INPUTS, [1]), states[:, :, 1])
    monkeypatch.setattr("verify.downstream.features.CHUNK_ON_CPU", 2)
    assert torch.equal(unmasked_states(NETWORK, INPUTS), found)
    with pytest.raises(ValueError, match="expected positions from 0 to 4"):
        unmasked_states(NETWORK, INPUTS, [5])


def test_masked_states_hide_the_token() -> None:
    other = INPUTS.clone()
    other[:, 1] = 1 - other[:, 1]
    masked = masked_position_state(NETWORK, INPUTS, 1)
    assert masked.shape == (2, 3, 3)
    assert torch.equal(masked, masked_position_state(NETWORK, other, 1))
    assert torch.equal(masked, masked_position_state(NETWORK, with_mask(INPUTS, 1)))
    every = every_masked_state(NETWORK, INPUTS)
    assert every.shape == (2, 3, 15)
    assert torch.equal(every[..., 3:6], masked)
    assert every[:, 1, 9:].abs().sum() == 0
    own = Mixer(2, 5, 3, (), 0)
    assert every_masked_state(own, INPUTS).shape == (3, 15)


@pytest.mark.parametrize("position", [None, 4, 7])
def test_a_mask_that_cannot_be_is_refused(position: int | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        with_mask(INPUTS, position)
    with pytest.raises(ValueError, match="without MASK"):
        every_masked_state(NETWORK, with_mask(INPUTS, 0))


@pytest.mark.parametrize("kind", ["gaussian", "orthonormal"])
def test_projections_keep_squared_norms_on_average(kind: str) -> None:
    matrix = projection_matrix(12, 5, stream(0), kind)  # type: ignore[arg-type]
    assert matrix.shape == (12, 5)
    if kind == "orthonormal":
        torch.testing.assert_close(matrix.mT @ matrix, torch.eye(5).double() * 12 / 5)
    x = torch.randn(4, 12, generator=stream(1))
    assert torch.equal(random_projection(x, 5, stream(0), kind), x.double() @ matrix)  # type: ignore[arg-type]
    unit = torch.eye(12)[:1]
    squares = torch.stack(
        [random_projection(unit, 5, stream(s), kind).square().sum() for s in range(400)]  # type: ignore[arg-type]
    )
    # Var = 2/5 at most (Gaussian); 6 standard errors of 400 draws.
    assert abs(float(squares.mean()) - 1) < 6 * math.sqrt(2 / 5 / 400)


def test_projection_errors() -> None:
    with pytest.raises(ValueError, match="a gaussian matrix may widen"):
        projection_matrix(3, 4, stream(0), "orthonormal")
    assert projection_matrix(3, 4, stream(0)).shape == (3, 4)


def test_the_true_conditional_as_features() -> None:
    language = PairLanguage(3, 1.5)
    task = language.downstream["pair-product"]
    drawn = task.sample(40, stream(0))
    prob = conditional_features(language, drawn.inputs)
    torch.testing.assert_close(prob, language.masked_conditional(drawn.inputs))
    # On the pair language p* is a function of z₁z₂: a probe on it is exact.
    found = ridge_probe(prob[:20], drawn.labels[:20], prob[20:], drawn.labels[20:], task.label_values)
    assert float(found.accuracy.estimate) == 1
    log = conditional_features(language, drawn.inputs, logarithm=True, floor=0.3)
    torch.testing.assert_close(log, prob.clamp(min=0.3).log())
    brackets = BracketLanguage(4)
    sentences = brackets.sample(5, stream(1))
    assert conditional_features(brackets, sentences).shape == (5, 4 * 2)
    mixed = drawn.inputs[:2].clone()
    mixed[0, -1] = 0
    with pytest.raises(ValueError, match="in every row or in none, got 1 of 2"):
        conditional_features(language, mixed)
    with pytest.raises(ValueError, match="0 < floor < 1"):
        conditional_features(language, drawn.inputs, floor=0.0)


def test_a_random_code_belongs_to_its_row_and_seed() -> None:
    codes = random_code(INPUTS, 6, 3)
    assert torch.equal(random_code(INPUTS.flip(0), 6, 3).flip(0), codes)
    assert torch.equal(random_code(INPUTS[[1, 1]], 6, 3), codes[[1, 1]])
    assert not torch.equal(random_code(INPUTS, 6, 4), codes)
    with pytest.raises(ValueError, match="dimension >= 1"):
        random_code(INPUTS, 0, 0)


def test_fine_tuning_learns_what_a_probe_cannot_and_leaves_the_network_alone() -> None:
    task = PairLanguage(4, 1.5).downstream["pair-product"]
    train, test = task.sample(128, stream(0)), task.sample(256, stream(1))
    network = Mixer(2, 5, 8, (2,), 1)
    before = [parameter.clone() for parameter in network.parameters()]
    settings = FineTuning(steps=150, batch=32, learning_rate=2e-2)
    found = fine_tune(
        network, train.inputs, train.labels, test.inputs, test.labels, task.label_values, stream(2), settings=settings
    )
    assert found.accuracy.estimate.min() > 0.95
    assert found.losses.shape == (150, 2)
    # ln 2 at the start, where the head is 0: rounding of float32.
    torch.testing.assert_close(found.losses[0], torch.full((2,), math.log(2)))
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    again = fine_tune(
        network, train.inputs, train.labels, test.inputs, test.labels, task.label_values, stream(2), settings=settings
    )
    assert torch.equal(found.losses, again.losses)


def test_members_of_a_stack_are_fine_tuned_independently() -> None:
    task = PairLanguage(4, 1.5).downstream["pair-product"]
    train = task.sample(64, stream(0))
    network = Mixer(2, 5, 4, (2,), 1).double()
    member = Mixer(2, 5, 4, (), 0).double()
    with torch.no_grad():
        for own, stacked in zip(member.parameters(), network.parameters(), strict=True):
            own.copy_(stacked[1])
    settings = FineTuning(steps=20)
    both, alone = (
        fine_tune(
            model,
            train.inputs,
            train.labels,
            train.inputs,
            train.labels,
            task.label_values,
            stream(3),
            settings=settings,
        )
        for model in (network, member)
    )
    torch.testing.assert_close(both.losses[:, 1], alone.losses, rtol=1e-8, atol=0)
    start = fine_tune(
        member,
        train.inputs,
        train.labels,
        train.inputs,
        train.labels,
        task.label_values,
        stream(3),
        settings=FineTuning(steps=0),
    )
    assert start.losses.shape == (0,)


def test_fine_tuning_errors() -> None:
    with pytest.raises(ValueError, match="expected steps >= 0"):
        FineTuning(batch=0)
    task = PairLanguage(4, 1.5).downstream["pair-product"]
    train = task.sample(8, stream(0))
    network = Mixer(2, 5, 4, (), 1)
    with torch.no_grad():
        network.mixing.fill_(math.nan)
    with pytest.raises(DivergedRunError, match="at step 0; use a smaller learning rate"):
        fine_tune(network, train.inputs, train.labels, train.inputs, train.labels, task.label_values, stream(0))
