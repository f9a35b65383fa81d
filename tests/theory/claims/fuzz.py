"""Mutants of every step of every claim, counted by what became of them.

python -m tests.theory.claims.fuzz --per-step 40 --seed 0

A mutant that the kernel refuses is refused by a check or, last, by the door. One that it accepts must be true, by
evaluation at `FRESH` admissible points that the door has not tried, in 80 digits. The command fails if one is false.
"""

from __future__ import annotations

import argparse
import inspect
import os
import random
import signal
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from unittest import mock

import sympy as sp

import theory.kernel.derivation as kernel
from tests.theory.claims.mutation import TARGETS, mutants
from theory.claims import CLAIMS
from theory.kernel import CheckFailedError, Derivation, Step
from theory.kernel.door import attack
from theory.kernel.door.admissible import InadmissibleError, Point, assumed
from theory.kernel.door.evaluate import NotAttackableError
from theory.kernel.door.refute import holds
from theory.kernel.door.setting import Setting
from theory.kernel.door.values import OpenError, Value, digits

FRESH = 20
ATTEMPTS = range(1000, 1600)
"""The door's are 0 to 23."""
OUTCOMES = (
    "refused by a check", "refused by the door", "accepted, true", "accepted, open", "accepted, false", "raw error",
    "too slow",
)  # fmt: skip
PARTS_PER_PROCESS = 3
SECONDS = 30
"""Of CPU time, after which a mutant is given up."""


@dataclass
class Tally:
    """What became of mutants: how many of each class, and those that were neither refused nor are known to be true."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    suspects: list[str] = field(default_factory=list)
    steps: int = 0

    def __iadd__(self, other: Tally) -> Tally:
        self.counts += other.counts
        self.suspects += other.suspects
        self.steps += other.steps
        return self

    def of(self, outcome: str) -> int:
        """How many mutants came to one of `OUTCOMES`."""
        return sum(count for (_, became), count in self.counts.items() if became == outcome)

    def table(self) -> str:
        """Classes by outcomes, in Markdown."""
        rows = [["class", *OUTCOMES], ["---"] * (len(OUTCOMES) + 1)]
        for kind in sorted({kind for kind, _ in self.counts}):
            rows.append([kind, *(str(self.counts[kind, outcome]) for outcome in OUTCOMES)])
        rows.append([f"all, {self.counts.total()}", *(str(self.of(outcome)) for outcome in OUTCOMES)])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


class FreshPoint(Point):
    """A point whose real quantities are drawn among many more rationals than the door's."""

    def moved(self, symbol: sp.Symbol, value: Value) -> FreshPoint:
        """The same point with another value of a symbol."""
        return self._with(FreshPoint(self._setting, self._attempt), symbol, value)

    def _free(self, head: Any, places: Any) -> Any:
        stated = dict(assumed(head))
        if stated.keys() & {"integer", "even", "odd"}:
            return super()._free(head, places)
        source = random.Random(f"{self._seed}|{head}|{places}")
        size = Fraction(source.randint(1, 997), source.choice((101, 211, 307, 401, 503)))
        if stated.keys() & {"positive", "nonnegative"}:
            return size
        return -size if "negative" in stated or source.random() < 0.5 else size


def verdict(step: Step) -> str:
    """Whether an accepted mutant is true at `FRESH` new points, false at one, or open."""
    tried = 0
    try:
        with digits(80):
            for attempt in ATTEMPTS:
                setting = Setting(step.statement, step.premises, slack=attempt % 3 > 0)
                point: Point = FreshPoint(setting, attempt)
                for order in step.statement.atoms(sp.Order):
                    for variable in set(order.variables) - setting.fixed:
                        point = point.moved(variable, Fraction(1, 10**12))
                try:
                    point.admit()
                    tried += holds(step.kind == "ode", step.statement, step.premises, point)
                except (InadmissibleError, OpenError):
                    continue
                if tried == FRESH:
                    return "accepted, true"
    except NotAttackableError:
        return "accepted, open"
    except CheckFailedError:
        return "accepted, false"
    return "accepted, open"


