"""A condition at several doses is one training, kept where it was asked for; and the scale of the initial weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.verify.cohorts.examples import TINY
from verify.cohorts import FAMILIES, Bench, Cohort
from verify.cohorts.cohort import UnknownConditionError
from verify.cohorts.conditions import Condition
from verify.networks import Network
from verify.runs import RunStore
from verify.training import SGD, Trainer, Training


@pytest.fixture
def steps_made(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    made, advance = [0], Trainer._advance

    def counted(self: Trainer) -> None:
        made[0] += 1
        advance(self)

    monkeypatch.setattr(Trainer, "_advance", counted)
    return lambda: made[0]


def same(first: Network, second: Network) -> bool:
    return all(a.equal(b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_longer_dose_goes_on_from_a_shorter_one_to_the_same_bits(steps_made: Callable[[], int]) -> None:
    cohort, alone = Cohort("hmm", TINY, 11), Cohort("hmm", TINY, 11)
    cohort.end("sampled@5")
    before = steps_made()
    # 20 is across a point of the training curve: its window is part of the state.
    longer = cohort.path("sampled@20")
    assert steps_made() - before == 15 + TINY.anneal
    assert longer.theta.equal(alone.path("sampled@20").theta)
    assert same(cohort.end("sampled@5"), alone.end("sampled@5"))
    assert not same(cohort.end("sampled@5"), cohort.end("sampled@20"))
    assert same(alone.end(f"sampled@{TINY.continuation}"), alone.end("sampled"))


def test_a_store_finds_doses_again_and_goes_on_from_them(tmp_path: Path, steps_made: Callable[[], int]) -> None:
    first = Cohort("pcfg", TINY, 3, store=RunStore(tmp_path))
    expected = [first.path(f"soft@{dose}").theta for dose in (5, 20)]
    made, again = steps_made(), Cohort("pcfg", TINY, 3, store=RunStore(tmp_path))
    assert all(again.path(f"soft@{dose}").theta.equal(own) for dose, own in zip((5, 20), expected, strict=True))
    assert steps_made() == made
    longest = again.path("soft@25")
    assert steps_made() - made == 5 + TINY.anneal
    assert longest.theta.equal(Cohort("pcfg", TINY, 3).path("soft@25").theta)


def test_a_falling_rate_falls_over_the_dose() -> None:
    cohort = Cohort("hmm", TINY, 11)
    own, longer = cohort.condition("flat"), cohort.condition("flat@9")
    assert longer == replace(own, steps=9, training=replace(own.training, decay=9))
    cohort.end("flat@9")  # a run of its own, that goes on from no other
    assert same(cohort.end("flat@12"), Cohort("hmm", TINY, 11).end("flat@12"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sampeld", "a condition among base,"),
        ("base@3", "goes on from another"),
        ("polished@3", "goes on from another"),
        *((f"sampled@{dose}", "number of steps from 1 on") for dose in ("", "0", "-1", "1.5", "03", "²")),
    ],
)
def test_error_no_such_dose(name: str, message: str) -> None:
    with pytest.raises(UnknownConditionError, match=message):
        Cohort("hmm", TINY, 11).condition(name)


def test_closed_form_slow_time() -> None:
    cohort = Cohort("hmm", replace(TINY, noisy_rate=0.2, noisy_batch=8), 11)
    assert cohort.slow_time("sampled@200") == pytest.approx(1.0, rel=1e-14)
    assert cohort.slow_time("sampled") == pytest.approx(TINY.continuation / 200, rel=1e-14)
    assert [cohort.slow_time(name) for name in ("base", "polished", "flat@7", "adversarial-adam")] == [0, 0, 0, 0]
    heavy = Training(rate=0.1, batch=4, optimiser=SGD(momentum=0.9), decay=2)
    # Rates 0.1 and 0.05: (0.1² + 0.05²)/(4 · 0.1²).
    assert Condition("base", "large", heavy, 2, "own").slow_time == pytest.approx(0.3125, rel=1e-14)


@pytest.mark.parametrize("family", ["hmm", "hmm-lstm"])
def test_the_initial_scale_multiplies_matrices_and_encodings_alone(family: str) -> None:
    one, three = (
        Cohort(family, replace(TINY, initial_scale=s), 11).initial("large", "pretraining") for s in (1.0, 3.0)
    )
    for (name, own), other in zip(one.named_parameters(), three.parameters(), strict=True):
        drawn = "bias" not in name and not name.endswith("gain")
        torch.testing.assert_close(other, 3 * own if drawn else own, rtol=1e-6, atol=0)
    assert FAMILIES[family].network == ("lstm" if family == "hmm-lstm" else "transformer")


def test_lazy_features_stay_those_before_training() -> None:
    bench = Bench(Cohort("hmm", TINY, 11))
    untrained = bench.untrained["large"]
    assert torch.allclose(bench.alignment(untrained), torch.ones(3, dtype=torch.float64), rtol=1e-12)
    trained = bench.alignment(bench.cohort.end("base"))
    assert bool(((trained > 0) & (trained < 0.9999)).all())
