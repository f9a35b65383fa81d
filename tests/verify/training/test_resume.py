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
from verify.training import AdamW, Adversary, ResumeError, TracePenalty, Trainer

ALL_TERMS = replace(
    PLAIN,
    labels="isotropic",
    optimiser=AdamW(weight_decay=0.1),
    decay=20,
    rate=(0.01, 0.02, 0.03),
)


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
