"""Points at which all premises of a step hold: quantities are drawn, or computed by the rules of a setting.

A point is dropped unless every premise that has no rule holds for certain. A hypothesis about every index holds at
every one.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import lru_cache
from typing import Any, TypeVar

import sympy as sp

from theory.kernel.door.evaluate import Env, NotAttackableError, difference, evaluated, truth, whole
from theory.kernel.door.setting import (
    Rule,
    Setting,
    head_of,
    places_of,
)
from theory.kernel.door.values import (
    EXACT,
    Jet,
    OpenError,
    UndefinedHereError,
    Value,
    add,
    base,
    multiply,
    negative,
    power,
    sign,
)
from theory.kernel.failure import CheckFailedError

Exact = int | Fraction
WHOLE = (0, 1, 2, 3, -1, 4, -2, 5)
POOL: tuple[Exact, ...] = (
    *WHOLE,
    *(Fraction(n, m) for n, m in ((1, 2), (-1, 2), (1, 3), (-2, 3), (5, 4), (7, 3), (-3, 2), (3, 5))),
)
"""Values drawn: sizes and indices are small, and the values at which things degenerate are among the first."""
GRID = tuple(range(-1, 5))
"""Indices at which a hypothesis about every index is tested."""
LONGEST_RUN = 8
MIXED = (2, 3, 5, 7)
"""Attempts in which each quantity is at one of its two most degenerate values, such as 0 and 1."""


Moved = TypeVar("Moved", bound="Point")


class InadmissibleError(Exception):
    """A premise does not hold, or not for certain, at this point."""


class AbsentError(InadmissibleError):
    """An index at which a model has no entry."""


def _allowed(number: Exact, assumptions: Mapping[str, bool]) -> bool:
    exact = sp.Rational(number.numerator, number.denominator)
    return all(getattr(exact, f"is_{name}") is wanted for name, wanted in assumptions.items())


@lru_cache(maxsize=1024)
def _pool(assumptions: frozenset[tuple[str, bool]]) -> tuple[Exact, ...]:
    return tuple(number for number in POOL if _allowed(number, dict(assumptions)))


@lru_cache(maxsize=16384)
def assumed(head: Any) -> frozenset[tuple[str, bool]]:
    """Assumptions that a symbol, an indexed base or an undefined function was made with."""
    if isinstance(head, sp.IndexedBase):
        head = head.label
    stated = head._assumptions_orig if isinstance(head, sp.Symbol) else getattr(head, "_kwargs", {})
    return frozenset((name, value) for name, value in stated.items() if name != "commutative" and value is not None)


_SIGNS = {
    "positive": {1}, "negative": {-1}, "nonnegative": {0, 1}, "nonpositive": {0, -1}, "nonzero": {-1, 1}, "zero": {0},
}  # fmt: skip
_NO_BAR = {"real", "extended_real", "finite", "complex", "hermitian"}


def satisfies(value: Value, assumptions: frozenset[tuple[str, bool]]) -> bool:
    """Whether a value certainly has what is assumed."""
    if isinstance(value, EXACT):
        return _allowed(value, dict(assumptions))
    for name, wanted in assumptions:
        plain = name.removeprefix("extended_")
        if name in _NO_BAR and wanted:
            continue
        if plain not in _SIGNS or (sign(base(value)) in _SIGNS[plain]) is not wanted or sign(base(value)) is None:
            return False
    return True


@lru_cache(maxsize=16384)
def _name(what: Any) -> str:
    return str(what)


def _draw(seed: str, choices: tuple[Exact, ...]) -> Exact:
    digest = hashlib.blake2b(seed.encode(), digest_size=4).digest()
    return choices[int.from_bytes(digest, "big") % len(choices)]


@lru_cache(maxsize=1024)
def _whole_pool(assumptions: frozenset[tuple[str, bool]]) -> frozenset[int]:
    return frozenset(n for n in range(-20, 21) if _allowed(n, dict(assumptions)))


class Point:
    """One admissible point; quantities are drawn, or computed by their rules, when they are asked for.

    Args:
        setting: the premises.
        attempt: 0 and 1 put all that is free to a degenerate value, those of `MIXED` mix two, the others are random.
    """

    strict = False
    """Whether an equation that enclosures leave open counts as such; if not, as true: it was not refuted."""

    def __init__(self, setting: Setting, attempt: int) -> None:
        self._setting, self._attempt, self._seed = setting, attempt, f"door|{attempt}"
        self._known: dict[Any, Value] = {}
        self._shown: dict[Any, Value] = {}
        self._pending: list[Any] = []
        self._indices: set[int] = set()
        self.memo: dict[Any, Value] = {}
        for entries, cases in setting.cases:
            case = cases[int(_draw(f"{self._seed}|{entries}", tuple(range(len(cases)))))]
            for entry, value in zip(entries, case if isinstance(case, sp.Tuple) else (case,), strict=True):
                self._known[entry, ()] = Fraction(int(value.p), int(value.q))

    def moved(self, symbol: sp.Symbol, value: Value) -> Point:
        """Return the same point with another value of a symbol, on which others may depend by their rules."""
        return self._with(Point(self._setting, self._attempt), symbol, value)

    def _with(self, point: Moved, symbol: sp.Symbol, value: Value) -> Moved:
        point._known[symbol, ()] = value
        point._shown = self._shown
        return point

    def describe(self) -> str:
        """The point in words."""
        shown = []
        for (head, places), value in {**self._shown, **self._known}.items():
            if isinstance(head, sp.Dummy):
                continue
            name = str(getattr(head, "label", head)) + (f"[{', '.join(map(str, places))}]" if places else "")
            found = base(value)
            shown.append(f"{name} = {found if isinstance(found, EXACT) else f'{float(found.mid):.12g}'}")
        return ", ".join(sorted(shown)) or "every point"

    def admit(self, grid: Iterable[int] = ()) -> None:
        """Check the premises that are not about every index, and the others at the indices of a grid.

        Raises:
            InadmissibleError: a premise does not hold for certain, or what it sets has no solution.
        """
        for head, rules in self._setting.rules.items():
            for rule in rules:
                if rule.value is None or isinstance(head, sp.Symbol):
                    for env in self._everywhere(rule.generic, grid):
                        with suppress(AbsentError):
                            self._force(head, rule, env)
        for test, generic in self._setting.tests:
            for env in self._everywhere(generic, grid):
                try:
                    holds = self.tested(test, generic, env)
                except AbsentError:
                    continue
                except (UndefinedHereError, OpenError) as failure:
                    raise InadmissibleError from failure
                if not holds:
                    raise InadmissibleError

    def tested(self, statement: sp.Basic, every: frozenset[sp.Basic], env: Env) -> bool | None:
        """Whether a premise holds; None if that stays open."""
        return truth(statement, self, env)

    def confirm(self, everywhere: bool) -> None:
        """Check what is assumed of every index at those that were asked for, `everywhere`: at those of `GRID` too.

        Raises:
            InadmissibleError: a premise does not hold for certain.
        """
        self.admit(sorted({*GRID, *self._indices} if everywhere else self._indices))

    def _everywhere(self, generic: frozenset[sp.Basic], grid: Iterable[int]) -> Iterator[dict[sp.Basic, Value]]:
        """Every assignment of values of the grid, as far as allowed, to indices."""
        indices = sorted(generic, key=str)
        choices = [[n for n in grid if n in _whole_pool(assumed(index))] for index in indices]
        return (dict(zip(indices, chosen, strict=True)) for chosen in itertools.product(*choices))

    def equal(self, left: Value, right: Value) -> bool | None:
        """Whether two values are the same; None when an enclosure of the difference contains 0."""
        found = sign(base(add(left, negative(right))))
        return None if found is None else found == 0

    def _force(self, head: Any, rule: Rule, env: Env) -> None:
        """Compute what a rule sets, whether or not the statement asks for it: there may be no solution."""
        try:
            self.quantity(head, tuple(evaluated(at, self, env) for at in rule.places))
        except (UndefinedHereError, OpenError) as failure:
            raise InadmissibleError from failure

    def quantity(self, head: Any, places: tuple[Value, ...]) -> Value:
        """Value of a symbol, of an indexed quantity, or of a function of integers."""
        key = (head, places)
        if key in self._known:
            return self._known[key]
        if key in self._pending:
            circle = [other for other, _ in self._pending[self._pending.index(key) :]]
            if self._setting.meanings.issuperset(circle):
                shown = " → ".join(map(str, [*circle, head]))
                raise CheckFailedError(f"meanings run in a circle, {shown}: rename one of the symbols")
            raise InadmissibleError
        self._indices.update(places)
        self._pending.append(key)
        try:
            value = self._found(head, places)
        except (UndefinedHereError, OpenError) as failure:
            raise InadmissibleError from failure
        finally:
            self._pending.pop()
        self._known[key] = value
        self._shown.setdefault(key, value)
        return value

    def _found(self, head: Any, places: tuple[Value, ...]) -> Value:
        if head in self._setting.runs:
            return self._run(head, places)
        matches = ((rule, self._matched(rule, places)) for rule in self._setting.rules.get(head, ()))
        rule, env = next(((rule, env) for rule, env in matches if env is not None), (None, {}))
        if rule is None:
            return self._free(head, places)
        if rule.value is not None:
            value = base(evaluated(rule.value, self, env))
        else:
            found = self._solved(rule, (head, places), env)
            value = self._free(head, places) if found is None else found
        if not satisfies(value, assumed(head)):
            raise InadmissibleError
        return value

    def _matched(self, rule: Rule, places: tuple[Value, ...]) -> dict[sp.Basic, Value] | None:
        env = {at: place for at, place in zip(rule.places, places, strict=True) if at in rule.generic}
        for at, place in zip(rule.places, places, strict=True):
            if at not in rule.generic and evaluated(at, self, env) != place:
                return None
        return env

    def _free(self, head: Any, places: tuple[Value, ...]) -> Exact:
        choices = _pool(assumed(head))
        if not choices:
            raise NotAttackableError(f"no value is known that is {', '.join(name for name, _ in assumed(head))}")
        if self._attempt < 2 and self._attempt < len(choices) and not places:
            return choices[self._attempt]
        if self._attempt in MIXED and len(choices) > 2:
            choices = choices[:2]
        return _draw(f"{self._seed}|{_name(head)}|{places}", choices)

    def _solved(self, rule: Rule, key: Any, env: Env) -> Value | None:
        """Solve a premise that is affine or quadratic in one quantity; None when any value will do."""
        rest = self._slack(rule, key)

        def residual(trial: Value) -> Value:
            memo, known, shown = self.memo, self._known, self._shown
            self.memo, self._known, self._shown = {}, {**known, key: trial}, {}
            try:
                return add(difference(rule.premise, self, env), negative(rest))
            finally:
                self._setting.effort += len(self.memo)
                self.memo, self._known, self._shown = memo, known, shown

        r1, r2, r3 = (residual(n) for n in (1, 2, 3))
        a = multiply(Fraction(1, 2), add(add(r3, r1), multiply(-2, r2)))
        if sign(a) in (0, None):
            slope = add(r2, negative(r1))
            if sign(slope) == 0 and sign(r1) == 0:
                return None
            if sign(slope) in (0, None):
                raise InadmissibleError
            found = add(1, negative(multiply(r1, power(slope, -1))))
        else:
            b = add(add(r2, negative(r1)), multiply(-3, a))
            c = add(add(r1, negative(a)), negative(b))
            square = add(multiply(b, b), multiply(-4, multiply(a, c)))
            if sign(square) not in (0, 1):
                raise InadmissibleError
            root = multiply(
                _draw(f"{self._seed}|root|{_name(key[0])}|{key[1]}", (1, -1)), power(square, Fraction(1, 2))
            )
            found = multiply(add(root, negative(b)), power(multiply(2, a), -1))
        if sign(residual(found)) not in (0, None):
            raise InadmissibleError
        return found

    def _slack(self, rule: Rule, key: Any) -> Exact:
        part = rule.premise
        if isinstance(part, sp.Equality):
            return 0
        kind = {"nonzero": True} if isinstance(part, sp.Unequality) else {"positive": True}
        if isinstance(part, sp.Ge | sp.Le):
            kind = {"nonnegative": True}
        chosen = _draw(f"{self._seed}|slack|{_name(part)}|{key[1]}", _pool(frozenset(kind.items())))
        return -chosen if isinstance(part, sp.Lt | sp.Le) else chosen

    def _run(self, head: Any, places: tuple[Value, ...]) -> Value:
        """Follow a recurrence from its start to its place."""
        rule, place = self._setting.runs[head]
        system = {state: (start, update) for state, start, update in rule}
        for other, (their_rule, their_place) in self._setting.runs.items():
            if their_place == place and other != head:
                system |= {state: (start, update) for state, start, update in their_rule if state not in system}
        counters = [
            s
            for s, (start, update) in system.items()
            if update == s + 1 and s.is_Symbol and s not in self._setting.runs
        ]
        if not place:
            steps = _draw(f"{self._seed}|steps", WHOLE[:4])
        elif len(place) == 1 and len(counters) == 1:
            steps = whole(add(evaluated(place[0], self, {}), negative(evaluated(system[counters[0]][0], self, {}))))
        else:
            raise NotAttackableError("a recurrence with several counters is not followed")
        if not 0 <= steps <= LONGEST_RUN:
            raise InadmissibleError
        env: dict[sp.Basic, Value] = {}
        for state in system:
            if head_of(state) == head and places:
                for at, here in zip(places_of(state), places, strict=True):
                    if not at.is_Symbol and evaluated(at, self, {}) != here:
                        return self._free(head, places)
                    if at.is_Symbol:
                        env[at] = here
        alias = {state: sp.Symbol(f"state {state}") for state in system if not state.is_Symbol}
        now = {alias.get(s, s): base(evaluated(start, self, env)) for s, (start, _) in system.items()}
        for _ in range(int(steps)):
            inside = {**env, **now}
            now = {
                alias.get(s, s): base(evaluated(update.xreplace(alias), self, inside))
                for s, (_, update) in system.items()
            }
        found = next(s for s in system if head_of(s) == head)
        return now[alias.get(found, found)]

    def function(self, head: Any, arguments: tuple[Value, ...]) -> Value:
        """Value of an undefined function: by its rule, or a random polynomial, squared if it is to be positive."""
        if head in self._setting.flows:
            time, solution = self._setting.flows[head]
            return evaluated(solution, self, {time: arguments[0]})
        discrete = self._setting.discrete.get(head, (False,) * len(arguments))
        if all(discrete) and not any(isinstance(argument, Jet) for argument in arguments):
            return self.quantity(head, arguments)
        if head not in self._setting.rules:
            return self._polynomial(head, arguments, discrete)
        rule = self._setting.rules[head][0]
        if rule.value is None:
            raise NotAttackableError(f"{head} is not given explicitly")
        env = {at: value for at, value in zip(rule.places, arguments, strict=True) if at in rule.generic}
        stated = evaluated(rule.value, self, env)
        if len(env) == len(arguments):
            return stated
        if {name for name, wanted in assumed(head) if wanted} - _NO_BAR:
            raise InadmissibleError
        pinned = tuple(evaluated(at, self, env) for at in rule.places)
        here = self._polynomial(head, arguments, discrete)
        return add(stated, add(here, negative(self._polynomial(head, pinned, discrete))))

    def _polynomial(self, head: Any, arguments: tuple[Value, ...], discrete: tuple[bool, ...]) -> Value:
        names = tuple(base(a) for a, is_whole in zip(arguments, discrete, strict=True) if is_whole)
        reals = [a for a, is_whole in zip(arguments, discrete, strict=True) if not is_whole]
        total: Value = 0
        for powers in itertools.product(range(3), repeat=len(reals)):
            if sum(powers) <= 3:
                term: Value = _draw(f"{self._seed}|{_name(head)}|{names}|{powers}", _COEFFICIENTS)
                if self._attempt < 2:  # the functions 0 and 1
                    term = 0 if any(powers) else self._attempt
                for argument, exponent in zip(reals, powers, strict=True):
                    term = multiply(term, power(argument, exponent))
                total = add(total, term)
        wanted = {name.removeprefix("extended_") for name, value in assumed(head) if value} - _NO_BAR
        if not wanted:
            return total
        square = multiply(total, total)
        if wanted <= {"positive", "nonnegative", "nonzero"}:
            return add(square, Fraction(1, 3)) if wanted & {"positive", "nonzero"} else square
        raise NotAttackableError(f"no function is known that is {', '.join(sorted(wanted))}")


_COEFFICIENTS: tuple[Exact, ...] = (0, 1, -1, 2, Fraction(1, 2), Fraction(-1, 3), Fraction(3, 2), -2)
