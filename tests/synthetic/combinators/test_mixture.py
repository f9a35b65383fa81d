"""Mixtures: Bayes in Fractions, degenerate and disjoint components, the component task, refusals."""

import math
from fractions import Fraction

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthetic import MASK, PAD, ImpossibleContextError, Language
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.combinators import Mixture, TargetNoise
from synthetic.combinators.agreement import log_joint
from synthetic.combinators.mixture import ComponentTask
from synthetic.enumeration import log_fraction
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.strategies import contexts, mixture_languages

AB = ("a", "b")
SHORT = TableLanguage(AB, {(0,): 1, (1,): 2})
LONG = TableLanguage(AB, {(0, 0, 0): 1, (0, 1, 1): 5, (1, 0, 1): 2})
FULL = TableLanguage(AB, {(0, 0): 1, (0, 1): 2, (1, 0): 3, (1, 1): 4})
TWO = NestedBrackets(2, 2)
DISJOINT = Mixture((NestedBrackets(4, 2, 1), NestedBrackets(6, 2), TWO), (0.5, 0.25, 0.25))


@given(mixture_languages(), st.data())
@settings(max_examples=30, deadline=None)
def test_conditionals_agree_with_the_formula_in_fractions(language: Mixture, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    channel = language.target_channel()
    for context, row in zip(batch.tolist(), language.log_masked_conditional(batch).tolist(), strict=True):
        t = context.index(MASK)
        filled = [(*context[:t], v, *context[t + 1 :]) for v in range(language.n_tokens)]
        joint = [language.prob_exact(string) for string in filled]
        if channel is not None:
            columns = zip(*channel, strict=True)
            joint = [sum((p * k for p, k in zip(joint, column, strict=True)), Fraction(0)) for column in columns]
        for got, mass in zip(row, joint, strict=True):
            expected = log_fraction(mass / sum(joint))
            assert got == expected or abs(got - expected) <= 1e-12 * max(1.0, abs(expected))


@pytest.mark.parametrize(
    "language",
    [
        DISJOINT,
        Mixture((SHORT, LONG), (0.25, 0.75)),
        Mixture((LONG, LONG), (Fraction(1, 3), Fraction(2, 3))),
        Mixture((SHORT, LONG), (0, 1)),
        Mixture((BracketLanguage(6, 0.5), BracketLanguage(4, 0.5, nested=True)), (0.5, 0.5)),
        Mixture((DISJOINT, TWO), (0.5, 0.5)),
    ],
)
def test_conforms(language: Mixture) -> None:
    conformance(language, n=3000)


def test_a_mixture_of_one_is_its_component() -> None:
    alone = Mixture((FULL,), (1,))
    assert alone.enumerate_exact() == FULL.enumerate_exact()
    assert not alone.downstream
    rows = FULL.candidates()
    torch.testing.assert_close(alone.log_masked_conditionals(rows), FULL.log_masked_conditionals(rows))


def test_large_components_need_no_enumeration() -> None:
    mixture = Mixture((NestedBrackets(60, 3, 4), NestedBrackets(60, 3), NestedBrackets(40, 3)), (0.5, 0.25, 0.25))
    words = mixture.sample(100, torch.Generator().manual_seed(0))
    every = mixture.masked_conditionals(words)
    inside = words != PAD
    assert torch.equal(every.argmax(2)[inside], words[inside])
    assert float(every[inside].amax(1).min()) > 1 - 1e-12
    assert bool((every[~inside] == 0).all())


def test_a_sentence_impossible_in_one_component_may_have_possible_contexts_there() -> None:
    # (0, 1, 0) belongs to no component, but each of its contexts to one of them.
    one = TableLanguage(AB, {(1, 1, 0): 1, (0, 0, 0): 1})
    two = TableLanguage(AB, {(0, 1, 1): 1, (0, 0, 0): 1})
    mixture = Mixture((one, two), (0.25, 0.75))
    got = mixture.masked_conditionals(torch.tensor([[0, 1, 0]]))
    # "0 _ 0" weighs 1/2 in both; "_ 1 0" is the first's, "0 1 _" the second's.
    torch.testing.assert_close(got[0], torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64))


def test_an_impossible_context_is_named_with_its_position() -> None:
    with pytest.raises(ImpossibleContextError, match=r"got '\( \] _ \]' = \[0, 3, -1, 3, -2, -2\]"):
        DISJOINT.log_masked_conditional(torch.tensor([[0, 1, 0, MASK, PAD, PAD], [0, 3, MASK, 3, PAD, PAD]]))
    with pytest.raises(ImpossibleContextError, match=r"got '\( \] _ \]' = \[0, 3, -1, 3, -2, -2\]"):
        DISJOINT.log_masked_conditionals(torch.tensor([[0, 1, PAD, PAD, PAD, PAD], [0, 3, 2, 3, PAD, PAD]]))


