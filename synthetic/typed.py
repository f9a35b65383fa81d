"""Data from files as what type annotations ask for: nothing is guessed; what does not fit is named by its place.

>>> from dataclasses import dataclass
>>> @dataclass
... class Point:
...     at: tuple[float, ...]
...     label: str = ""
>>> build(Point, {"at": [0.5, 1]})
Point(at=(0.5, 1), label='')
>>> build(Point, {"at": [0.5, None]})
Traceback (most recent call last):
synthetic.typed.TypedDataError: at[1]: expected float, got None
"""

from __future__ import annotations

import collections.abc
import inspect
import json
import sys
import types
from collections.abc import Callable, Mapping, Set
from dataclasses import is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Built = TypeVar("Built")

_SEQUENCES = (tuple, list, collections.abc.Sequence)
_MAPPINGS = (dict, collections.abc.Mapping)
_NON_FINITE = ("nan", "inf", "-inf")


class TypedDataError(ValueError):
    """Data that do not fit the annotation of their place."""


def parse_json(content: bytes) -> Any:
    """Return a JSON document in UTF-8 in which no object has a name twice.

    Raises:
        TypedDataError: it is none, or nested beyond Python's recursion limit.
    """
    try:
        return json.loads(content.decode(), object_pairs_hook=_without_repeats)
    except RecursionError as error:
        raise TypedDataError("expected a JSON document of few levels inside one another, got far more") from error
    except TypedDataError:
        raise
    except ValueError as error:
        raise TypedDataError(f"expected a JSON document, got {error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise TypedDataError(f"expected every name once, got {_shown(max(names, key=names.count))} twice")
    return found


def build(make: Callable[..., Built], data: Any, place: str = "", *, named: bool = False) -> Built:
    """Call a class or function with the arguments that a mapping holds, each `fitted` to its annotation.

    Arguments without an annotation, or with one whose names are not known where it stands, are passed as they are.

    Args:
        make: what to call.
        data: the arguments by name.
        place: where the data stand, for messages.
        named: whether a float that is not finite may be given by its name, as JSON has no number for it.

    Raises:
        TypedDataError: data are no mapping, or an argument is missing, unknown or does not fit. What `make` raises
            comes through.
    """
    if not isinstance(data, Mapping):
        raise TypedDataError(f"{place or 'all'}: expected names with values, got {_shown(data)}")
    names, required, kinds, any_name = _arguments(make)
    missing, unknown = required - data.keys(), set() if any_name else data.keys() - names
    if missing or unknown:
        inside, got = f"{place}: " if place else "", f"no {min(missing)}" if missing else _shown(min(unknown))
        raise TypedDataError(f"{inside}expected {', '.join(sorted(names))}, got {got}")
    inside = f"{place}." if place else ""
    given = {name: fitted(value, kinds.get(name, Any), f"{inside}{name}", named=named) for name, value in data.items()}
    return make(**given)


@lru_cache(maxsize=256)
def _arguments(make: Callable[..., Any]) -> tuple[Set[str], Set[str], Mapping[str, Any], bool]:
    """Names of arguments, those without a default, their annotations, and whether it takes any other name as well."""
    parameters = inspect.signature(make).parameters
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    named = {name: own for name, own in parameters.items() if own.kind not in variadic}
    required = {name for name, own in named.items() if own.default is own.empty}
    try:
        own_init = isinstance(make, type) and not is_dataclass(make)
        kinds = get_type_hints(inspect.getattr_static(make, "__init__") if own_init else make)
    except NameError:
        kinds = {}
    return named.keys(), required, kinds, any(own.kind is own.VAR_KEYWORD for own in parameters.values())


def fitted(value: Any, kind: Any, place: str, *, named: bool = False) -> Any:
    """Return a value as an annotation asks for: lists as tuples, mappings as dataclasses, all else as it is.

    A float is finite, or an int in its range; a bool is no int; an array has the dtype and shape of its annotation.

    Raises:
        TypedDataError: the value does not fit; the message names the place.
    """
    if kind is Any or (type(value) is kind and kind in (str, int, bool)):
        return value
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(value, arguments, place, named)
    if origin is Literal and any(value == each and type(value) is type(each) for each in arguments):
        return value
    if origin in _SEQUENCES and isinstance(value, list | tuple):
        return tuple(fitted(part, arguments[0], f"{place}[{i}]", named=named) for i, part in enumerate(value))
    if origin in _MAPPINGS and isinstance(value, Mapping):
        return {key: fitted(part, arguments[1], f"{place}.{key}", named=named) for key, part in value.items()}
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return build(kind, value, place, named=named)
    if kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return value
    if kind is float and named and value in _NON_FINITE:
        return float(value)
    if isinstance(kind, type) and kind is not float and isinstance(value, kind) and type(value) is not bool:
        return value
    name = kind.__name__ if isinstance(kind, type) and origin is None else str(kind)
    raise TypedDataError(f"{place}: expected {name}, got {_shown(value)}")


def _one_of(value: Any, kinds: tuple[Any, ...], place: str, named: bool) -> Any:
    if value is None and types.NoneType in kinds:
        return None
    # Where a float may stand, an int is one and has its range.
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType and not (kind is int and float in kinds))
    for kind in kinds[:-1]:
        try:
            return fitted(value, kind, place, named=named)
        except TypedDataError:
            continue
    return fitted(value, kinds[-1], place, named=named)


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) >= 2**64:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
