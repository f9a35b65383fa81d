"""A cohort of a few tiny networks: what it draws, trains, keeps and compares."""

import ast
import importlib.util
import pathlib
import threading
from dataclasses import replace

import pytest
import torch

from synthetic import PAD
from synthetic.closed_form import TableLanguage
from tests.verify.cohorts.examples import TINY
from verify.cohorts import FAMILIES, SCALES, Bench, Cohort, CohortDivergedError, Comparison, Evaluation
from verify.cohorts.cohort import SOURCES
from verify.cohorts.conditions import Size, relaxation
from verify.cohorts.evaluations import by_halves
from verify.cohorts.families import LATER, LEARNABLE, SYMMETRIES
from verify.cohorts.laboratory import on_each
from verify.cohorts.sharpness import part_of, sharpness
from verify.curvature.interval import interval_of
from verify.networks import Network
from verify.streams import RepeatedStreamError


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Cohort("hmm", TINY, 11))


@pytest.fixture(scope="module")
def cohort(bench: Bench) -> Cohort:
    return bench.cohort


@pytest.mark.parametrize("name", ["hmm", "pcfg", *(family.name for family in (*SYMMETRIES, *LATER))])
def test_languages_of_a_family_have_one_shape_and_something_to_learn(name: str) -> None:
    family = FAMILIES[name]
    languages = [family.draw(seed) for seed in range(3)]
    for language, table in languages:
        assert table is not None
        assert language.n_tokens == family.n_tokens
        assert table.unigram_entropy - table.entropy_floor >= LEARNABLE
        assert family.task_of(language).label_values == family.task_of(languages[0][0]).label_values
    drawn = {table.entropy_floor for _, table in languages if table is not None}
    assert len(drawn) == (1 if name in {"nested", "text-small"} else 3)


@pytest.mark.parametrize("name", SCALES["paper"].families + SCALES["medium"].families)
def test_languages_of_the_larger_scales_have_the_shape_that_their_family_says(name: str) -> None:
    family = FAMILIES[name]
    language, table = family.draw(0)
    assert language.n_tokens == family.n_tokens
    assert (table is None) == (name != "brackets-medium")
    assert len(family.task_of(language).label_values) > 1
    sample = language.sample_masked(4, torch.Generator().manual_seed(0))
    assert family.padded or not bool((sample.contexts == PAD).any())
    assert language.masked_conditional(sample.contexts).shape == (4, family.n_tokens)


def test_a_family_that_never_has_enough_to_learn_is_an_error() -> None:
    with pytest.raises(ValueError, match="nearly uniform"):
        replace(FAMILIES["hmm"], n_tokens=7).draw(0)
    fair = TableLanguage(tuple("abcdef"), {(token,): 1 for token in range(6)})
    with pytest.raises(ValueError, match="nearly uniform"):
        replace(FAMILIES["hmm"], construct=lambda _: fair).draw(0)


def test_what_trains_imports_nothing_that_its_key_leaves_out() -> None:
    packages = [name for name in SOURCES if name != "verify.cohorts"]  # whose other modules measure and decide
    for name in packages:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = pathlib.Path(spec.origin)
        for path in origin.parent.rglob("*.py") if spec.submodule_search_locations else [origin]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("verify.", "theory.")):
                    assert str(node.module).startswith(SOURCES), f"{path} imports {node.module}"


def test_a_condition_is_the_same_whatever_was_trained_before(cohort: Cohort) -> None:
    cohort.end("flat")
    other = Cohort("hmm", TINY, 11)
    for mine, same in zip(cohort.path("sampled").theta, other.path("sampled").theta, strict=True):
        assert mine.equal(same)
    different = Cohort("hmm", TINY, 12)
    assert not different.path("sampled").theta.equal(cohort.path("sampled").theta)


