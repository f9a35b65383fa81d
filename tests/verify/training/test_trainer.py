"""The loop: as torch.optim would do it, resumed to the bit, member by member, with and without a diverged one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from synthetic.brackets import BracketLanguage
from tests.verify.training.examples import EPS, assert_same_tensors, small_language, small_network
from verify.networks.transformer import Transformer, TransformerConfig
from verify.training.adversary import Adversary
from verify.training.averaging import Averaging
from verify.training.config import ConfigurationError, Training
from verify.training.data import ExampleStream
from verify.training.diverged import AllDivergedError, ResumeError
from verify.training.labels import cross_entropy
from verify.training.optimisers import SGD, AdamW
from verify.training.schedules import Schedule
from verify.training.tables import context_table
from verify.training.trace_penalty import TracePenalty
from verify.training.trainer import Every, Trainer

LANGUAGE = small_language()
TABLE = context_table(LANGUAGE)
SEEDS = [5, 6, 7]
PLAIN = Training(0.1, 4, optimiser=SGD(), record_every=4, prefetch=3)


def trainer(config: Training = PLAIN, seeds: list[int] | int = SEEDS, **options: Any) -> Trainer:
    listed = [seeds] if isinstance(seeds, int) else seeds
    return Trainer(small_network(LANGUAGE, seeds), LANGUAGE, config, listed, **{"table": TABLE, **options})


def test_cross_library_the_whole_loop() -> None:
    """Schedule, decay of matrices alone, heavy ball and the curve, against torch.optim on the same examples."""
    seed, steps, rate, decay = 5, 12, 0.2, 0.1
    schedule = Schedule("cosine", warmup=3, hold=4, steps=10, final=0.1)
    config = Training(rate, 4, optimiser=SGD(0.9, decay), schedule=schedule, precision="float64", record_every=3)
    found = trainer(config, seed)
    found.run(steps)
    reference = small_network(LANGUAGE, seed).double()
    examples = ExampleStream(LANGUAGE, TABLE, [seed], stack=(), batch=4)
    matrices = [p for p in reference.parameters() if p.ndim == 2]
    vectors = [p for p in reference.parameters() if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": decay}, {"params": vectors}]
    optimiser = torch.optim.SGD(groups, lr=rate, momentum=0.9)
    factors = torch.optim.lr_scheduler.LambdaLR(optimiser, schedule.factor)
    losses = []
    for _ in range(steps):
        batch = examples.next()
        loss = cross_entropy(reference(batch.contexts), batch.targets)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        factors.step()
        losses.append(float(loss.detach()))
    # A gradient errs by at most 10⁴ roundings; errors of a step grow by less than 1 + rate/(1 − momentum) · 1 a step.
    bound = 1e4 * EPS * steps * 3**steps
    assert bound < 1e-4
    for own, other in zip(found.network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=bound)
    torch.testing.assert_close(
        found.curve[:, 0], torch.tensor(losses, dtype=torch.float64).reshape(-1, 3).mean(1), rtol=0, atol=bound
    )


ALL_TERMS = replace(
    PLAIN,
    labels="isotropic",
    optimiser=AdamW(weight_decay=0.1),
    schedule=Schedule("linear", steps=20),
    average=Averaging(2, 3, 0.9),
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


@pytest.mark.parametrize("labels", ["sampled", "isotropic"])
def test_property_members_train_as_they_would_alone(labels: Any) -> None:
    """To rounding: a product of three matrices at once adds up in another order than one at a time."""
    steps = 8
    config = replace(PLAIN, labels=labels, precision="float64", rate=(0.1, 0.05, 0.2))
    together = trainer(config)
    together.run(steps)
    for member, seed in enumerate(SEEDS):
        assert isinstance(config.rate, tuple)
        for kind in (seed, [seed]):
            alone = trainer(replace(config, rate=config.rate[member]), kind)
            alone.run(steps)
            # A gradient errs by at most 10⁴ roundings, and errors grow by less than a factor two a step.
            bound = 1e4 * EPS * steps * 2**steps
            torch.testing.assert_close(together.theta[member], alone.theta[0], rtol=0, atol=bound)
            torch.testing.assert_close(together.curve[:, member], alone.curve[:, 0], rtol=0, atol=bound)


@pytest.mark.parametrize(("rate", "optimiser"), [(1e3, SGD()), (1e30, SGD(0.9)), (1e30, AdamW())])
def test_enumeration_one_member_diverges(rate: float, optimiser: SGD | AdamW) -> None:
    config = replace(PLAIN, optimiser=optimiser, average=Averaging())
    sane, mad = (trainer(replace(config, rate=(0.1, middle, 0.1))) for middle in (0.1, rate))
    sane.run(10)
    mad.run(10)
    assert sane.divergences == ()
    (end,) = mad.divergences
    assert mad.alive.tolist() == [True, False, True]
    assert (end.seed, end.member, end.bound) == (6, 1, 10 * math.log(3))
    assert not end.loss <= end.bound
    for own, other in ((mad.theta, sane.theta), (mad.average, sane.average), (mad.curve.mT, sane.curve.mT)):
        assert torch.equal(own[[0, 2]], other[[0, 2]])
    # The last good parameters, and the average of the good ones: those of a run that ended there.
    short = trainer(replace(config, rate=(0.1, rate, 0.1)))
    history: list[Tensor] = []
    short.run(end.step - 1, [Every(1, lambda current: history.append(current.theta[1].double()))])
    kept = short.theta if end.step > 1 else trainer(config).theta
    assert torch.equal(mad.theta[1], kept[1])
    good = torch.stack(history or [kept[1].double()]).mean(0)
    torch.testing.assert_close(mad.average[1], good, rtol=0, atol=40 * EPS * float(good.abs().max()))
    assert torch.isnan(mad.curve[end.step // 4 :, 1]).all()
    assert f"seed 6 (member 1) diverged at step {end.step}: loss" in str(end)
    assert f"the parameters of step {end.step - 1} are kept" in str(end)


def test_divergence_is_seen_at_once_and_survives_a_restart() -> None:
    mad = trainer(replace(PLAIN, rate=(0.1, 1e3, 0.1), record_every=100))
    mad.run(5)
    (end,) = mad.divergences
    other = trainer(mad.config)
    other.restore(*mad.state())
    assert other.divergences == (end,)
    mad.run(9)
    other.run(9)
    assert_same_tensors(other.state()[0], mad.state()[0])


def test_property_a_state_between_a_bad_step_and_its_detection() -> None:
    """The last good parameters are part of the state: the loss that tells is measured after the restart."""
    config = replace(PLAIN, record_every=1)
    sane = trainer(config)
    sane.run(30)
    worst = int(sane.curve[:, 1].argmax())
    highest, second = sane.curve[:, 1].topk(2).values.tolist()
    strict = replace(config, loss_bound=(highest + second) / 2)
    whole, other = trainer(strict), trainer(strict)
    whole.run(worst)
    assert whole.step >= 2
    assert whole.alive[1]
    other.restore(*whole.state())
    whole.run(worst + 2)
    other.run(worst + 2)
    assert not whole.alive[1]
    assert_same_tensors(other.state()[0], whole.state()[0])


@pytest.mark.parametrize("record_every", [2, 100])
def test_all_diverged(record_every: int) -> None:
    start = trainer()
    lost = trainer(replace(PLAIN, loss_bound=1e-6, record_every=record_every))
    with pytest.raises(AllDivergedError, match=r"seed 5 .* at step 0: .*seed 7 .*step 0 are kept; lower the learning"):
        lost.run(10)
    assert lost.step == min(record_every, 10)
    assert torch.equal(lost.theta, start.theta)


def test_a_state_without_divergence_is_finite() -> None:
    healthy = trainer(ALL_TERMS)
    for steps in (0, 3):
        healthy.run(steps)
        assert all(bool(torch.isfinite(value).all()) for value in healthy.state()[0].values())


def test_hooks_are_called_at_their_steps_once() -> None:
    seen: list[tuple[str, int]] = []
    hooks = [Every(2, lambda t: seen.append(("two", t.step))), Every(3, lambda t: seen.append(("three", t.step)))]
    found = trainer()
    for until in (0, 4, 6, 6):
        found.run(until, hooks)
    expected = [(0, "two"), (0, "three"), (2, "two"), (3, "three"), (4, "two"), (6, "two"), (6, "three")]
    assert [(step, name) for name, step in seen] == expected
    with pytest.raises(ValueError, match="expected a measurement every steps >= 1, got 0"):
        Every(0, lambda _: None)


def test_property_the_given_network_is_left_alone_and_snapshots_are_copies() -> None:
    network = small_network(LANGUAGE, SEEDS)
    before = network.token.detach().clone()
    found = Trainer(network, LANGUAGE, PLAIN, SEEDS, table=TABLE)
    found.run(3)
    assert torch.equal(network.token, before)
    snapshot = found.snapshot()
    own = snapshot.get_parameter("token").detach().clone()
    assert own.dtype == torch.float64
    assert torch.equal(own, found.network.get_parameter("token").double())
    found.run(4)
    assert torch.equal(snapshot.get_parameter("token"), own)


def test_construction_errors() -> None:
    for seeds in ([5, 6], [5, 6, 6]):
        with pytest.raises(ValueError, match="expected 3 different seeds"):
            Trainer(small_network(LANGUAGE, SEEDS), LANGUAGE, PLAIN, seeds)
    with pytest.raises(ValueError, match="flatten the seeds to one axis"):
        Trainer(Transformer(TransformerConfig(3, 4), (2, 2)), LANGUAGE, PLAIN, [1, 2, 3, 4])
    with pytest.raises(ValueError, match="expected one learning rate or 3"):
        trainer(replace(PLAIN, rate=(0.1, 0.2)))
    with pytest.raises(ConfigurationError, match="expected a CUDA device"):
        trainer(replace(PLAIN, precision="bfloat16"))
    with pytest.raises(ConfigurationError, match="expected an adversary on a task of the language, got 'none'"):
        trainer(replace(PLAIN, adversary=Adversary(1.0, "none")))
    with pytest.raises(ValueError, match="expected a configuration that averages"):
        trainer().snapshot(averaged=True)


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
