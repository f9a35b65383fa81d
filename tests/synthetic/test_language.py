"""The general rules of `Language`: enumeration against Fractions on random languages, and every refusal."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from synthetic import MASK, PAD, EnumerationTooLargeError, ImpossibleContextError, Language
from synthetic.closed_form import TableLanguage
from synthetic.enumeration import EmptyLanguageError
from synthetic.testing import exact_masked_law
from synthetic.testing.strategies import contexts, languages, table_languages


class Uniform(Language):
    """Fair coin tosses; `log_value` is the log-probability claimed for each sentence."""

    vocabulary = ("t", "h")

    def __init__(self, length: int = 3, log_value: float | None = None, positions: tuple[int, ...] = ()) -> None:
        self._length = length
        self._log_value = -length * math.log(2) if log_value is None else log_value
        self._positions = positions

    @property
    def length(self) -> int:
        return self._length

    @property
    def masked_positions(self) -> tuple[int, ...]:
        return self._positions or super().masked_positions

    def log_prob(self, sentences: Tensor) -> Tensor:
        return torch.full((len(sentences),), self._log_value, dtype=torch.float64)


class Slipping(Uniform):
    """Coin tosses with a target that slips more often from heads than from tails."""

    def target_channel(self) -> tuple[tuple[Fraction, ...], ...]:
        return ((Fraction(3, 4), Fraction(1, 4)), (Fraction(1, 3), Fraction(2, 3)))


def test_closed_form_the_target_goes_through_the_channel() -> None:
    """Rows are the masked token: ½·¾ + ½·⅓ for tails, where columns, or no channel, would give ½."""
    (found,) = Slipping().masked_conditional(torch.tensor([[0, MASK, 1]])).tolist()
    assert found == pytest.approx([13 / 24, 11 / 24], rel=1e-15)


@given(languages())
@settings(max_examples=60, deadline=None)
def test_context_law_floor_and_conditionals_agree_with_fractions(language: Language) -> None:
    exact = exact_masked_law(language)
    listed = language.enumerate_contexts()
    got = dict(zip(map(tuple, listed.contexts.tolist()), listed.prob.tolist(), strict=True))
    assert set(got) == set(exact)
    for context, joint in exact.items():
        assert got[context] == pytest.approx(float(sum(joint)), rel=1e-13)
    conditional = language.masked_conditional(listed.contexts)
    for context, row in zip(listed.contexts.tolist(), conditional.tolist(), strict=True):
        joint = exact[tuple(context)]
        assert row == pytest.approx([float(mass / sum(joint)) for mass in joint], rel=1e-12, abs=0.0)
    floor = math.fsum(
        -float(mass) * math.log(float(mass / sum(joint))) for joint in exact.values() for mass in joint if mass
    )
    # Terms of at most log 4 each, weights summing to one: absolute rounding error of order 1e-15.
    assert language.entropy_floor() == pytest.approx(floor, rel=1e-12, abs=1e-14)


@given(table_languages(), st.data())
@settings(max_examples=30, deadline=None)
def test_conditionals_sum_to_one_at_any_position(language: TableLanguage, data: st.DataObject) -> None:
    prob = language.masked_conditional(data.draw(contexts(language)))
    torch.testing.assert_close(prob.sum(1), torch.ones(len(prob)).double(), rtol=0.0, atol=1e-13)


def test_default_exact_probability_is_the_float_number() -> None:
    language = Uniform(3)
    assert language.prob_exact((0, 1, 0)) == Fraction(math.exp(-3 * math.log(2)))
    assert len(language.enumerate_exact()) == 8


def test_padded_sentences_share_the_mask_among_their_own_tokens() -> None:
    language = TableLanguage(("a", "b"), {(0,): 1, (0, 1): 1, (1, 1): 2})
    assert language.padded
    assert language.length == 2
    weights = language.position_prob(torch.tensor([[0, PAD], [0, 1]]))
    assert weights.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    # The length is known from the context: only (0,) completes a masked single token.
    assert language.masked_conditional(torch.tensor([[MASK, PAD], [MASK, 1]])).tolist() == [
        [1.0, 0.0],
        pytest.approx([1 / 3, 2 / 3], rel=1e-15),
    ]
    assert language.render(torch.tensor([MASK, PAD])) == "_"
    sample = language.sample_masked(500, torch.Generator().manual_seed(0))
    assert bool((sample.targets >= 0).all())
    assert {len(row) - row.count(PAD) for row in sample.contexts.tolist()} == {1, 2}


def test_samples_by_enumeration_follow_the_generator() -> None:
    language = Uniform(3)
    first, second = (language.sample(100, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert language.sample(0, torch.Generator()).shape == (0, 3)
    assert language.sample(2, torch.Generator(), device="cpu").device.type == "cpu"


def test_floor_estimate_covers_the_floor() -> None:
    language = TableLanguage(("a", "b"), {(0, 0): 5, (0, 1): 2, (1, 1): 1, (1, 0): 3})
    estimate = language.estimate_entropy_floor(20_000, torch.Generator().manual_seed(2))
    # Entropies lie in [0, log 2]: Hoeffding at level 1e-9, and the standard error within its range.
    half_width = math.log(2) * math.sqrt(math.log(2e9) / 40_000)
    assert abs(estimate.estimate - language.entropy_floor()) <= half_width
    assert 0 < estimate.standard_error <= math.log(2) / 2 / math.sqrt(20_000 - 1)
    assert estimate.n == 20_000


def test_floor_estimate_needs_two_contexts() -> None:
    with pytest.raises(ValueError, match="expected n >= 2 contexts for an estimate with a standard error, got 1"):
        Uniform().estimate_entropy_floor(1, torch.Generator())


def test_empty_enumeration_is_refused() -> None:
    nothing = Uniform(3, log_value=-math.inf)
    for enumerate_it in (nothing.enumerate, nothing.enumerate_exact, nothing.entropy_floor):
        with pytest.raises(EmptyLanguageError, match="expected a sentence of positive probability, got none among 8"):
            enumerate_it()
    with pytest.raises(EmptyLanguageError, match="got none among 8 candidates"):
        nothing.sample(1, torch.Generator())


def test_large_enumeration_is_refused_with_the_alternative() -> None:
    with pytest.raises(EnumerationTooLargeError, match=r"at most 1048576 candidate sentences.*got 2097152; use sample"):
        Uniform(21).enumerate()
    with pytest.raises(
        EnumerationTooLargeError, match=r"at most 65536 candidate sentences with exact prob.*got 131072"
    ):
        Uniform(17).enumerate_exact()
    with pytest.raises(EnumerationTooLargeError, match=r"candidate contexts to enumerate, got 2359296"):
        Uniform(17, positions=(0,) * 18).entropy_floor()


def test_a_sentence_without_a_maskable_position_is_refused() -> None:
    class SecondOnly(TableLanguage):
        masked_positions = (1,)

    with pytest.raises(ValueError, match=r"maskable position in every sentence, got none of \(1,\) in 'a'"):
        SecondOnly(("a", "b"), {(0,): 1, (1, 1): 1}).enumerate_contexts()


def test_impossible_context_is_named() -> None:
    language = TableLanguage(("a", "b"), {(0, 0): 1})
    with pytest.raises(ImpossibleContextError, match=r"got '_ b' = \[-1, 1\], which no sentence"):
        language.masked_conditional(torch.tensor([[MASK, 0], [MASK, 1]]))


def test_malformed_contexts_are_refused() -> None:
    for row, message in (
        ([0, 0, 0], "exactly one position"),
        ([MASK, MASK, 0], "got 2 at row 0"),
        ([MASK, 2, 0], "got 2 at row 0, position 1"),
        ([MASK, PAD, PAD], "got -2"),
    ):
        with pytest.raises(ValueError, match=message):
            Uniform().masked_conditional(torch.tensor([row]))
    with pytest.raises(TypeError, match="expected int64"):
        Uniform().check_contexts(torch.zeros(1, 3))
    with pytest.raises(TypeError, match="expected int64"):
        Uniform().check_sentences(torch.zeros(1, 3))


def test_tables_refuse_negative_weights_and_no_weight() -> None:
    with pytest.raises(ValueError, match=r"expected weights >= 0, got -1 for sentence \(1,\)"):
        TableLanguage(("a", "b"), {(0,): 2, (1,): -1})
    tables: list[dict[tuple[int, ...], int | Fraction]] = [{}, {(0,): 0}]
    for table in tables:
        with pytest.raises(EmptyLanguageError, match="expected a sentence of positive weight"):
            TableLanguage(("a",), table)
    with pytest.raises(ValueError, match=r"expected tokens 0\.\.0, got 1"):
        TableLanguage(("a",), {(1,): 1})
    with pytest.raises(ValueError, match="non-empty sentence"):
        TableLanguage(("a",), {(): 1, (0,): 1})
