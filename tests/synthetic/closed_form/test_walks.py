"""Walk counts and samplers against path counting, enumeration and exact rational ratios."""

import itertools
import math
from fractions import Fraction

import pytest
import torch

from synthetic.closed_form.walks import (
    capped_up_probability,
    count_completions,
    count_walks,
    enumerate_walks,
    sample_walks,
    up_probability,
)
from synthetic.testing.oracle import dkwm_half_width


def naive(T: int, end: int, nonnegative: bool) -> list[list[int]]:
    found = []
    for row in itertools.product((0, 1), repeat=T):
        heights = list(itertools.accumulate(2 * v - 1 for v in row))
        if heights[-1] == end and (not nonnegative or min(heights) >= 0):
            found.append(list(row))
    return found


@pytest.mark.parametrize("T", range(1, 9))
@pytest.mark.parametrize("nonnegative", [False, True])
def test_count_and_enumeration_match_filtering_all_strings(T: int, nonnegative: bool) -> None:
    for end in range(-T - 1, T + 2):
        expected = naive(T, end, nonnegative)
        assert count_walks(T, end, nonnegative=nonnegative) == len(expected)
        assert enumerate_walks(T, end, nonnegative=nonnegative).tolist() == expected


def completions(height: int, steps: int, end: int, nonnegative: bool) -> int:
    """Count completions by the reflection-free recursion, one step at a time."""
    ways = {height: 1}
    for _ in range(steps):
        following: dict[int, int] = {}
        for h, n in ways.items():
            for to in (h - 1, h + 1):
                if to >= 0 or not nonnegative:
                    following[to] = following.get(to, 0) + n
        ways = following
    return ways.get(end, 0)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_step_probability_is_the_ratio_of_completions(nonnegative: bool) -> None:
    # One float64 division of integers: half a unit of rounding.
    for k in range(1, 11):
        for end in (0,) if nonnegative else (-2, 0, 2):
            for height in range(0 if nonnegative else -k - 2, k + 3):
                total = completions(height, k, end, nonnegative)
                if total == 0:
                    continue
                exact = Fraction(completions(height + 1, k - 1, end, nonnegative), total)
                h, e = torch.tensor(float(height)).double(), torch.tensor(float(end)).double()
                got = float(up_probability(h, k, e, nonnegative=nonnegative))
                assert got == pytest.approx(float(exact), rel=2**-53, abs=0.0)


@pytest.mark.parametrize(("end", "nonnegative"), [(0, False), (2, False), (-2, False), (0, True)])
def test_sampled_walks_stay_in_the_band_of_the_uniform_law(end: int, nonnegative: bool) -> None:
    # Band at level 1e-9; the seed is fixed, so this is deterministic once green.
    n, T = 40_000, 8
    generator = torch.Generator().manual_seed(7)
    walks = sample_walks(T, torch.full((n,), end), generator, nonnegative=nonnegative)
    order = {tuple(row): i for i, row in enumerate(enumerate_walks(T, end, nonnegative=nonnegative).tolist())}
    index = torch.tensor([order[tuple(row)] for row in walks.tolist()])
    empirical = torch.bincount(index, minlength=len(order)).double().cumsum(0) / n
    uniform = torch.arange(1, len(order) + 1).double() / len(order)
    assert float((empirical - uniform).abs().max()) <= dkwm_half_width(n, 1e-9)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_long_walks_are_valid_without_rejection(nonnegative: bool) -> None:
    walks = sample_walks(
        2000, torch.zeros(20, dtype=torch.int64), torch.Generator().manual_seed(0), nonnegative=nonnegative
    )
    height = (2 * walks - 1).cumsum(1)
    assert bool((height[:, -1] == 0).all())
    assert bool((height >= 0).all()) or not nonnegative
    assert math.log(count_walks(2000, nonnegative=nonnegative)) > 1300


@pytest.mark.parametrize(("T", "end", "nonnegative"), [(4, 1, False), (4, 6, False), (4, 2, True)])
def test_walks_that_do_not_exist_are_refused(T: int, end: int, nonnegative: bool) -> None:
    with pytest.raises(ValueError, match=rf"parity of T = {T}.*got \[{end}\]"):
        sample_walks(T, torch.tensor([end]), torch.Generator(), nonnegative=nonnegative)


def naive_capped(T: int, ceiling: int) -> list[list[int]]:
    return [row for row in naive(T, 0, True) if max(itertools.accumulate(2 * v - 1 for v in row)) <= ceiling]


@pytest.mark.parametrize("T", range(1, 11))
def test_count_and_enumeration_below_a_ceiling_match_filtering_all_strings(T: int) -> None:
    for ceiling in range(1, T + 2):
        expected = naive_capped(T, ceiling)
        assert count_walks(T, nonnegative=True, ceiling=ceiling) == len(expected)
        assert count_completions(T, ceiling)[T][0] == len(expected)
        assert enumerate_walks(T, nonnegative=True, ceiling=ceiling).tolist() == expected


@pytest.mark.parametrize(("T", "ceiling"), [(60, 3), (61, 7), (120, 1)])
def test_reflection_at_two_barriers_agrees_with_the_recursion(T: int, ceiling: int) -> None:
    # By symmetry the walks from 0 to h are as many as those from h to 0.
    last = count_completions(T, ceiling)[T]
    assert [count_walks(T, end, nonnegative=True, ceiling=ceiling) for end in range(ceiling + 1)] == last


def test_step_probability_below_a_ceiling_is_the_ratio_of_completions() -> None:
    T, ceiling = 10, 3
    capped = capped_up_probability(T, ceiling)
    for step in range(T):
        for height in range(ceiling + 1):
            total = count_completions(T - step, ceiling)[T - step][height]
            above = count_completions(T, ceiling)[T - step - 1][height + 1] if height < ceiling else 0
            expected = float(Fraction(above, total)) if total else 0.0
            assert float(capped[step, height]) == expected


def test_sampled_walks_below_a_ceiling_stay_in_the_band_of_the_uniform_law() -> None:
    n, T, ceiling = 40_000, 10, 3
    generator = torch.Generator().manual_seed(7)
    walks = sample_walks(T, torch.zeros(n, dtype=torch.int64), generator, nonnegative=True, ceiling=ceiling)
    order = {tuple(row): i for i, row in enumerate(naive_capped(T, ceiling))}
    index = torch.tensor([order[tuple(row)] for row in walks.tolist()])
    empirical = torch.bincount(index, minlength=len(order)).double().cumsum(0) / n
    uniform = torch.arange(1, len(order) + 1).double() / len(order)
    assert float((empirical - uniform).abs().max()) <= dkwm_half_width(n, 1e-9)


@pytest.mark.parametrize(("nonnegative", "ceiling"), [(True, 0), (False, 2)])
def test_a_ceiling_that_makes_no_sense_is_refused(nonnegative: bool, ceiling: int) -> None:
    end = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"expected a ceiling >= 1 on non-negative walks, got ceiling {ceiling}"):
        count_walks(4, nonnegative=nonnegative, ceiling=ceiling)
    with pytest.raises(ValueError, match="expected a ceiling"):
        enumerate_walks(4, nonnegative=nonnegative, ceiling=ceiling)
    with pytest.raises(ValueError, match="expected a ceiling"):
        sample_walks(4, end, torch.Generator(), nonnegative=nonnegative, ceiling=ceiling)