def test_a_big_batch_of_impossible_sentences_goes_through_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    language = Mixture((FULL, LONG), (0.5, 0.5))
    words = language.sample(40, torch.Generator().manual_seed(0))
    whole = language.log_masked_conditionals(words)
    assert len(whole[whole < 0].isfinite().nonzero()) > 40, "not all are certain"
    monkeypatch.setattr("synthetic.combinators.agreement.CHUNK", 50)
    assert torch.equal(language.log_masked_conditionals(words), whole)


def test_the_joint_law_is_the_same_by_conditionals_and_by_completions() -> None:
    language = PairLanguage(3, 700.0)
    batch = torch.tensor([[1, 1, 0, MASK], [1, MASK, 0, 0], [1, 1, MASK, 0]])
    completions = torch.tensor([[[v if u == MASK else u for u in row] for v in range(2)] for row in batch.tolist()])
    expected = language.log_prob(completions.reshape(-1, 4)).reshape(3, 2)
    torch.testing.assert_close(log_joint(language, batch), expected, rtol=1e-15, atol=0.0)


def test_the_component_task_is_the_posterior_and_ties_go_to_the_first() -> None:
    other = TableLanguage(AB, {(0, 0): 4, (0, 1): 3, (1, 0): 2, (1, 1): 1})
    task = Mixture((FULL, other), (0.5, 0.5)).downstream["component"]
    assert isinstance(task, ComponentTask)
    assert task.label(FULL.candidates()).tolist() == [1.0, 1.0, 0.0, 0.0]
    tied = Mixture((LONG, LONG, LONG), (Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)))
    assert tied.downstream["component"].label(LONG.candidates()).tolist() == [0.0, 0.0, 0.0]
    # 3/4 · 3/10 = 1/4 · 9/10, though the rounded logarithms need not agree.
    rare, common = TableLanguage(AB, {(0,): 3, (1,): 7}), TableLanguage(AB, {(0,): 9, (1,): 1})
    for components, weights in (((rare, common), (0.75, 0.25)), ((common, rare), (0.25, 0.75))):
        label = Mixture(components, weights).downstream["component"].label(torch.tensor([[0], [1]]))
        assert label.tolist() == [0.0, float(components.index(rare))]


def test_shared_tasks_are_kept_and_others_are_not() -> None:
    pairs = Mixture((PairLanguage(3, 1.0), PairLanguage(3, -2.0)), (0.5, 0.5))
    assert sorted(pairs.downstream) == ["component", "pair-product"]
    assert pairs.masked_positions == (3,)
    assert sorted(DISJOINT.downstream) == ["component"]


def test_graph_shows_the_components_as_groups() -> None:
    graph = DISJOINT.graph()
    assert isinstance(graph, nx.DiGraph)
    assert {data["group"] for _, data in graph.nodes(data=True)} == {0, 1, 2}
    assert nx.number_weakly_connected_components(graph) == 3
    assert Mixture((SHORT, LONG), (0.5, 0.5)).graph() is None


def test_mutant_ignoring_the_evidence_is_caught() -> None:
    class Averages(Mixture):
        """Weighs the components by their prior, not by how well they explain the context."""

        def log_masked_conditional(self, contexts: Tensor) -> Tensor:
            weighted = zip(self.weights, self.components, strict=True)
            rows = [float(weight) * part.masked_conditional(contexts) for weight, part in weighted]
            return torch.stack(rows).sum(0).log()

    other = TableLanguage(AB, {(0, 0): 4, (0, 1): 3, (1, 0): 2, (1, 1): 1})
    with pytest.raises(ConformanceError, match="obey Bayes"):
        conformance(Averages((FULL, other), (0.5, 0.5)), n=500)


@pytest.mark.parametrize(
    ("components", "weights", "message"),
    [
        ((), (), "expected at least one of components"),
        ((SHORT, LONG), (1,), "expected a weight for each of 2 components, got 1"),
        ((SHORT, LONG), (0.5, 0.6), r"expected the weights to sum to one, got 1 \+ \(0.1\)"),
        ((SHORT, LONG), (1.5, -0.5), "expected probabilities in the weights, got -0.5 at place 1"),
        ((SHORT, LONG), (0.5, math.nan), "got nan at place 1"),
        ((SHORT, NestedBrackets(4, 1)), (0.5, 0.5), "expected components with one vocabulary"),
        ((BracketLanguage(4), BracketLanguage(4, 1.0)), (0.5, 0.5), "expected components with one target channel"),
        (
            (PairLanguage(3, 1.0), PairLanguage(4, 1.0)),
            (0.5, 0.5),
            r"expected components that mask the same positions as far as they reach, got \(4,\) at place 1",
        ),
    ],
)
def test_components_that_do_not_agree_are_refused(
    components: tuple[Language, ...], weights: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(components, weights)


def test_noise_goes_around_a_mixture_of_clean_components() -> None:
    noisy = TargetNoise(Mixture((BracketLanguage(4), BracketLanguage(6)), (0.5, 0.5)), [[0.75, 0.25], [0.25, 0.75]])
    conformance(noisy, n=1000)
