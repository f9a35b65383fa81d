"""Pieces on threads: order, sizes, errors, and the number of torch's own threads, which is put back."""

import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic.hmm.threads import balanced, on_threads

CPU = torch.device("cpu")
PATIENCE = 60.0
"""Seconds after which a thread that waits for another gives up: only if there is no other."""


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@given(st.integers(0, 1000), st.integers(1, 100))
def test_property_balanced_slices_are_a_partition(n: int, most: int) -> None:
    slices = list(balanced(n, most))
    assert [i for piece in slices for i in range(n)[piece]] == list(range(n))
    sizes = [piece.stop - piece.start for piece in slices]
    assert len(sizes) == -(-n // most)
    assert not sizes or (min(sizes) >= 1 and max(sizes) <= min(most, min(sizes) + 1))


@pytest.mark.usefixtures("two_threads")
def test_pieces_run_at_the_same_time_and_come_back_in_order() -> None:
    meeting = threading.Barrier(2)

    def work(piece: int) -> tuple[int, int]:
        meeting.wait(PATIENCE)  # passed by two threads at once, or not at all
        return piece, torch.get_num_threads()

    assert on_threads(work, range(6), CPU) == [(piece, 1) for piece in range(6)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("pieces", "device"), [(0, CPU), (1, CPU), (3, torch.device("meta"))])
def test_one_piece_or_another_device_needs_no_threads(pieces: int, device: torch.device) -> None:
    here = threading.get_ident()
    assert on_threads(lambda _: threading.get_ident(), range(pieces), device) == [here] * pieces


def test_one_thread_is_a_loop() -> None:
    assert torch.get_num_threads() == 1  # as in all tests
    assert on_threads(lambda _: threading.get_ident(), range(3), CPU) == [threading.get_ident()] * 3


@pytest.mark.usefixtures("two_threads")
def test_work_that_calls_for_threads_again_is_a_loop() -> None:
    def work(_: int) -> bool:
        return on_threads(lambda _: threading.get_ident(), range(3), CPU) == [threading.get_ident()] * 3

    assert on_threads(work, range(4), CPU) == [True] * 4


@pytest.mark.usefixtures("two_threads")
def test_the_first_failure_surfaces_and_the_number_of_threads_is_put_back() -> None:
    meeting, begun = threading.Barrier(2), []

    def work(piece: int) -> None:
        begun.append(piece)
        if piece < 2:
            meeting.wait(PATIENCE)  # both fail, in whatever order
            raise ZeroDivisionError(f"piece {piece}")

    with pytest.raises(ZeroDivisionError, match=r"^piece 0$"):
        on_threads(work, range(10_000), CPU)
    assert torch.get_num_threads() == 2
    assert begun[:2] in ([0, 1], [1, 0])


@pytest.mark.usefixtures("two_threads")
def test_threads_write_to_tensors_of_inference_mode() -> None:
    with torch.inference_mode():
        out = torch.zeros(4)
        on_threads(lambda piece: out[piece].add_(piece), range(4), CPU)
    assert out.tolist() == [0.0, 1.0, 2.0, 3.0]
