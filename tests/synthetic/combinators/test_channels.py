"""Channels and exact probability vectors: Fractions, extreme values, refusals."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic.combinators import symmetric_channel
from synthetic.combinators.channels import FloatChannel, compose, exact_channel, exact_distribution, log_through
from synthetic.enumeration import log_fraction, log_rows
from synthetic.testing.strategies import channels

HALF = Fraction(1, 2)


def test_floats_are_taken_exactly_and_normalised() -> None:
    third = exact_distribution([0.1, 0.2, 0.7], "the weights")
    assert sum(third) == 1
    assert third[0] == Fraction(0.1) / (Fraction(0.1) + Fraction(0.2) + Fraction(0.7))
    assert exact_distribution([HALF, 0.5], "the weights") == (HALF, HALF)


def test_closed_form_a_symmetric_channel_shares_the_rest_among_the_other_tokens() -> None:
    quarter = Fraction(1, 4)
    assert symmetric_channel(3, HALF) == (
        (HALF, quarter, quarter),
        (quarter, HALF, quarter),
        (quarter, quarter, HALF),
    )


@given(st.integers(1, 4).flatmap(lambda c: st.tuples(channels(c), channels(c))))
@settings(max_examples=30, deadline=None)
def test_composition_is_the_law_of_two_steps(pair: tuple[tuple[tuple[Fraction, ...], ...], ...]) -> None:
    first, second = pair
    size = range(len(first))
    expected = [[sum(first[v][u] * second[u][y] for u in size) for y in size] for v in size]
    assert compose(first, second) == tuple(map(tuple, expected))


TINY = Fraction(1, 10**300)


@pytest.mark.parametrize(
    "law",
    [
        (Fraction(1, 3), Fraction(2, 3), Fraction(0)),
        (1 - TINY, TINY, Fraction(0)),
        (1 - TINY**2 - TINY**3, TINY**2, TINY**3),
        (Fraction(1), Fraction(0), Fraction(0)),
    ],
)
@pytest.mark.parametrize("leak", [Fraction(1, 7), TINY, TINY**2, Fraction(0)])
def test_the_law_after_the_channel_keeps_its_digits(law: tuple[Fraction, ...], leak: Fraction) -> None:
    channel = ((1 - leak, leak, Fraction(0)), (Fraction(0), Fraction(1, 2), HALF), (Fraction(0), leak, 1 - leak))
    exact = [sum((law[v] * channel[v][y] for v in range(3)), Fraction(0)) for y in range(3)]
    got = log_through(log_rows([law]), FloatChannel.of(channel))[0].tolist()
    for value, expected in zip(got, map(log_fraction, exact), strict=True):
        assert value == expected or abs(value - expected) <= 1e-13 * max(1.0, abs(expected))


def test_rows_of_padding_stay_impossible() -> None:
    nothing = torch.full((2, 3, 2), -math.inf, dtype=torch.float64)
    assert torch.equal(log_through(nothing, FloatChannel.of(symmetric_channel(2, 0.75))), nothing)


def test_bad_probabilities_are_refused() -> None:
    for values, message in (
        ([0.5, 0.4], r"expected the weights to sum to one, got 1 \+ \(-0.1\); divide by the sum 0.9"),
        ([1.5, -0.5], "expected probabilities in the weights, got -0.5 at place 1"),
        ([math.nan, 1.0], "got nan at place 0"),
        ([math.inf, 1.0], "got inf at place 0"),
    ):
        with pytest.raises(ValueError, match=message):
            exact_distribution(values, "the weights")
    with pytest.raises(ValueError, match=r"expected a channel of 2 rows with 2 entries each, got rows of \[2, 1\]"):
        exact_channel([[0.5, 0.5], [1.0]], 2)
    with pytest.raises(ValueError, match=r"expected row 1 of the channel to sum to one, got 1 \+ \(0.5\)"):
        exact_channel([[0.5, 0.5], [0.5, 1.0]], 2)
    for c, keep in ((3, 1.5), (3, -0.1), (3, math.nan), (1, 0.5)):
        with pytest.raises(ValueError, match=r"expected a probability keep"):
            symmetric_channel(c, keep)
    assert symmetric_channel(1, 1) == ((Fraction(1),),)
