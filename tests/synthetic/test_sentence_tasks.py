"""Tasks on sentences: labels by definition, inputs by enumeration, refusals."""

import pytest
import torch

from synthetic import MASK
from synthetic.closed_form import TableLanguage
from synthetic.graphs import TokenGraph
from synthetic.sentence_tasks import ParityTask, PluralityTask, first_of_best

GRAPH = TokenGraph(4, ((0, 1, 2), (2, 3), (3,)), (1.0, -1.5, 0.2))


def test_labels_by_definition() -> None:
    inputs = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1]])
    assert PluralityTask(GRAPH).label(inputs).tolist() == [0.0, 1.0, 0.0]
    assert ParityTask(GRAPH, (0, 3)).label(inputs).tolist() == [-1.0, -1.0, -1.0]
    assert ParityTask(GRAPH, (0, 1, 2)).label(inputs).tolist() == [1.0, -1.0, -1.0]
    three = TableLanguage(("a", "b", "c"), {(0, 1, 2, 2): 1})
    assert PluralityTask(three).label(torch.tensor([[2, 1, 1, 2], [2, 2, 0, 1], [0, 1, 2, 2]])).tolist() == [1, 2, 2]


def test_hidden_positions_do_not_count() -> None:
    task = PluralityTask(GRAPH, hidden=(1, 2))
    assert task.label(torch.tensor([[1, MASK, MASK, 0], [1, MASK, MASK, 1]])).tolist() == [0.0, 1.0]
    assert task.features(torch.tensor([[1, MASK, MASK, 0]])).tolist() == [[1.0, -1.0]]
    whole = task.enumerate()
    assert len(whole.inputs) == 4
    joint = GRAPH.enumerate()
    for row, prob in zip(whole.inputs, whole.prob, strict=True):
        same = (joint.sentences[:, [0, 3]] == row[[0, 3]]).all(1)
        assert float(prob) == pytest.approx(float(joint.prob[same].sum()), rel=1e-13)


def test_features_of_more_tokens_are_one_hot() -> None:
    task = PluralityTask(TableLanguage(("a", "b", "c"), {(2, 0): 1}))
    assert task.features(torch.tensor([[2, 0]])).tolist() == [[0, 0, 1, 1, 0, 0]]
    assert task.label_values == (0.0, 1.0, 2.0)


def test_a_token_graph_offers_the_parity_of_its_strongest_interaction() -> None:
    assert set(GRAPH.downstream) == {"plurality", "parity-of-2-3"}
    assert set(TokenGraph(3, ((0, 1, 2),), (1.0,), (2,)).downstream) == {"plurality", "parity-of-0-1"}
    assert set(TokenGraph(2, ((0, 1), (0,)), (0.0, 1.0)).downstream) == {"plurality"}


def test_bad_positions_are_refused() -> None:
    for positions in ((), (0, 0), (4,), (1, 2)):
        with pytest.raises(ValueError, match=r"expected distinct positions among the visible \[0, 2, 3\]"):
            ParityTask(GRAPH, positions, hidden=(1,))
    with pytest.raises(ValueError, match="expected a language of two tokens, got 1"):
        ParityTask(TableLanguage(("a",), {(0, 0): 1}), (0,))


def test_ties_go_to_the_first_outcome() -> None:
    scores = [[0.25, 0.375, 0.375], [0.25, 0.375 - 1e-14, 0.375 + 1e-14], [0.25, 0.375 - 1e-11, 0.375 + 1e-11]]
    assert first_of_best(torch.tensor(scores, dtype=torch.float64).log()).tolist() == [1, 1, 2]
    assert first_of_best(torch.full((1, 3), -torch.inf, dtype=torch.float64)).tolist() == [0]
