"""Mutants of every step of every claim: with another value, the other way round or 1 stronger, a step is refused."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sympy as sp

from theory.claims import CLAIMS
from theory.kernel import CheckFailedError, Derivation, RootIsolation

Change = dict[str, Any]


def altered(statement: sp.Basic) -> Iterator[sp.Basic]:
    """An equation with other right sides; an inequality that asks for 1 more, and one the other way round."""
    if isinstance(statement, sp.Equality):
        left, right = statement.args
        yield from (sp.Eq(left, other, evaluate=False) for other in {right + 1, 2 * right, -right} - {right})
    else:
        yield statement.func(*(side + int(side is statement.lts) for side in statement.args), evaluate=False)
        yield statement.reversed.func(*statement.args, evaluate=False)


MUTANTS: dict[str, Callable[[Change], Iterator[Change]]] = {
    "identity": lambda call: ({"statement": other} for other in altered(call["statement"])),
    "inequality": lambda call: (
        {"statement": other}
        for other in list(altered(call["statement"]))[isinstance(call["certificate"], RootIsolation) :]
    ),
    "induction": lambda call: ({"invariant": other} for other in altered(call["invariant"])),
    "enumeration": lambda call: iter([{"statement": sp.Not(call["statement"], evaluate=False)}]),
    "limit": lambda call: iter([{"value": call["value"] + 1}]),
    "series": lambda call: iter([{"expansion": call["expansion"] + 1}]),
    "ode": lambda call: ({"solution": call["solution"] | {x: value + 1}} for x, value in call["solution"].items()),
}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Let each method of a derivation first try the mutants of what it is given; count what was tried."""
    count: Counter[str] = Counter()

    def with_mutants(kind: str) -> Callable[..., Any]:
        method = getattr(Derivation, kind)

        def tries(*positional: Any, **named: Any) -> Any:
            call = inspect.signature(method).bind(*positional, **named)
            if "cases" in call.arguments:
                call.arguments["cases"] = list(call.arguments["cases"])
            for change in MUTANTS[kind](call.arguments):
                with pytest.raises(CheckFailedError):
                    method(**call.arguments | {"name": "mutant"} | change)
                count[kind] += 1
            return method(**call.arguments)

        return tries

    for kind in MUTANTS:
        monkeypatch.setattr(Derivation, kind, with_mutants(kind))
    _forget_lemmas()
    yield count
    _forget_lemmas()


def _forget_lemmas() -> None:
    """Lemmas that several claims share are derived once; derive them again."""
    for name in [name for name in sys.modules if name.startswith("theory.claims.")]:
        for value in vars(sys.modules[name]).values():
            getattr(value, "cache_clear", lambda: None)()


@pytest.mark.parametrize("claim", CLAIMS)
def test_mutant_of_every_step_is_refused(claim: str, tried: Counter[str]) -> None:
    derivation = CLAIMS[claim].derive()
    assert derivation.status == CLAIMS[claim].status
    assert tried.total() >= sum(step.kind in MUTANTS for step in derivation.steps)
