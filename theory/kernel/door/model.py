"""Models: what the symbols of a derivation stand for in an actual system, and what is true there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import sympy as sp
from mpmath import iv

from theory.kernel.door.setting import heads

HOLDS, FAILS, OPEN = "holds", "fails", "open"


@dataclass(frozen=True)
class Model:
    """An interpretation of symbols by an actual system, such as a small network at a point of Γ.

    A number is exact (int, Fraction, an exact constant of sympy) or an `enclosed` one. What is not interpreted is
    computed, if a definition or a recurrence of the derivation gives it a meaning; otherwise it stands for every value.

    Attributes:
        name: the system, in a few words; unique in a derivation.
        values: to a symbol its number, or a list of numbers for each of which all is evaluated (an index, the place on
            a curve); to an indexed base or a function of indices nested lists, the first entry having index 1; to a
            function of real arguments a `sympy.Lambda` of them (after its indices, if it has some, inside the lists),
            in which other quantities of the model may occur.
        breaks: the hypothesis that does not hold, if this is a control.
        step: the step that falls with it.
    """

    name: str
    values: Mapping[Any, Any]
    breaks: str = ""
    step: str = ""

    def control(self, breaks: str, step: str, values: Mapping[Any, Any], name: str = "") -> Model:
        """Return this model with other values, with which a hypothesis must fail, and a step with it."""
        name = name or f"{self.name}, without {breaks}"
        return replace(self, name=name, values={**self.values, **values}, breaks=breaks, step=step)

    @property
    def inside(self) -> frozenset[Any]:
        """Quantities that occur in the functions of the model."""
        return frozenset().union(*(heads(made.expr) for value in self.values.values() for made in _lambdas(value)))

    def environments(self, statements: Sequence[sp.Basic]) -> Iterator[dict[sp.Symbol, Any]]:
        """Every choice among the listed values of the symbols that occur freely."""
        free = set().union(*(statement.free_symbols for statement in statements))
        listed = sorted((s for s in free if s.is_Symbol and isinstance(self.values.get(s), Sequence)), key=str)
        choices = itertools.product(*(self.values[symbol] for symbol in listed))
        return (dict(zip(listed, chosen, strict=True)) for chosen in choices)


def _lambdas(value: Any) -> Iterator[sp.Lambda]:
    if isinstance(value, sp.Lambda):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _lambdas(each)


def enclosed(value: float, radius: float) -> Any:
    """Return the interval [value − radius, value + radius], for a number known up to a derived error.

    Raises:
        ValueError: the radius is negative, or one of them is not finite.
    """
    if not (abs(value) < float("inf") and 0 <= radius < float("inf")):
        raise ValueError(f"expected a finite value and a radius ≥ 0, got {value} ± {radius}")
    return iv.mpf(value) + iv.mpf([-radius, radius])


def entry(values: Any, places: Sequence[int]) -> Any:
    """Entry of nested lists, counted from 1; what is no list is the same at all places that remain.

    Raises:
        IndexError: there is none.
    """
    for place in places:
        if not isinstance(values, Sequence):
            return values
        if not 1 <= place <= len(values):
            raise IndexError(place)
        values = values[place - 1]
    return values


def exact(number: Any) -> int | Fraction | None:
    """A rational number as the door computes with it; None if it is none."""
    if isinstance(number, int | Fraction) and not isinstance(number, bool):
        return number
    if isinstance(number, sp.Rational):
        return Fraction(int(number.p), int(number.q))
    return None


@dataclass(frozen=True)
class Examined:
    """What a model showed.

    Attributes:
        model: the model.
        standing: of each hypothesis: `HOLDS`, `FAILS`, or `OPEN` where something in it is not interpreted.
        points: of each step, at how many points of the model, at which its premises hold, it was evaluated.
    """

    model: Model
    standing: Mapping[str, str]
    points: Mapping[str, int]