def test_sampled_soft_and_isotropic_begin_at_the_same_minimum_and_part(cohort: Cohort) -> None:
    ends = {name: cohort.end(name).get_parameter("token") for name in ("sampled", "soft", "isotropic")}
    assert (
        cohort.condition("sampled").start
        == cohort.condition("soft").start
        == cohort.condition("isotropic").start
        == "base"
    )
    assert not ends["sampled"].equal(ends["soft"])
    assert not ends["isotropic"].equal(ends["soft"])


def test_a_relaxed_condition_goes_down_by_the_descent_of_the_loss_from_where_the_other_is_annealed(
    cohort: Cohort,
) -> None:
    relaxed, annealed = cohort.path("relaxed-soft"), cohort.path("soft")
    assert relaxed.theta[0].equal(annealed.theta[0])
    assert not relaxed.theta[1].equal(annealed.theta[1])
    assert relaxed.steps[-1] == relaxation(TINY).decay
    assert annealed.steps[-1] == TINY.anneal


def test_training_two_families_together_is_training_each(bench: Bench, cohort: Cohort) -> None:
    pair = [Bench(Cohort(family, TINY, 11)) for family in ("hmm", "pcfg")]
    threads = on_each(pair, lambda bench: (bench.cohort.end("adversarial"), threading.get_ident())[1])
    assert len(set(threads)) == 2
    assert pair[0].cohort.path("adversarial").theta.equal(cohort.path("adversarial").theta)


