"""Languages in files: exact round trips, whole files, and clear errors for what is no language."""

import errno
import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from synthetic import Language
from synthetic.catalogue import LanguageFileError, load, save
from synthetic.closed_form import PairLanguage, TableLanguage
from synthetic.combinators import Concatenation
from synthetic.testing.strategies import languages


class Weighted(Language):
    """A language with an array, a nested language and every other kind of value in its state."""

    family: ClassVar[str] = "weighted"
    vocabulary = ("a", "b")
    length = 2

    def __init__(self, weights: Tensor, inner: Language, more: dict[str, Any]) -> None:
        self.weights, self.inner, self.more = weights, inner, more

    def log_prob(self, sentences: Tensor) -> Tensor:
        return self.weights.log()[sentences[:, 0], sentences[:, 1]]

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "inner": self.inner, "more": self.more}


WEIGHTS = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)
MORE = {"half": Fraction(1, 2), "tiny": 5e-324, "third": 0.1 + 0.2, "none": None, "list": [1, "x", True]}
KNOWN = (Weighted,)


def weighted() -> Weighted:
    return Weighted(WEIGHTS, PairLanguage(3, 0.7), MORE)


@given(language=languages())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_property_the_round_trip_is_exact(tmp_path: Path, language: Language) -> None:
    path = tmp_path / "language.json"
    save(language, path)
    back = load(path)
    assert type(back) is type(language)
    assert back.vocabulary == language.vocabulary
    assert back.enumerate_exact() == language.enumerate_exact()
    first = path.read_bytes()
    save(back, path)
    assert path.read_bytes() == first


def test_arrays_nested_languages_and_every_value_come_back_exactly(tmp_path: Path) -> None:
    files = save(weighted(), tmp_path / "w.json")
    assert [file.name for file in files] == ["w.json", "w.npz"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["w.json", "w.npz"]
    back = load(tmp_path / "w.json", KNOWN)
    assert isinstance(back, Weighted)
    assert torch.equal(back.weights, WEIGHTS)
    assert back.inner == PairLanguage(3, 0.7)
    assert back.more == MORE


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_no_language_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save(PairLanguage(3, 0.7), path)
    for changes, message in (
        ({"format": "other"}, "holds no language"),
        ({"version": 99}, "expected version 1, got 99"),
        ({"language": "klingon"}, "expected a family among .*pairs"),
        ({"state": {"d": 1, "alpha": 0.7}}, "expected an integer d >= 2"),
        ({"state": {"d": 3}}, "alpha"),
        ({"state": {"d": 3, "alpha": {"array": "alpha"}}}, "alpha"),
    ):
        save(PairLanguage(3, 0.7), path)
        edited(path, **changes)
        with pytest.raises(LanguageFileError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)
    path.write_text("{")
    with pytest.raises(LanguageFileError, match="expected a JSON document"):
        load(path)
    path.write_text(json.dumps({"format": "flatproof language", "version": 1, "map": {}}))
    with pytest.raises(LanguageFileError, match='expected a "language"'):
        load(path)


def test_missing_damaged_or_executable_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    beside = tmp_path / "w.npz"
    save(weighted(), path)
    good = beside.read_bytes()
    beside.unlink()
    with pytest.raises(LanguageFileError, match="missing; keep the two files together"):
        load(path, KNOWN)
    beside.write_bytes(good[:-1] + b"?")
    with pytest.raises(LanguageFileError, match="damaged or belongs to another"):
        load(path, KNOWN)
    np.savez(beside, weights=np.array([{"code": "object"}], dtype=object))
    edited(path, arrays={"file": "w.npz", "sha256": hashlib.sha256(beside.read_bytes()).hexdigest()})
    with pytest.raises(LanguageFileError, match="pickles are not read"):
        load(path, KNOWN)
    beside.write_bytes(b"no zip")
    edited(path, arrays={"file": "w.npz", "sha256": hashlib.sha256(b"no zip").hexdigest()})
    with pytest.raises(LanguageFileError, match=r"w\.(npz is no npz|json)"):
        load(path, KNOWN)


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a file cannot hold nan of more"):
        save(Weighted(WEIGHTS, PairLanguage(3, 0.7), {"bad": float("nan")}), tmp_path / "x.json")
    with pytest.raises(ValueError, match="expected the name of a JSON file"):
        save(PairLanguage(3, 0.7), tmp_path / "x.npz")

    class Nameless(PairLanguage):
        family = ""

    with pytest.raises(TypeError, match="give its class a name"):
        save(Nameless(3, 0.7), tmp_path / "x.json")

    class Plain(TableLanguage):
        def state(self) -> dict[str, Any]:
            return Language.state(self)

    with pytest.raises(TypeError, match="define state"):
        save(Plain(("a",), {(0,): 1}), tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_limits_hold_for_writing_and_for_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(TypeError, match="expected d of pairs up to 1048576 in a file, got 2000000"):
        save(PairLanguage(2_000_000, 0.7), path)
    chain: Language = PairLanguage(2, 0.7)
    for _ in range(60):
        chain = Concatenation((chain,))
    with pytest.raises(TypeError, match="at most 100 levels inside one another, got more; save the inner"):
        save(chain, path)
    assert not list(tmp_path.iterdir())
    save(PairLanguage(3, 0.7), path)
    monkeypatch.setattr("synthetic.catalogue.files.LARGEST_DOCUMENT", 50)
    with pytest.raises(LanguageFileError, match=r"at most 50 bytes in p\.json, got more"):
        load(path)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.json"
    save(PairLanguage(3, 0.7), path)

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        save(PairLanguage(4, 0.7), path)
    assert load(path) == PairLanguage(3, 0.7)
    assert [file.name for file in tmp_path.iterdir()] == ["p.json"]
