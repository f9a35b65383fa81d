"""Streams: equal names give equal seeds, different names different ones."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.streams import RepeatedStreamError, Streams, stream_seed

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


def test_a_stream_is_taken_once_unless_its_numbers_are_to_be_shared() -> None:
    streams = Streams(1, "plateau")
    assert streams.seed("a", 1) == stream_seed(1, "plateau", "a", 1) == streams.seed("a", 1, again=True)
    # The same name in other words is the same stream.
    with pytest.raises(RepeatedStreamError, match=r"plateau: expected .*, got \('a', '1'\) again, .*; name another"):
        streams.seed("a", "1")
    # First taken as one of several, it is taken all the same.
    streams.seed("b", again=True)
    with pytest.raises(RepeatedStreamError):
        streams.seed("b")


def test_what_is_taken_in_a_scope_may_be_taken_after_it() -> None:
    streams = Streams(1, "cohort")
    streams.seed("before")
    for _ in range(2):
        with streams.scope():
            streams.seed("inside")
            for taken in ("inside", "before"):
                with pytest.raises(RepeatedStreamError):
                    streams.seed(taken)
    streams.seed("inside")