def test_languages_that_are_not_written_out_are_sampled(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.cohorts.families.family.table_if_small", lambda language: None)
    monkeypatch.setattr("verify.training.tables.table_if_small", lambda language: None)
    sampled = Cohort("hmm", TINY, 11)
    assert sampled.languages[0].entropy_floor() == cohort.languages[0].entropy_floor()
    comparison = Comparison.of(Bench(sampled), ["base", "sampled"])
    assert bool(torch.isfinite(comparison.gain("sampled", "base").values).all())
    assert not sampled.path("base").theta.equal(cohort.path("base").theta)


def test_an_error_in_one_family_stops_the_others() -> None:
    bad = Bench(Cohort("hmm", replace(TINY, rate=1e6), 11))
    good = Bench(Cohort("pcfg", TINY, 11))
    with pytest.raises(CohortDivergedError, match="condition base of family hmm"):
        on_each([bad, good], lambda bench: bench.cohort.end("base"))
    assert good.cohort.stopped.is_set()


def test_one_diverged_member_refuses_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    initial = Cohort.initial

    def with_a_bad_member(self: Cohort, size: Size, stream: str) -> Network:
        network = initial(self, size, stream)
        with torch.no_grad():
            network.get_parameter("unembedding.weight")[1] *= 1e6
        return network

    monkeypatch.setattr(Cohort, "initial", with_a_bad_member)
    with pytest.raises(CohortDivergedError, match=r"members \[1\] diverged"):
        Cohort("hmm", TINY, 11).end("base")


def test_every_member_is_measured_on_contexts_of_its_own_language(cohort: Cohort) -> None:
    reference = cohort.reference
    for member, language in enumerate(cohort.languages):
        assert language.masked_conditional(reference.contexts[member]).equal(reference.conditional[member])


def test_a_contrast_is_the_difference_of_what_the_conditions_show() -> None:
    bench = Bench(Cohort("hmm", TINY, 15))  # where accuracy changes along the path of base
    cohort, comparison = bench.cohort, Comparison.of(bench, ["base", "plain"])
    gain, ratio = comparison.gain("plain", "base"), comparison.log_trace_ratio("plain", "base")
    assert gain.values.equal(comparison.accuracy("plain") - comparison.accuracy("base"))
    quotient = comparison.sharpness("plain").trace / comparison.sharpness("base").trace
    assert torch.allclose(ratio.values, quotient.log(), rtol=0, atol=1e-14)  # a few roundings of numbers of order one
    mismatch = (comparison.points["plain"].excess / comparison.points["base"].excess).log().mean()
    assert cohort.reference.method == "monte-carlo"
    kl = [bench.divergences(comparison.points[condition].network) for condition in ("plain", "base")]
    relative = [each / each.mean(1, keepdim=True) for each in kl]
    error = (relative[0] - relative[1]).var(1).mul(1 / TINY.reference).sum().sqrt() / TINY.members
    path = cohort.path("base")
    middle, last = (path.network(k) for k in (len(path.steps) // 2, -1))
    fall = float((path.excess[-1] / path.excess[len(path.steps) // 2]).log().mean())
    changes = (
        float((bench.accuracy(last) - bench.accuracy(middle)).mean()),
        float((bench.sharpness(last).trace / bench.sharpness(middle).trace).log().mean()),
    )
    for contrast, slope, change in zip(
        (gain, ratio), (bench.accuracy_slope, bench.log_trace_slope), changes, strict=True
    ):
        assert slope == pytest.approx(change / fall, rel=1e-12)
        allowed = abs(change / fall) * float(mismatch.abs() + 2 * error)
        assert allowed > 1e-5  # 0 on both sides would say nothing
        assert contrast.systematic == pytest.approx(allowed, rel=1e-12)
    assert comparison.gain("base", "base").systematic == 0
    ignorant = torch.special.entr((cohort.reference.weight.unsqueeze(-1) * cohort.reference.conditional).sum(-2)).sum(
        -1
    )
    gap = ignorant - cohort.reference.entropy_floor
    shares = [float((comparison.points[condition].excess / gap).mean()) for condition in ("base", "plain")]
    assert comparison.share == pytest.approx(sum(shares) / 2, rel=1e-12)


def test_raw_is_what_training_left_and_not_what_the_anneal_made_of_it(bench: Bench, cohort: Cohort) -> None:
    comparison = Comparison.of(bench, ["base", "sampled", "polished"], raw=["base", "sampled", "polished"])
    end = cohort.path("base")
    assert comparison.raw("base").excess.equal(end.excess[-1])
    assert comparison.raw("polished").excess.equal(end.excess[-1])
    assert comparison.raw("sampled").excess.equal(cohort.path("sampled").excess[0])
    assert comparison.raw("sampled").accuracy.equal(bench.accuracy(cohort.path("sampled").network(0)))
    assert comparison.raw("base").log_trace.equal(bench.sharpness(end.network(-1)).trace.log())


def test_the_halves_of_an_evaluation_share_no_draw_and_no_sentence(bench: Bench, cohort: Cohort) -> None:
    features = bench.features(cohort.end("base"))
    right = bench.evaluation.answers(features).double()
    first, second = by_halves(bench.evaluation.answers(features))
    assert first.equal(right[:, 0::2, 0::2].mean((1, 2)))
    assert second.equal(right[:, 1::2, 1::2].mean((1, 2)))
    assert bench.evaluation.accuracy(features).equal(right.mean((1, 2)))
    comparison = Comparison.of(bench, ["base", "plain"])
    own = comparison.halves("plain")
    assert own.equal(by_halves(bench.evaluation.answers(bench.features(comparison.points["plain"].network))))
    assert comparison.accuracies["plain"].equal(bench.accuracy(comparison.points["plain"].network))


@pytest.mark.parametrize(("family", "parts"), [("hmm", 5), ("hmm-lstm", 3)])
def test_parts_of_a_network_add_up_to_its_trace(family: str, parts: int) -> None:
    own = Bench(Cohort(family, TINY, 11))
    found = own.sharpness(own.cohort.initial("large", "pretraining"))
    assert len(found.parts) == parts
    assert torch.allclose(torch.stack(list(found.parts.values())).sum(0), found.trace, rtol=1e-12)
    assert all(bool((part > 0).all()) for part in found.parts.values())
    with pytest.raises(ValueError, match="known part"):
        part_of("convolution.weight")


def test_unbiased_the_mean_of_batches_is_the_trace_of_the_fisher_matrix(cohort: Cohort) -> None:
    # Enumeration: every context of the reference and every label, explicit gradients.
    network, reference = cohort.initial("small", "pretraining").double(), cohort.reference
    network.fast = False
    found = sharpness(network, reference, [1, 2, 3], batches=400, contexts=64)
    for member in range(3):
        own = network.member(member)
        own.fast = False
        log_prob = own(reference.contexts[member])
        leaves = list(own.parameters())
        trace = invariant = 0.0
        diagonal = [torch.zeros_like(leaf) for leaf in leaves]
        for row, weight in zip(log_prob, reference.weight[member], strict=True):
            for value in row:
                parts = torch.autograd.grad(value, leaves, retain_graph=True)
                scale = float(weight * value.detach().exp())
                trace += scale * float(sum(part.square().sum() for part in parts))
                for entry, part in zip(diagonal, parts, strict=True):
                    entry += scale * part.square()
                invariant += scale * float(
                    sum((leaf.detach() * part).square().sum() for leaf, part in zip(leaves, parts, strict=True))
                )
        for batches, expected in ((found.traces, trace), (found.invariants, invariant)):
            assert interval_of(batches[:, member], 1e-6).contains(expected)
        # √F_ii is known to the share ½ √(2/400), and five times that is allowed even if all of them err alike.
        roots = sum(float(entry.sqrt().sum()) for entry in diagonal)
        assert float(found.roots[member]) == pytest.approx(roots, rel=2.5 * (2 / 400) ** 0.5)


def test_labels_as_features_answer_every_class_that_a_draw_has_shown(bench: Bench) -> None:
    evaluation = bench.evaluation
    learnt = evaluation.labels * evaluation.draws
    shown = evaluation.one_hot[:, :learnt].reshape(3, evaluation.draws, evaluation.labels, -1).amax(2)
    asked = evaluation.one_hot[:, learnt:]
    known = torch.einsum("mdk,mek->mde", shown, asked).mean((1, 2))
    # A class that was not shown is sometimes guessed right as well: never, as its head is the constant 0.
    assert torch.allclose(evaluation.accuracy(evaluation.one_hot), known, rtol=0, atol=1e-12)


def test_without_features_the_commonest_class_of_a_draw_is_answered(bench: Bench) -> None:
    evaluation = bench.evaluation
    learnt = evaluation.labels * evaluation.draws
    asked = evaluation.one_hot[:, learnt:]
    nothing = evaluation.accuracy(torch.zeros(3, evaluation.inputs.shape[1], 1, dtype=torch.float64))
    common = evaluation.one_hot[:, :learnt].reshape(3, evaluation.draws, evaluation.labels, -1).sum(2).argmax(-1)
    share = torch.stack([asked[m].mean(0)[common[m]].mean() for m in range(3)])
    assert torch.allclose(nothing, share, rtol=0, atol=1e-12)


def test_an_evaluation_of_one_member_does_not_depend_on_the_others(bench: Bench, cohort: Cohort) -> None:
    tasks = [cohort.family.task_of(language) for language in cohort.languages]
    seeds = cohort.seeds("exam", again=True)
    alone = Evaluation.sample(tasks[1:2], seeds[1:2], labels=TINY.labels, draws=TINY.draws, tested=TINY.tested)
    assert alone.inputs[0].equal(bench.evaluation.inputs[1])


def test_a_stream_of_a_cohort_is_taken_once(bench: Bench, cohort: Cohort) -> None:
    for taken in (lambda: bench.draw_evaluation("exam"), lambda: cohort.seeds("language")):
        with pytest.raises(RepeatedStreamError, match="cohort: expected a random stream that was not used before"):
            taken()
    with pytest.raises(RepeatedStreamError, match="cohort"):
        [cohort.generators("dice") for _ in range(2)]
