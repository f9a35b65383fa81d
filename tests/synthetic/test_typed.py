"""Mutant: data that do not fit the annotation of their place are named by it; what fits comes back unchanged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import pytest
import torch
from jaxtyping import Float64
from torch import Tensor

from synthetic.typed import TypedDataError, build, fitted, parse_json

ROW = Float64[Tensor, " entry"]


@dataclass
class Inner:
    size: int
    share: float | int | None = None


@dataclass
class Outer:
    inner: tuple[Inner, ...]
    kind: Literal["exact", "chain"] = "exact"
    more: Mapping[str, int | str] = field(default_factory=dict)


def test_nested_data_become_dataclasses_and_tuples() -> None:
    data = {"inner": [{"size": 1}, {"size": 2, "share": 0.5}], "kind": "chain", "more": {"a": 1, "b": "x"}}
    assert build(Outer, data) == Outer((Inner(1), Inner(2, 0.5)), "chain", {"a": 1, "b": "x"})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "all: expected names with values, got None"),
        ({}, "expected inner, kind, more, got no inner"),
        ({"inner": [], "x": 1}, "expected inner, kind, more, got 'x'"),
        ({"inner": [{"size": True}]}, r"inner\[0\].size: expected int, got True"),
        ({"inner": [{"size": 1}, {}]}, r"inner\[1\]: expected share, size, got no size"),
        ({"inner": [{"size": 1, "share": 10**400}]}, r"inner\[0\].share: expected float, got an integer of 1329 bits"),
        ({"inner": [], "kind": "other"}, "kind: expected .*exact.*chain.*, got 'other'"),
        ({"inner": [], "more": {"a": 0.5}}, "more.a: expected str, got 0.5"),
        ({"inner": "x" * 99}, "inner: expected tuple.*, got 'x{56}…"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(data: Any, message: str) -> None:
    with pytest.raises(TypedDataError, match=message):
        build(Outer, data)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (float("nan"), float),
        (float("inf"), float | int),
        ("inf", float),
        (1.0, int),
        (0.5, Fraction),
        (torch.zeros(2, 2, dtype=torch.float64), ROW),
        (torch.zeros(2), ROW),
        ([1], ROW),
        ([1], str),
        ("ab", Sequence[str]),
        (None, int | str),
    ],
)
def test_values_of_other_types_are_refused(value: Any, kind: Any) -> None:
    with pytest.raises(TypedDataError, match="here: expected "):
        fitted(value, kind, "here")


def test_what_fits_is_given_back() -> None:
    row = torch.zeros(2, dtype=torch.float64)
    for value, kind in ((row, ROW), (1, float), (Fraction(1, 2), int | Fraction), (None, int | None), ({}, Any)):
        assert fitted(value, kind, "here") is value
    assert fitted("-inf", float, "here", named=True) == -float("inf")


def test_arguments_without_annotations_or_of_any_name_are_passed_on() -> None:
    def make(first, *, second: "Unknown" = 0, **rest):  # type: ignore[no-untyped-def,name-defined]
        return first, second, rest

    assert build(make, {"first": None, "second": "x", "third": 3}) == (None, "x", {"third": 3})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "expected a JSON document, got"),
        (b"\xff", "expected a JSON document, got"),
        (b"1" * 5000, "expected a JSON document, got"),
        (b"[" * 10**5, "few levels inside one another"),
        (b'{"a": {"b": 1, "b": 2}}', "expected every name once, got 'b' twice"),
    ],
)
def test_what_is_no_document_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(TypedDataError, match=message):
        parse_json(content)
