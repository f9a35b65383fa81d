"""Further evaluations: own sentences, members that do not depend on each other, closed forms, their interval."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from tests.verify.cohorts.examples import TINY
from verify.cohorts import EVALUATIONS, SCALES, Bench, Cohort, Comparison, Evaluation, evaluations, further_evaluations
from verify.cohorts.evaluations import MANY
from verify.cohorts.scale import EvaluationName
from verify.downstream import FineTuning
from verify.trial import Reported

EVALUATED = replace(TINY, evaluations=tuple(EVALUATIONS))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Cohort("pcfg", EVALUATED, 11))


@pytest.fixture(scope="module")
def cohort(bench: Bench) -> Cohort:
    return bench.cohort


@pytest.fixture(scope="module")
def states_of_hmms() -> Bench:
    """A task whose classes, one a state, all occur, the first one in every language."""
    return Bench(Cohort("hmm", replace(EVALUATED, tested=200), 11))


def evaluation_of(bench: Bench, name: EvaluationName) -> Evaluation:
    return bench.draw_evaluation(f"exam, {name}", many=EVALUATIONS[name].many, again=True)


def test_the_larger_scales_hold_all_evaluations_and_the_small_one_none() -> None:
    assert SCALES["small"].evaluations == ()
    assert set(SCALES["medium"].evaluations) == set(SCALES["paper"].evaluations) == EVALUATIONS.keys()


def test_every_evaluation_has_sentences_of_its_own(bench: Bench) -> None:
    found = [bench.evaluation, *(evaluation_of(bench, name) for name in EVALUATIONS)]
    sizes = [(evaluation.labels, evaluation.draws) for evaluation in found]
    assert sizes == [(TINY.labels, TINY.draws), (MANY, 1), (TINY.labels, TINY.draws), (MANY, 1)]
    for first in range(len(found)):
        for second in range(first):
            assert not found[first].inputs[:, :32].equal(found[second].inputs[:, :32])
    assert evaluation_of(bench, "many labels").inputs.equal(found[1].inputs)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_property_a_member_does_not_depend_on_the_others(bench: Bench, cohort: Cohort, name: EvaluationName) -> None:
    network = cohort.initial("large", "pretraining").double()
    evaluation = evaluation_of(bench, name)

    def streams() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in cohort.seeds("a test", again=True)]

    together = EVALUATIONS[name].grade(evaluation, network, streams())
    seed = cohort.seeds("initial", "pretraining", again=True)[1]
    generators = [torch.Generator().manual_seed(seed)]
    alone = cohort.family.networks(evaluation.inputs.shape[-1], width=4, layers=1, heads=2, generators=generators)
    own = replace(evaluation, inputs=evaluation.inputs[1:2], one_hot=evaluation.one_hot[1:2])
    assert EVALUATIONS[name].grade(own, alone.double(), streams()[1:2])[0] == together[1]


def test_closed_form_chance_is_the_share_of_the_largest_class_of_the_test_set() -> None:
    classes = torch.tensor([[0, 0, 0, 1, 1, 2]])
    inputs = torch.zeros(1, 6, 1, dtype=torch.int64)
    evaluation = Evaluation(inputs, torch.nn.functional.one_hot(classes).double(), labels=3, draws=1)
    assert evaluation.chance.tolist() == pytest.approx([2 / 3], rel=1e-15)


def test_masked_states_are_read_where_tokens_are_masked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(evaluations, "unmasked_states")
    assert bool((bench.further_accuracy("masked states", bench.cohort.initial("small", "pretraining")) > 0).all())


def test_closed_form_a_head_that_is_not_trained_answers_the_first_class(
    states_of_hmms: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = states_of_hmms
    monkeypatch.setattr(evaluations, "FINE_TUNING", FineTuning(steps=0))
    evaluation = evaluation_of(bench, "fine-tuning")
    found = bench.further_accuracy("fine-tuning", bench.cohort.initial("large", "pretraining"))
    assert found.equal(evaluation.one_hot[:, evaluation.learnt :, 0].mean(1))
    assert bool((found > 0).all())


@pytest.mark.parametrize(
    ("name", "alike"),
    [("masked states", ()), ("many labels", ()), ("many labels", (1, 5)), ("many labels", (0, 3, 4))],
)
def test_closed_form_states_that_are_the_classes_answer_every_one_and_two_that_look_alike_the_commoner(
    states_of_hmms: Bench, name: EvaluationName, alike: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = states_of_hmms
    evaluation = evaluation_of(bench, name)
    one_hot, learnt = evaluation.one_hot, evaluation.learnt
    shown = one_hot[:, :learnt].reshape(TINY.members, evaluation.draws, evaluation.labels, -1).sum(2)
    answered = shown > 0
    states = one_hot.clone()
    if alike:
        states[..., alike] = one_hot[..., alike].sum(-1, keepdim=True)
        counts = shown[..., alike]
        answered[..., alike] &= counts == counts.amax(-1, keepdim=True)
        assert bool((answered[..., alike].sum(-1) == 1).all())  # none is as common as another
    for kind in ("unmasked_states", "every_masked_state"):
        monkeypatch.setattr(evaluations, kind, lambda network, inputs: states)
    assert bool((one_hot.sum((0, 1)) > 0).all())  # every class is there
    expected = (one_hot[:, learnt:].mean(1) * answered.double().mean(1)).sum(-1)
    found = bench.further_accuracy(name, bench.cohort.initial("large", "pretraining"))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)  # sums of probabilities below a thousand roundings of 1
    assert bool((found < 1).all()) == bool(alike or name == "masked states")


def test_fine_tuning_learns_what_few_labels_do_not_show_and_leaves_the_network_alone(
    bench: Bench, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluations, "FINE_TUNING", FineTuning(steps=300, batch=32, learning_rate=1e-2))
    network = cohort.initial("large", "pretraining")
    before = [parameter.clone() for parameter in network.parameters()]
    tuned = bench.further_accuracy("fine-tuning", network)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert float(tuned.mean()) > float(bench.accuracy(network).mean())


def test_gains_are_shown_with_the_half_width_of_a_95_percent_interval(states_of_hmms: Bench) -> None:
    comparison = Comparison.of(states_of_hmms, ["base", "adversarial"], evaluated=["base", "adversarial"])
    shown = further_evaluations(comparison, "base", "adversarial")
    assert list(shown) == list(EVALUATIONS)
    for name in EVALUATIONS:
        gains = comparison.further_accuracy(name, "base") - comparison.further_accuracy(name, "adversarial")
        assert bool((gains != 0).any())
        interval = stats.ttest_1samp(gains.numpy(), 0.0).confidence_interval(0.95)
        assert shown[name].value == pytest.approx(float(gains.mean()), abs=1e-15)
        assert shown[name].half_width == pytest.approx((interval.high - interval.low) / 2, rel=1e-12)
    same = further_evaluations(comparison, "base", "base")
    assert set(same.values()) == {Reported(0.0, 0.0, 0.0)}


def test_a_condition_is_evaluated_once_at_each_point_whichever_claim_asks(
    bench: Bench, cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Comparison.of(bench, ["base", "adversarial"]).further_accuracy("many labels", "base")
    start = cohort.path("base").at(cohort.path("base").excess.amax(0))
    assert not start.checkpoint.equal(Comparison.of(bench, ["base", "adversarial"]).points["base"].checkpoint)
    earlier = bench.evaluated("many labels", "base", start)
    assert earlier.equal(bench.further_accuracy("many labels", start.network))

    def never(self: Bench, evaluation: EvaluationName, network: object) -> None:
        raise AssertionError("examined again")

    monkeypatch.setattr(Bench, "further_accuracy", never)
    again = Comparison.of(bench, ["adversarial", "base"]).further_accuracy("many labels", "base")
    assert again.equal(first)
    assert bench.evaluated("many labels", "base", start).equal(earlier)


def test_a_scale_without_further_evaluations_shows_none() -> None:
    comparison = Comparison.of(Bench(Cohort("pcfg", TINY, 11)), ["base", "plain"], evaluated=["base", "plain"])
    assert further_evaluations(comparison, "base", "plain") == {}
