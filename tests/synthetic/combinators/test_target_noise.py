"""Noise on the target: any inner language, closed forms, composition of channels, refusals."""

import math
from fractions import Fraction

import pytest
import torch

from synthetic import MASK, EnumerationTooLargeError, Language
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.closed_form.sign_noise import sigmoid_exact
from synthetic.combinators import TargetNoise, symmetric_channel
from synthetic.testing import conformance


def test_a_large_one_conforms() -> None:
    language = TargetNoise(NestedBrackets(40, 3, 4), symmetric_channel(6, 0.8))
    assert "entropy floor" in conformance(language, n=500).passed


def test_a_bracket_language_gets_its_noise_from_outside() -> None:
    # σ(α) to 50 digits in both.
    keep = sigmoid_exact(1.5)
    outside, inside = TargetNoise(BracketLanguage(6), symmetric_channel(2, keep)), BracketLanguage(6, 1.5)
    assert outside.target_channel() == inside.target_channel()
    contexts = inside.enumerate_contexts().contexts
    torch.testing.assert_close(
        outside.log_masked_conditional(contexts), inside.log_masked_conditional(contexts), rtol=1e-15, atol=0.0
    )
    assert outside.entropy_floor() == pytest.approx(inside.entropy_floor(), rel=1e-15)
    assert sorted(outside.downstream) == sorted(inside.downstream)


def test_two_channels_act_one_after_the_other() -> None:
    once = TargetNoise(NestedBrackets(4, 1), ((0.75, 0.25), (0.5, 0.5)))
    twice = TargetNoise(once, ((0.5, 0.5), (0.0, 1.0)))
    assert twice.target_channel() == ((Fraction(3, 8), Fraction(5, 8)), (Fraction(1, 4), Fraction(3, 4)))
    assert twice.masked_conditional(torch.tensor([[0, MASK, 0, 1], [0, 1, MASK, 1]])).tolist() == [
        [0.25, 0.75],
        [0.375, 0.625],
    ]
    conformance(twice, n=1000)


def test_floor_of_a_certain_token_is_the_entropy_of_a_row_at_any_size() -> None:
    language = TargetNoise(NestedBrackets(400, 2), symmetric_channel(4, 0.7))
    expected = -0.7 * math.log(0.7) - 0.3 * math.log(0.1)
    assert language.entropy_floor() == pytest.approx(expected, rel=1e-14)
    small = TargetNoise(NestedBrackets(4, 2), symmetric_channel(4, 0.7))
    assert Language.entropy_floor(small) == pytest.approx(expected, rel=1e-14)
    lopsided = TargetNoise(NestedBrackets(400, 1), ((0.5, 0.5), (0.0, 1.0)))
    with pytest.raises(EnumerationTooLargeError):
        lopsided.entropy_floor()
    unsure = TargetNoise(PairLanguage(2, 1.0), symmetric_channel(2, 0.7))
    assert unsure.entropy_floor() == pytest.approx(Language.entropy_floor(unsure), rel=1e-15)


def test_an_inner_language_too_large_for_its_floor_leaves_it_unknown() -> None:
    class Long(PairLanguage):
        def entropy_floor(self) -> float:
            return Language.entropy_floor(self)

    with pytest.raises(EnumerationTooLargeError):
        TargetNoise(Long(40, 1.0), symmetric_channel(2, 0.7)).entropy_floor()


def test_graph_and_declarations_are_the_inner_ones() -> None:
    inner = TableLanguage(("a", "b"), {(0,): 1, (0, 1): 2})
    noisy = TargetNoise(inner, symmetric_channel(2, 0.5))
    assert noisy.padded
    assert noisy.graph() is None
    assert noisy.masked_positions == inner.masked_positions


def test_a_channel_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a channel of 4 rows with 4 entries each"):
        TargetNoise(NestedBrackets(4, 2), symmetric_channel(2, 0.5))
    with pytest.raises(ValueError, match=r"expected row 0 of the channel to sum to one, got 1 \+ \(0.5\)"):
        TargetNoise(NestedBrackets(4, 1), ((1.0, 0.5), (0.0, 1.0)))
