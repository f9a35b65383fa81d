"""Concatenations: independence of the parts, floors, variable last parts, refusals."""

from fractions import Fraction

import networkx as nx
import pytest
import torch
from torch import Tensor

from synthetic import MASK, PAD, ImpossibleContextError, Language
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.combinators import Concatenation
from synthetic.testing import ConformanceError, conformance

AB = ("a", "b")
FIXED = TableLanguage(AB, {(0, 0): 1, (0, 1): 2, (1, 1): 4})
VARYING = TableLanguage(AB, {(0,): 3, (0, 1): 2, (1, 1, 0): 4})
BOTH = Concatenation((FIXED, VARYING))


@pytest.mark.parametrize(
    "language",
    [
        BOTH,
        Concatenation((FIXED,)),
        Concatenation((VARYING,)),
        Concatenation((PairLanguage(2, 1.5), PairLanguage(3, -1.0))),
        Concatenation((BracketLanguage(4, 1.0), BracketLanguage(2, 1.0), BracketLanguage(2, 1.0, nested=True))),
        Concatenation((FIXED, BOTH)),
    ],
)
def test_conforms(language: Concatenation) -> None:
    conformance(language, n=3000)


def test_a_large_one_conforms() -> None:
    assert (
        "conditionals obey Bayes"
        in conformance(Concatenation((NestedBrackets(20, 3), NestedBrackets(12, 3))), n=300).passed
    )


def test_probability_and_conditionals_are_those_of_the_parts() -> None:
    first, second = (0, 1), (1, 1, 0)
    assert BOTH.prob_exact((*first, *second)) == FIXED.prob_exact(first) * VARYING.prob_exact(second)
    assert BOTH.prob_exact((*first, PAD, PAD, PAD)) == 0
    contexts = torch.tensor([[0, MASK, 0, 1, PAD], [1, MASK, 1, 1, 0], [0, 1, MASK, PAD, PAD]])
    got = BOTH.masked_conditional(contexts)
    assert torch.equal(got[:2], FIXED.masked_conditional(contexts[:2, :2]))
    assert torch.equal(got[2:], VARYING.masked_conditional(contexts[2:, 2:]))


def test_floor_weighs_the_parts_by_their_masked_positions() -> None:
    parts = (PairLanguage(2, 1.5), PairLanguage(4, 0.3), FLAT := PairLanguage(3, 0.0))
    language = Concatenation(parts)
    assert language.masked_positions == (2, 7, 11)
    assert language.entropy_floor() == pytest.approx(Language.entropy_floor(language), rel=1e-13)
    # At a size that cannot be enumerated as a whole.
    many = Concatenation((FLAT,) * 12)
    assert many.entropy_floor() == pytest.approx(FLAT.entropy_floor(), rel=1e-15)


def test_a_context_with_an_impossible_other_part_is_refused_by_name() -> None:
    impossible = "expected a context of positive probability"
    with pytest.raises(ImpossibleContextError, match=rf"{impossible}, got 'b a _' = \[1, 0, -1, -2, -2\]"):
        BOTH.log_masked_conditional(torch.tensor([[0, 1, MASK, PAD, PAD], [1, 0, MASK, PAD, PAD]]))
    with pytest.raises(ImpossibleContextError, match=rf"{impossible}, got 'a a b _ b' = \[0, 0, 1, -1, 1\]"):
        BOTH.log_masked_conditional(torch.tensor([[0, 0, 1, MASK, 0], [0, 0, 1, MASK, 1]]))
    with pytest.raises(ImpossibleContextError, match=rf"{impossible}, got 'a _' = \[0, -1, -2, -2, -2\]"):
        BOTH.log_masked_conditional(torch.tensor([[0, MASK, PAD, PAD, PAD]]))


@pytest.mark.parametrize(
    ("row", "context"),
    [([1, 0, 0, 1, PAD], "b a _ b"), ([0, 1, 1, 0, PAD], "_ b b a"), ([0, 1, PAD, PAD, PAD], "_ b")],
)
def test_all_positions_of_an_impossible_sentence_are_refused(row: list[int], context: str) -> None:
    with pytest.raises(ImpossibleContextError, match=f"got '{context}'"):
        BOTH.log_masked_conditionals(torch.tensor([[0, 0, 0, PAD, PAD], row]))


def test_graph_shows_the_parts_as_groups() -> None:
    graph = Concatenation((NestedBrackets(4, 1), NestedBrackets(2, 1))).graph()
    assert isinstance(graph, nx.DiGraph)
    assert sorted(data["group"] for _, data in graph.nodes(data=True)) == [0, 0, 0, 1, 1]
    assert BOTH.graph() is None


def test_mutant_with_dependent_parts_is_caught() -> None:
    class Repeats(Concatenation):
        def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> Tensor:
            return self.parts[0].sample(n, generator, device).repeat(1, len(self.parts))

    with pytest.raises(ConformanceError, match="DKWM band"):
        conformance(Repeats((FIXED, FIXED)), n=2000)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "expected at least one of parts"),
        ((VARYING, FIXED), "expected parts of fixed length before the last one.*at place 0.*Restricted"),
        ((FIXED, NestedBrackets(4, 1)), "expected parts with one vocabulary"),
        ((BracketLanguage(4, 0.5), BracketLanguage(4, 1.0)), "expected parts with one target channel.*at place 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: tuple[Language, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Concatenation(parts)


def test_exact_total() -> None:
    assert sum(BOTH.enumerate_exact().values()) == Fraction(1)
