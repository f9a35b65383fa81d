"""Integration: a stack trained on pairs; its features are what its head reads, and a probe finds the label in them."""

from __future__ import annotations

import math

import torch

from synthetic.closed_form.pairs import PairLanguage
from synthetic.tokens import mask
from tests.verify.training.examples import stream
from verify.downstream.features import every_masked_state, masked_position_state, mean_state, unmasked_states
from verify.downstream.probe import ridge_probe
from verify.networks.transformer import Transformer, TransformerConfig
from verify.training.config import Training
from verify.training.excess import Reference, excess_loss
from verify.training.lookup import LookupTable
from verify.training.schedules import Schedule
from verify.training.tables import context_table
from verify.training.trainer import Trainer

LANGUAGE = PairLanguage(3, 2.0)
TABLE = context_table(LANGUAGE)
TASK = LANGUAGE.downstream["pair-product"]
SEEDS = [0, 1]


def test_the_features_of_a_trained_stack() -> None:
    config = TransformerConfig(LANGUAGE.n_tokens, LANGUAGE.length, width=8, layers=2, heads=2, mlp_ratio=2)
    network = Transformer(config, (2,), [stream(seed) for seed in SEEDS])
    training = Training(0.02, 32, "soft", schedule=Schedule("linear", steps=300))
    trainer = Trainer(network, LANGUAGE, training, SEEDS, table=TABLE)
    trainer.run(300)
    trained = trainer.snapshot()
    excess = excess_loss(trained, Reference.enumerated(TABLE))
    # KL(p* ‖ p) ≥ KL(p* ‖ 1/2) wherever p answers the wrong token: below π times that, no context is answered wrongly.
    wrong = TABLE.prob * (math.log(2) - torch.special.entr(TABLE.conditional).sum(-1))
    assert bool((excess.estimate < wrong.min()).all())

    sample = TASK.sample(60, stream(9))
    answers = TASK.label(sample.inputs)
    state = masked_position_state(trained, sample.inputs)
    log_prob = torch.log_softmax(trained.head(state), -1)
    with torch.no_grad():
        assert torch.equal(log_prob, trained(sample.inputs))
    expected = LANGUAGE.masked_conditional(sample.inputs).argmax(-1)
    assert bool((log_prob.argmax(-1) == expected).all())

    train, test = slice(0, 30), slice(30, 60)
    found = ridge_probe(state[:, train], answers[train], state[:, test], answers[test], TASK.label_values)
    assert found.accuracy.estimate.tolist() == [1.0, 1.0]
    table = LookupTable(TABLE, "random", width=4, generator=stream(1)).masked_state(sample.inputs)
    assert table.shape == (60, 4)

    sentences = LANGUAGE.sample(20, stream(10))
    with torch.no_grad():
        states = trained.states(sentences)
    assert torch.equal(unmasked_states(trained, sentences), states.flatten(-2))
    torch.testing.assert_close(mean_state(trained, sentences), states.mean(-2), rtol=1e-14, atol=1e-14)
    every = every_masked_state(trained, sentences).reshape(2, 20, LANGUAGE.length, 8)
    for t in range(LANGUAGE.length):
        with torch.no_grad():
            own = trained.masked_state(mask(sentences, torch.full((20,), t)))
        assert torch.equal(every[..., t, :], own)
