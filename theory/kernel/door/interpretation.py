"""A statement in a model: the quantities that the model interprets have its values, the others are drawn."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any

import sympy as sp

from theory.kernel.door.admissible import AbsentError, InadmissibleError, Point, assumed, satisfies
from theory.kernel.door.evaluate import Env, NotAttackableError, evaluated, truth
from theory.kernel.door.model import FAILS, HOLDS, OPEN, Model, entry, exact
from theory.kernel.door.refute import holds
from theory.kernel.door.setting import Setting, generic_of
from theory.kernel.door.values import (
    OpenError,
    UndefinedHereError,
    Value,
    add,
    base,
    coefficient,
    digits,
    enclosure,
    negative,
    shifted,
    sign,
)  # fmt: skip
from theory.kernel.failure import CheckFailedError
from theory.kernel.premises import Premise

RESOLUTION = 1e-6
"""An equation is confirmed by enclosures that overlap if both are this narrow, against the larger side, or against 1 if
one may be 0: an enclosure that is wide confirms nothing."""
DRAWS = range(2, 14)
"""Attempts at drawing what is not interpreted; 0 and 1 are the degenerate ones."""
ENOUGH = 2
INDICES = range(1, 9)
"""Places of a hypothesis about every index, as far as the model has them."""


class _UninterpretedError(Exception):
    """The value of something that the model does not interpret was asked for."""


class ModelPoint(Point):
    """An admissible point of a model.

    Args:
        setting: the premises, none of them solved for what the model interprets.
        attempt: how what is not interpreted is drawn; None to refuse drawing.
        model: the model.
        chosen: which of the listed values symbols have.
    """

    strict = True

    def __init__(self, setting: Setting, attempt: int | None, model: Model, chosen: Mapping[sp.Symbol, Any]) -> None:
        super().__init__(setting, DRAWS[0] if attempt is None else attempt)
        self._draws, self._model, self._chosen = attempt is not None, model, chosen
        self.drawn = False

    def moved(self, symbol: sp.Symbol, value: Value) -> ModelPoint:
        """The same point with another value of a symbol."""
        return self._with(
            ModelPoint(self._setting, self._attempt if self._draws else None, self._model, self._chosen), symbol, value
        )

    def _number(self, found: Any) -> Value:
        number = exact(found)
        if number is not None:
            return number
        return base(evaluated(found, self, {})) if isinstance(found, sp.Basic) else found

    def _found(self, head: Any, places: tuple[Value, ...]) -> Value:
        if head not in self._model.values:
            return super()._found(head, places)
        try:
            value = self._number(self._chosen.get(head, entry(self._model.values[head], places)))
        except IndexError as error:
            raise AbsentError from error
        if not satisfies(value, assumed(head)):
            wanted = ", ".join(name for name, _ in sorted(assumed(head)))
            raise CheckFailedError(
                f"{head} is assumed {wanted}, but model {self._model.name!r} gives it the value {value}"
            )
        return value

    def _free(self, head: Any, places: tuple[Value, ...]) -> Any:
        if not self._draws:
            raise _UninterpretedError
        self.drawn = True
        return super()._free(head, places)

    def function(self, head: Any, arguments: tuple[Value, ...]) -> Value:
        """Value of an undefined function: by its Lambda, its list, or as at any other point."""
        if head not in self._model.values:
            if not self._draws and head not in self._setting.flows:
                raise _UninterpretedError
            self.drawn = True
            return super().function(head, arguments)
        found, rest = self._model.values[head], list(arguments)
        while rest and not isinstance(found, sp.Lambda):
            place = rest.pop(0)
            try:
                found = entry(found, (int(base(place)),))
            except IndexError as error:
                raise AbsentError from error
        if isinstance(found, sp.Lambda):
            return evaluated(found.expr, self, dict(zip(found.variables, rest, strict=True)))
        return self._number(found)

    def _everywhere(self, generic: frozenset[sp.Basic], grid: Iterable[int]) -> Iterator[dict[sp.Basic, Value]]:
        listed = [s for s in generic if isinstance(self._model.values.get(s), list | tuple | range)]
        for others in super()._everywhere(generic - set(listed), grid):
            for chosen in self._model.environments(listed):
                yield {**others, **{symbol: self._number(value) for symbol, value in chosen.items()}}

    def tested(self, statement: sp.Basic, every: frozenset[sp.Basic], env: Env) -> bool | None:
        """Whether a premise holds; an equation for every real value of a symbol, with its first two derivatives."""
        moving = sorted((x for x in every & statement.free_symbols if not x.is_integer), key=str)
        if not moving or not isinstance(statement, sp.Equality):
            return truth(statement, self, env)
        at = {x: shifted(base(evaluated(x, self, env)), -1 - place, 2) for place, x in enumerate(moving)}
        left, right = (evaluated(side, self, {**env, **at}) for side in statement.args)
        orders = itertools.product(range(3), repeat=len(moving))
        verdicts = {self.equal(*(_along(side, order) for side in (left, right))) for order in orders}
        return False if False in verdicts else None if None in verdicts else True

    def equal(self, left: Value, right: Value) -> bool | None:
        """Whether two values are the same, as far as narrow enclosures can tell."""
        left, right = base(left), base(right)
        gap = add(left, negative(right))
        if sign(gap) is not None:
            return sign(gap) == 0
        scale = max(float(abs(enclosure(side)).b) for side in (left, right))
        if sign(left) in {0, None} or sign(right) in {0, None}:
            scale = max(scale, 1.0)
        return True if float(gap.delta) <= RESOLUTION * scale else None


def standing(hypothesis: Premise, definitions: frozenset[Premise], model: Model) -> str:
    """Whether a hypothesis holds in a model, for every index and listed value: `HOLDS`, `FAILS`, or `OPEN`."""
    statement, found = hypothesis.statement, set()
    indices = {index: INDICES for index in generic_of(hypothesis) if index.is_integer and index not in model.values}
    trivial = True
    everywhere = replace(model, values={**model.values, **indices})
    with digits():
        for chosen in everywhere.environments([statement]):
            setting = Setting(statement, definitions, slack=False, interpreted=frozenset(model.values))
            try:
                point = ModelPoint(setting, None, everywhere, chosen)
                found.add(point.tested(statement, hypothesis.every, {}))
                trivial = trivial and _is_trivial(statement, point)
            except InadmissibleError:  # an index without a value, or a definition without one
                continue
            except (_UninterpretedError, OpenError, UndefinedHereError, NotAttackableError):
                return OPEN
    return FAILS if False in found else HOLDS if found == {True} and not trivial else OPEN


def _particular(premise: Premise) -> list[sp.Basic]:
    """Symbols for one value of which a premise is meant."""
    free = {symbol for symbol in premise.statement.free_symbols if symbol.is_Symbol}
    return sorted(free if premise.kind == "condition" else free - generic_of(premise), key=str)


def _along(value: Value, order: tuple[int, ...]) -> Value:
    """Coefficient of a monomial in the infinitesimals −1, −2, …."""
    for place, power in enumerate(order):
        value = coefficient(value, -1 - place, power)
    return base(value)


def _is_trivial(statement: sp.Basic, point: Point) -> bool:
    """Whether an equation between two expressions says no more here than 0 = 0."""
    if not isinstance(statement, sp.Equality) or sp.S.Zero in statement.args or statement.has(sp.Limit, sp.Order):
        return False
    return all(sign(base(evaluated(side, point, {}))) in {0, None} for side in statement.args)


def examined(kind: str, statement: sp.Basic, premises: frozenset[Premise], model: Model) -> int:
    """Evaluate a step wherever its premises hold in a model; return at how many points they do.

    Raises:
        RefutedError: it is false at one of them, or has no value.
    """
    told = [p for p in premises if p.kind != "dynamics" and isinstance(p.statement, sp.Basic)]
    relevant = [statement, *(sp.Tuple(*_particular(p)) for p in told)]
    confirmed = 0
    with digits(), suppress(NotAttackableError):
        for chosen in model.environments(relevant):
            here = 0
            for attempt in DRAWS:
                setting = Setting(statement, premises, slack=attempt % 2 == 0, interpreted=frozenset(model.values))
                point = ModelPoint(setting, attempt, model, chosen)
                for variable in {s for order in statement.atoms(sp.Order) for s in order.variables}:
                    point = point.moved(variable, Fraction(1, 10**12))
                with suppress(InadmissibleError, OpenError):
                    point.admit()
                    here += holds(kind == "ode", statement, premises, point) and not _is_trivial(statement, point)
                if here == ENOUGH or not point.drawn:
                    break
            confirmed += here
    return confirmed
