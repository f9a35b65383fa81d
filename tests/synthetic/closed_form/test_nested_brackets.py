"""Nested brackets: filtering all strings, the one-type case, counting, symmetries, refusals."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthetic import MASK, ImpossibleContextError, Language
from synthetic.closed_form import BracketLanguage, NestedBrackets
from synthetic.testing import ConformanceError, conformance
from synthetic.testing.strategies import contexts, nested_brackets_languages


def depths(word: tuple[int, ...]) -> list[int] | None:
    """The depth after each token, by rewriting adjacent pairs away; None if the rest is not empty."""
    rest = list(word)
    while True:
        at = next((i for i in range(len(rest) - 1) if rest[i] % 2 == 0 and rest[i + 1] == rest[i] + 1), None)
        if at is None:
            break
        del rest[at : at + 2]
    return None if rest else list(itertools.accumulate(1 - 2 * (v % 2) for v in word))


def naive_words(T: int, k: int, D: int | None) -> list[tuple[int, ...]]:
    words = []
    for word in itertools.product(range(2 * k), repeat=T):
        profile = depths(word)
        if profile is not None and (D is None or max(profile) <= D):
            words.append(word)
    return words


SIZES = [(2, 1, None), (2, 3, 1), (4, 2, None), (4, 2, 1), (6, 2, 2), (6, 1, None), (8, 1, 3)]


@pytest.mark.parametrize(("T", "k", "D"), [*SIZES, (4, 5, 1)])
def test_conforms(T: int, k: int, D: int | None) -> None:
    language = NestedBrackets(T, k, D)
    assert set(conformance(language, n=4000).skipped) == (set() if language.downstream else {"downstream tasks"})


def test_a_large_one_conforms() -> None:
    skipped = set(conformance(NestedBrackets(40, 3, 5), n=2000).skipped)
    assert skipped == {"probabilities sum to one", "sampling frequencies", "masked sampling frequencies"}


@pytest.mark.parametrize(("T", "k", "D"), SIZES)
def test_words_are_those_of_all_strings_that_cancel_away(T: int, k: int, D: int | None) -> None:
    language, expected = NestedBrackets(T, k, D), naive_words(T, k, D)
    assert sorted(map(tuple, language.candidates().tolist())) == expected
    assert language.n_words == language.n_candidates == len(expected)
    assert language.enumerate_exact() == dict.fromkeys(expected, Fraction(1, len(expected)))
    if (2 * k) ** T <= 4096:
        strings = list(itertools.product(range(2 * k), repeat=T))
        inside = [string in set(expected) for string in strings]
        assert (language.log_prob(torch.tensor(strings)) > -math.inf).tolist() == inside
        assert [language.prob_exact(string) > 0 for string in strings] == inside


@pytest.mark.parametrize(("T", "k", "D"), [(2, 2, None), (4, 2, None), (4, 2, 1), (6, 1, 2)])
def test_every_context_of_the_whole_cube_has_one_completion_or_is_refused(T: int, k: int, D: int | None) -> None:
    language, words = NestedBrackets(T, k, D), set(naive_words(T, k, D))
    possible, impossible = {}, []
    for string in itertools.product(range(2 * k), repeat=T - 1):
        for t in range(T):
            completions = [v for v in range(2 * k) if (*string[:t], v, *string[t:]) in words]
            context = (*string[:t], MASK, *string[t:])
            assert len(completions) <= 1
            if completions:
                possible[context] = completions[0]
            else:
                impossible.append(context)
    got = language.masked_conditional(torch.tensor(list(possible)))
    assert got.tolist() == [[float(v == only) for v in range(2 * k)] for only in possible.values()]
    for context in impossible:
        with pytest.raises(ImpossibleContextError, match="no sentence of the language completes"):
            language.log_masked_conditional(torch.tensor([context]))


@given(nested_brackets_languages(max_T=8), st.data())
@settings(max_examples=40, deadline=None)
def test_closed_form_agrees_with_bayes_at_any_position(language: NestedBrackets, data: st.DataObject) -> None:
    batch = data.draw(contexts(language))
    assert torch.equal(language.masked_conditional(batch), Language.masked_conditional(language, batch))


@pytest.mark.parametrize("T", [2, 6, 10])
def test_one_type_without_limit_is_the_nested_bracket_language(T: int) -> None:
    # That language writes ")" = 0 and "(" = 1, this one the other way round.
    nested, brackets = NestedBrackets(T, 1), BracketLanguage(T, nested=True)
    assert nested.vocabulary == brackets.vocabulary[::-1]
    assert nested.n_words == brackets.n_words
    strings = torch.cartesian_prod(*[torch.arange(2)] * T)
    assert torch.equal(nested.log_prob(strings), brackets.log_prob(1 - strings))
    words = nested.candidates()
    assert torch.equal(nested.log_masked_conditionals(words), brackets.log_masked_conditionals(1 - words).flip(2))
    assert nested.entropy_floor() == brackets.entropy_floor() == 0.0


def test_all_positions_of_no_word_follow_the_general_rule() -> None:
    two = NestedBrackets(2, 2)
    # "( ]" is no word, yet each bracket alone has a partner: [ ] and ( ).
    assert two.masked_conditionals(torch.tensor([[0, 3]])).argmax(2).tolist() == [[2, 1]]
    with pytest.raises(ImpossibleContextError):
        NestedBrackets(4, 2).log_masked_conditionals(torch.tensor([[0, 1, 2, 3], [0, 2, 1, 3]]))


def test_long_words_are_valid_and_finite() -> None:
    language = NestedBrackets(1000, 4, 12)
    words = language.sample(50, torch.Generator().manual_seed(0))
    assert bool((language.log_prob(words) > -math.inf).all())
    assert language.log_prob(words)[0].item() == -language.log_n_words
    masked = words.clone()
    masked[:, 617] = MASK
    assert torch.equal(language.log_masked_conditional(masked).argmax(1), words[:, 617])


def test_no_words_at_all_is_no_error() -> None:
    language, generator = NestedBrackets(4, 2), torch.Generator()
    none = language.sample(0, generator)
    assert none.shape == (0, 4)
    assert language.log_prob(none).shape == (0,)
    assert language.log_masked_conditional(none).shape == (0, 4)
    assert language.log_masked_conditionals(none).shape == (0, 4, 4)
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
        language.sample(-1, generator)


@given(nested_brackets_languages(), st.permutations(range(3)))
@settings(max_examples=20, deadline=None)
def test_symmetry_under_relabelling_of_types_and_reversal(language: NestedBrackets, order: list[int]) -> None:
    words = language.candidates()
    kinds = torch.tensor([j for j in order if j < language.k])
    relabelled = 2 * kinds[words // 2] + words % 2
    assert bool((language.log_prob(relabelled) == language.log_prob(words)).all())
    mirrored = (words + 1 - 2 * (words % 2)).flip(1)
    assert bool((language.log_prob(mirrored) == language.log_prob(words)).all())


@pytest.mark.parametrize(("T", "k", "D"), [(6, 2, None), (8, 1, 2)])
def test_graph_counts_the_steps_of_all_words(T: int, k: int, D: int | None) -> None:
    language = NestedBrackets(T, k, D)
    visits: Counter[int] = Counter()
    moves: Counter[tuple[int, int]] = Counter()
    words = naive_words(T, k, D)
    for word in words:
        profile = [0, *(depths(word) or [])]
        visits.update(profile[:-1])
        moves.update(itertools.pairwise(profile))
    graph = language.graph()
    assert isinstance(graph, nx.DiGraph)
    assert {h: data["weight"] for h, data in graph.nodes(data=True)} == {
        h: float(Fraction(count, T * len(words))) for h, count in visits.items()
    }
    assert {(a, b): data["weight"] for a, b, data in graph.edges(data=True)} == {
        (a, b): float(Fraction(count, visits[a])) for (a, b), count in moves.items()
    }


def test_tasks_read_the_stack() -> None:
    language = NestedBrackets(8, 3)
    words = language.sample(300, torch.Generator().manual_seed(1))
    tasks = language.downstream
    assert sorted(tasks) == ["middle-depth", "open-type"]
    for word, depth, kind in zip(
        words.tolist(), tasks["middle-depth"].label(words), tasks["open-type"].label(words), strict=True
    ):
        stacks: list[list[int]] = [[]]
        for token in word:
            stacks.append([*stacks[-1], token // 2] if token % 2 == 0 else stacks[-1][:-1])
        assert float(depth) == len(stacks[4])
        assert float(kind) == stacks[3][-1]
    assert tasks["middle-depth"].label_values == (0.0, 2.0, 4.0)


@pytest.mark.parametrize(("T", "k", "D"), [(4, 2, 1), (6, 3, 2), (2, 4, None)])
def test_the_innermost_open_type_is_uniform(T: int, k: int, D: int | None) -> None:
    task = NestedBrackets(T, k, D).downstream["open-type"]
    whole = task.enumerate()
    shares = torch.zeros(k, dtype=torch.float64).index_add(0, whole.labels.to(torch.int64), whole.prob)
    torch.testing.assert_close(shares, torch.full((k,), 1 / k, dtype=torch.float64), rtol=1e-14, atol=0.0)
    assert task.features(whole.inputs).sum().item() == T * len(whole.inputs)


def test_names_and_rendering() -> None:
    language = NestedBrackets(4, 5)
    assert language.vocabulary == ("(", ")", "[", "]", "{", "}", "<3", ">3", "<4", ">4")
    assert language.render(torch.tensor([8, 4, MASK, 9])) == "<4 { _ >4"


def test_mutants_are_caught() -> None:
    class ForgetsTypes(NestedBrackets):
        def log_masked_conditional(self, contexts: Tensor) -> Tensor:
            certain = super().log_masked_conditional(contexts).exp()
            return certain.reshape(len(contexts), self.k, 2).mean(1).repeat(1, self.k).log()

    class ForgetsDepth(NestedBrackets):
        def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> Tensor:
            return NestedBrackets(self.T, self.k).sample(n, generator, device)

    for mutant, finding in ((ForgetsTypes, "obey Bayes"), (ForgetsDepth, "log_prob -inf")):
        with pytest.raises(ConformanceError, match=finding):
            conformance(mutant(6, 2, 2), n=2000)


@pytest.mark.parametrize(
    ("T", "k", "D", "message"),
    [
        (5, 2, None, "expected an even integer T >= 2, got 5"),
        (0, 2, None, "expected an even integer T >= 2, got 0"),
        (4, 0, None, "expected an integer k >= 1 of bracket types, got 0"),
        (4, 2, 0, "expected an integer depth D >= 1, got 0"),
    ],
)
def test_bad_parameters_are_refused(T: int, k: int, D: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NestedBrackets(T, k, D)