def twin(derivation: Derivation) -> Derivation:
    """A derivation with the same steps, to which a mutant may be added."""
    made = Derivation(derivation.claim)
    made._steps, made._names, made._imported = dict(derivation._steps), derivation._names, list(derivation._imported)
    return made


@contextmanager
def fuzzing(per_step: int, seed: int, limit: float | None = None, part: int = 0, parts: int = 1) -> Iterator[Tally]:
    """Let every method of a derivation first try mutants of what it is given; count what becomes of them.

    Of several `parts` each tries the mutants of other steps.
    """
    tally = Tally()
    methods = {method: getattr(Derivation, method) for method in TARGETS}
    at_the_door: list[bool] = []

    def watched(*args: Any) -> str:
        at_the_door.append(True)
        found = attack(*args)
        at_the_door.pop()
        return found

    def outcome(derivation: Derivation, method: str, call: dict[str, Any]) -> str:
        at_the_door.clear()
        try:
            with _at_most(limit):
                step = methods[method](twin(derivation), **call)
        except CheckFailedError:
            return OUTCOMES[bool(at_the_door)]
        except TimeoutError:
            return "too slow"
        except Exception as failure:  # it should have been an error of the kernel
            tally.suspects.append(f"raw error: {derivation.claim}, {call['because']!r}: {failure!r}")
            return "raw error"
        found = verdict(step)
        if found != "accepted, true":
            tally.suspects.append(f"{found}: {derivation.claim}, {call['because']!r} as {step!r}, given {step.uses}")
        return found

    def with_mutants(method: str) -> Callable[..., Any]:
        def tries(derivation: Derivation, *args: Any, **named: Any) -> Any:
            call = dict(inspect.signature(methods[method]).bind(derivation, *args, **named).arguments)
            del call["self"]
            if "cases" in call:
                call["cases"] = list(call["cases"])
            if "given" in call:
                call["given"] = tuple(call["given"])
            step = f"{derivation.claim}|{call['name']}"
            if zlib.crc32(step.encode()) % parts == part:
                tally.steps += 1
                for kind, change in mutants(derivation, method, call, per_step, random.Random(f"{seed}|{step}")):
                    tally.counts[kind, outcome(derivation, method, call | change | {"name": "mutant"})] += 1
            return methods[method](derivation, **call)

        return tries

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(kernel, "attack", watched))
        for method in TARGETS:
            patches.enter_context(mock.patch.object(Derivation, method, with_mutants(method)))
        _forget_lemmas()
        patches.callback(_forget_lemmas)
        yield tally


@contextmanager
def _at_most(seconds: float | None) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    if seconds is not None:
        signal.signal(signal.SIGPROF, stop)
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        if seconds is not None:
            signal.setitimer(signal.ITIMER_PROF, 0)


def _forget_lemmas() -> None:
    """Lemmas that several claims share are derived once; derive them again."""
    for name in [name for name in sys.modules if name.startswith("theory.claims.")]:
        for value in vars(sys.modules[name]).values():
            getattr(value, "cache_clear", lambda: None)()


def fuzzed(claims: list[str], per_step: int, seed: int, part: int, parts: int) -> Tally:
    """Fuzz one part of the steps of some claims."""
    with fuzzing(per_step, seed, SECONDS, part, parts) as tally:
        for claim in claims:
            CLAIMS[claim].derive()
    return tally


def main() -> int:
    """Fuzz every claim and print what became of the mutants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-step", type=int, default=40, help="mutants of each step, as far as there are so many")
    parser.add_argument("--seed", type=int, default=0, help="which mutants")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="all cores by default")
    parser.add_argument("--claims", nargs="*", default=list(CLAIMS), help="all by default")
    options = parser.parse_args()
    total, parts, start = Tally(), PARTS_PER_PROCESS * options.processes, time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        work = [pool.submit(fuzzed, options.claims, options.per_step, options.seed, p, parts) for p in range(parts)]
        for done in as_completed(work):
            total += done.result()
            spent = time.perf_counter() - start
            print(f"{total.counts.total()} mutants of {total.steps} steps, {spent:.0f} s", flush=True)
    print("\n".join([total.table(), *total.suspects]))
    return int(total.of("accepted, false") + total.of("raw error") > 0)


if __name__ == "__main__":
    sys.exit(main())
