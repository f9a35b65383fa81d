"""Streams: equal names give equal seeds, different names different ones."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from verify.streams import stream_seed

names = st.tuples(st.integers(0, 3), st.sampled_from(["plateau", "slow-flow"]), st.integers(0, 3))


@given(a=names, b=names)
def test_property_seeds_are_equal_exactly_when_the_names_are(a: tuple[int, str, int], b: tuple[int, str, int]) -> None:
    assert (stream_seed(*a) == stream_seed(*b)) == (a == b)


def test_parts_of_a_path_do_not_run_together() -> None:
    assert stream_seed(1, "plateau", "ab", "c") != stream_seed(1, "plateau", "a", "bc")
    assert stream_seed(1, "plateau", 12) != stream_seed(11, "plateau", 2)


def test_seeds_fit_numpy_and_torch() -> None:
    for root, part in product(range(20), range(20)):
        assert 0 <= stream_seed(root, "plateau", part) < 2**63
