"""Property: a trainer restored anywhere goes on to the bit; a state of another trainer is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from synthetic.closed_form import BracketLanguage
from tests.verify.training.examples import assert_same_tensors
from tests.verify.training.trainers import LANGUAGE, PLAIN, SEEDS, TABLE, trainer
from verify.networks import Transformer, TransformerConfig
from verify.training import SGD, AdamW, Adversary, ResumeError, TracePenalty, Trainer
from verify.training.optimisers import Optimiser

ALL_TERMS = replace(
    PLAIN,
    labels="isotropic",
    optimiser=AdamW(weight_decay=0.1),
    decay=20,
    rate=(0.01, 0.02, 0.03),
)


OPTIMISERS: dict[str, SGD | AdamW] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "adamw": AdamW(),
    "adamw with decay": AdamW(weight_decay=0.1),
}


def test_every_optimiser_is_resumed_here() -> None:
    assert {type(own) for own in OPTIMISERS.values()} == set(Optimiser.__subclasses__())


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("decay", [0, 20])
def test_property_every_optimiser_goes_on_to_the_bit_from_every_step(name: str, decay: int) -> None:
    """Saved at each of 13 steps, and after a restart once more two steps later: as if nothing had happened."""
    config = replace(PLAIN, optimiser=OPTIMISERS[name], decay=decay, rate=(0.01, 0.02, 0.03))
    whole, states = trainer(config), []
    for step in range(14):
        whole.run(step)
        states.append(whole.state())
    # What is compared differs from step to step, and so does each part of the optimiser's own state.
    for part in (part for part in states[0][0] if part == "theta" or part.startswith("optimiser.")):
        assert len({tensors[part].numpy().tobytes() for tensors, _ in states}) == 14
    for saved in range(12):
        first, second = trainer(config), trainer(config)
        first.restore(*states[saved])
        first.run(saved + 2)
        assert_same_tensors(first.state()[0], states[saved + 2][0])
        second.restore(*first.state())
        second.run(13)
        assert_same_tensors(second.state()[0], states[13][0])
        assert second.state()[1] == states[13][1]


@pytest.mark.parametrize("name", ["momentum", "adamw"])
def test_mutant_an_optimiser_that_begins_afresh_is_another_run(name: str) -> None:
    config = replace(PLAIN, optimiser=OPTIMISERS[name])
    whole = trainer(config)
    whole.run(5)
    tensors, metadata = whole.state()
    whole.run(8)
    for part in (part for part in tensors if part.startswith("optimiser.")):
        other = trainer(config)
        other.restore({**tensors, part: torch.zeros_like(tensors[part])}, metadata)
        other.run(8)
        assert not torch.equal(whole.theta, other.theta), part
        with pytest.raises(ResumeError, match=f"without .'{part}'.; start a new run"):
            trainer(config).restore({key: value for key, value in tensors.items() if key != part}, metadata)


@pytest.mark.parametrize("saved", [0, 1, 3, 4, 7])
@pytest.mark.parametrize("table", [TABLE, None])
def test_property_a_restored_trainer_goes_on_to_the_bit(
    saved: int, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if table is None:
        monkeypatch.setattr("verify.training.tables.table_if_small", lambda _: None)
    whole = trainer(ALL_TERMS, table=table)
    whole.run(saved)
    tensors, metadata = whole.state()
    whole.run(11)
    other = trainer(ALL_TERMS, table=table)
    other.run(2)
    other.restore(tensors, metadata)
    assert other.step == saved
    assert_same_tensors(other.state()[0], tensors)
    other.run(11)
    assert_same_tensors(other.state()[0], whole.state()[0])
    assert other.state()[1] == whole.state()[1]


def test_property_resume_with_signs_and_an_adversary() -> None:
    language = BracketLanguage(4)
    task = sorted(language.downstream)[0]
    config = replace(
        ALL_TERMS, trace_penalty=TracePenalty(0.01, examples=2), adversary=Adversary(0.1, task, fitted=4, validated=4)
    )

    def fresh() -> Trainer:
        shape = TransformerConfig(language.n_tokens, language.length, width=4, layers=1, heads=1)
        network = Transformer(shape, (3,), [torch.Generator().manual_seed(seed) for seed in SEEDS])
        return Trainer(network, language, config, SEEDS)

    whole, other = fresh(), fresh()
    whole.run(5)
    other.restore(*whole.state())
    whole.run(9)
    other.run(9)
    assert_same_tensors(other.state()[0], whole.state()[0])


def test_mutant_a_state_without_the_place_in_a_block_is_another_run() -> None:
    whole, other = trainer(), trainer()
    whole.run(4)
    tensors, metadata = whole.state()
    other.restore(tensors, {**metadata, "places": {"examples": 0}})
    whole.run(5)
    other.run(5)
    assert not torch.equal(whole.theta, other.theta)


def test_property_a_state_between_a_bad_step_and_its_detection() -> None:
    """The last good parameters are part of the state: the loss that tells is measured after the restart."""
    config = replace(PLAIN, record_every=1)
    sane = trainer(config)
    sane.run(30)
    worst = int(sane.curve[:, 1].argmax())
    highest, second = sane.curve[:, 1].topk(2).values.tolist()
    whole, other = trainer(config), trainer(config)
    whole._bound = other._bound = (highest + second) / 2
    whole.run(worst)
    assert whole.step >= 2
    assert whole.alive[1]
    other.restore(*whole.state())
    whole.run(worst + 2)
    other.run(worst + 2)
    assert not whole.alive[1]
    assert_same_tensors(other.state()[0], whole.state()[0])


def test_states_of_other_trainers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors, metadata = trainer().state()
    others = {
        "seeds": trainer(seeds=[5, 6, 8]),
        "training": trainer(replace(PLAIN, rate=0.2)),
        "parameters": Trainer(Transformer(TransformerConfig(3, 4), (3,)), LANGUAGE, PLAIN, SEEDS, table=TABLE),
    }
    monkeypatch.setattr("verify.training.tables.table_if_small", lambda _: None)
    others["contexts in the table"] = trainer(table=None)
    for name, other in others.items():
        with pytest.raises(ResumeError, match=f"expected a state with {name} = .*; start a new run"):
            other.restore(tensors, metadata)
    with pytest.raises(ResumeError, match=r"without \['alive'\]; start a new run"):
        trainer().restore({name: value for name, value in tensors.items() if name != "alive"}, metadata)
    with pytest.raises(ResumeError, match=r"'theta': \(3, 2\)"):
        trainer().restore({**tensors, "theta": torch.zeros(3, 2)}, metadata)
