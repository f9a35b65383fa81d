"""Mutant: npz files beyond the limits, or of anything but numbers, are refused before they are unpacked."""

import io
import zipfile

import numpy as np
import pytest

from synthetic.catalogue import arrays
from synthetic.catalogue.arrays import ArraysError, packed, unpacked


def archive(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)])
def test_round_trip_of_every_type_and_order(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for own in (array, np.asfortranarray(array)):
        (found,) = unpacked(packed({"a.b": own})).values()
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "no npz file"),
        (archive(("a.npy", b"")), "expected an array of numbers"),
        (archive(("a.npy", npy([{}]))), r"got '\|O'; pickles are not read"),
        (archive(("a.npy", npy(["text"]))), "got '<U4'"),
        (archive(("a.npy", npy([1j]))), "got '<c16'"),
        (archive(("a.npy", npy([1.0])[:-1])), r"float64 of shape \(1,\), got 7 bytes"),
        (archive(("a.npy", npy([1.0]) + b"x")), r"float64 of shape \(1,\), got 9 bytes"),
        (archive(("a.npy", npy([1.0]).replace(b"(1,), }         ", b"(9999999999999,), }"[:16]))), "a.npy: expected"),
    ],
)
def test_what_holds_no_numbers_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ArraysError, match=message):
        unpacked(content)


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        content = archive(("a.npy", npy([1.0])), ("a.npy", npy([2.0])))
    with pytest.raises(ArraysError, match="a name twice"):
        unpacked(content)


def test_the_limit_is_on_what_is_claimed_and_the_same_for_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGEST_ARRAYS", 1000)
    bomb = archive(("a.npy", npy(np.zeros(100))), ("b.npy", npy(np.zeros(100))))
    assert len(bomb) < 1000
    with pytest.raises(ArraysError, match="at most 1000 bytes, the file claims 1856"):
        unpacked(bomb)
    with pytest.raises(ArraysError, match="at most 1000 bytes, got 1600; keep them elsewhere"):
        packed({"a": np.zeros(200)})
