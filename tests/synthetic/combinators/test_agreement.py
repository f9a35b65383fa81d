"""Combinators together: probabilities far below float64 against Fractions, files of nested languages, graphs."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic import PAD, Language
from synthetic.catalogue import load, save
from synthetic.closed_form import NestedBrackets, TableLanguage
from synthetic.combinators import (
    Concatenation,
    Mixture,
    Restricted,
    Satisfying,
    TargetNoise,
    TokenNoise,
    symmetric_channel,
)
from synthetic.combinators.agreement import resized, side_by_side
from synthetic.testing import conformance
from synthetic.testing.strategies import (
    concatenation_languages,
    mixture_languages,
    restricted_languages,
    target_noise_languages,
    token_noise_languages,
)

TINY = Fraction(1, 10**200)
ABC = ("a", "b", "c")
ONE = TableLanguage(ABC, {(0, 1, 2): 1, (1, 1, 2): TINY, (2, 2, 0): TINY**2, (0, 0, 0): 3, (0,): 5})
TWO = TableLanguage(ABC, {(0, 1, 2): TINY, (1, 1, 2): 1, (2, 2, 1): TINY, (1, 0, 0): 3})
THIRD, HALF = Fraction(1, 3), Fraction(1, 2)
CHANNEL = ((1 - TINY, TINY, Fraction(0)), (THIRD, THIRD, THIRD), (TINY**2, HALF, HALF - TINY**2))


LANGUAGES = [
    Mixture((ONE, TWO), (HALF, HALF)),
    Mixture((ONE, TWO), (1 - TINY, TINY)),
    Mixture((TargetNoise(ONE, CHANNEL), TargetNoise(TWO, CHANNEL)), (THIRD, 1 - THIRD)),
    Concatenation((TWO, ONE)),
    TargetNoise(TargetNoise(TWO, CHANNEL), CHANNEL),
    TokenNoise(ONE, CHANNEL),
    TokenNoise(Mixture((ONE, TWO), (HALF, HALF)), CHANNEL),
    Restricted(ONE, (3,)),
    Satisfying(TargetNoise(ONE, CHANNEL), lambda rows: rows[:, 0] > 0),
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_enumeration_agrees_at_probabilities_far_below_float64(language: Language) -> None:
    # Tokens of probability 1e-200 and 1e-400 in contexts of probability 1e-200: Bayes in Fractions, 1e-12 relative.
    assert "conditionals obey Bayes" in conformance(language, n=200).passed


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentences_at_all_are_no_error(language: Language) -> None:
    none = language.sample(0, torch.Generator())
    assert none.shape == (0, language.length)
    assert language.log_prob(none).shape == (0,)
    assert language.log_masked_conditional(none).shape == (0, 3)
    assert language.log_masked_conditionals(none).shape == (0, language.length, 3)


@pytest.mark.parametrize(
    "strategy",
    [
        *(concatenation_languages, mixture_languages, restricted_languages),
        *(target_noise_languages, token_noise_languages),
    ],
)
@given(data=st.data())
@settings(max_examples=8, deadline=None, derandomize=True)
def test_random_ones_conform(strategy: Callable[[], st.SearchStrategy[Language]], data: st.DataObject) -> None:
    conformance(data.draw(strategy()), n=500, level=1e-9)


@pytest.mark.parametrize(
    "change",
    [
        lambda words: TargetNoise(words, symmetric_channel(2, 0.9)),
        lambda words: TokenNoise(words, symmetric_channel(2, 0.9)),
        lambda words: Restricted(words, (4,)),
        lambda words: Satisfying(words, lambda rows: rows[:, 0] == 0),
    ],
)
def test_the_graph_of_a_changed_language_is_the_inner_one(change: Callable[[Language], Language]) -> None:
    graph = change(NestedBrackets(4, 1)).graph()
    assert graph is not None
    assert sorted(graph) == [0, 1, 2]


def test_languages_within_languages_come_back_exactly_from_files(tmp_path: Path) -> None:
    inner = Mixture((NestedBrackets(4, 2, 1), NestedBrackets(2, 2)), (0.3, 0.7))
    part = TokenNoise(NestedBrackets(2, 2), symmetric_channel(4, 0.9))
    language = TargetNoise(Restricted(Concatenation((part, inner)), (4, 6)), symmetric_channel(4, Fraction(2, 3)))
    save(language, tmp_path / "language.json")
    back = load(tmp_path / "language.json")
    assert repr(back) == repr(language)
    assert back.enumerate_exact() == language.enumerate_exact()
    assert back.target_channel() == language.target_channel()
    save(back, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "language.json").read_bytes()


def test_graphs_side_by_side_keep_what_they_show() -> None:
    class Placed(NestedBrackets):
        def graph(self) -> nx.DiGraph:
            graph = super().graph()
            nx.set_node_attributes(graph, {h: (0.0, float(h)) for h in graph}, "at")
            return graph

    whole = side_by_side((Placed(4, 1), NestedBrackets(2, 1)))
    assert whole is not None
    assert whole.nodes[0, 2] == {"label": "2", "weight": NestedBrackets(4, 1).graph().nodes[2]["weight"], "group": 0}
    assert whole.edges[(1, 0), (1, 1)] == {"weight": 1.0}

    class Undirected(NestedBrackets):
        def graph(self) -> nx.Graph:
            return super().graph().to_undirected()

    mixed = side_by_side((Undirected(2, 1), NestedBrackets(2, 1)))
    assert mixed is not None
    assert not mixed.is_directed()
    assert (mixed.number_of_nodes(), mixed.number_of_edges()) == (4, 2)


def test_sentences_change_size_by_padding_alone() -> None:
    rows = torch.tensor([[0, 1, PAD], [2, PAD, PAD]])
    assert resized(rows, 4).tolist() == [[0, 1, PAD, PAD], [2, PAD, PAD, PAD]]
    assert resized(resized(rows, 4), 2).tolist() == [[0, 1], [2, PAD]]
