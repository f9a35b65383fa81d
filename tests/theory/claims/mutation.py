"""Mutants of the steps of a derivation: one constant, sign, exponent, relation, range, symbol or premise is another."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sympy as sp

from theory.kernel import Derivation

Change = dict[str, Any]
Variant = tuple[str, Callable[[], Any]]
"""Class of a mutant, and what makes it: of a long statement few are made."""
TARGETS: dict[str, tuple[str, ...]] = {
    "identity": ("statement",),
    "inequality": ("statement",),
    "induction": ("invariant",),
    "enumeration": ("statement",),
    "limit": ("expr", "value"),
    "series": ("expr", "expansion"),
    "ode": ("system", "solution", "initial"),
    "instance": ("values",),
}
"""By the method that checks a step: the arguments that are mutated."""
_OTHER = {
    sp.Ge: (sp.Gt, sp.Le), sp.Gt: (sp.Ge, sp.Lt), sp.Le: (sp.Lt, sp.Ge), sp.Lt: (sp.Le, sp.Gt), sp.Eq: (sp.Ne,),
    sp.Ne: (sp.Eq,),
}  # fmt: skip
_STRICTNESS = {frozenset({sp.Ge, sp.Gt}), frozenset({sp.Le, sp.Lt})}


def mutants(
    derivation: Derivation, method: str, call: Mapping[str, Any], count: int, source: random.Random
) -> Iterator[tuple[str, Change]]:
    """Yield up to `count` distinct mutants of a call, as class and changed arguments, the classes in turn.

    If `count` is not enough for all classes, they are in random order.
    """
    by_class: dict[str, list[Callable[[], Change]]] = defaultdict(list)
    given = [name for name in call.get("given", ()) if name in {step.name for step in derivation.steps}]
    stated = [derivation[name].statement for name in given]
    peers = _peers([*(call[target] for target in TARGETS[method]), *stated])
    for target in TARGETS[method]:
        for kind, make in _of_argument(call[target], peers):
            by_class[kind].append(lambda target=target, make=make: {target: make()})  # type: ignore[misc]
    for place in range(len(given)):
        fewer = (*given[:place], *given[place + 1 :])
        by_class["dropped premise"].append(lambda fewer=fewer: {"given": fewer})  # type: ignore[misc]
    certificate: Any = call.get("certificate")
    for name in getattr(certificate, "using", ()):
        left = {other: multiplier for other, multiplier in certificate.using.items() if other != name}
        less = dataclasses.replace(certificate, using=left)
        by_class["dropped premise"].append(lambda less=less: {"certificate": less})  # type: ignore[misc]
    for made in by_class.values():
        source.shuffle(made)
    kinds = sorted(by_class)
    if count < len(kinds):
        source.shuffle(kinds)
    seen = {repr({target: call[target] for target in TARGETS[method]})}
    yielded = 0
    while yielded < count and any(by_class.values()):
        for kind in kinds:
            while by_class[kind] and yielded < count:
                change = by_class[kind].pop()()
                key = repr({target: change.get(target, call[target]) for target in TARGETS[method]} | change)
                if key not in seen:
                    seen.add(key)
                    yielded += 1
                    yield kind, change
                    break


def _peers(parts: Sequence[Any]) -> dict[Any, list[Any]]:
    """For each symbol, indexed base or function that occurs: the others of the same assumptions."""
    flat = sp.Tuple(*(sp.sympify(each) for part in parts for each in (part.values() if _maps(part) else (part,))))
    symbols = sorted(flat.atoms(sp.Symbol) - {base.label for base in flat.atoms(sp.IndexedBase)}, key=str)
    bases = sorted(flat.atoms(sp.IndexedBase), key=str)
    same = [
        *((s, o) for s in symbols for o in symbols if s != o and s.assumptions0 == o.assumptions0),
        *((s, o) for s in bases for o in bases if s != o and s.label.assumptions0 == o.label.assumptions0),
    ]
    found: dict[Any, list[Any]] = defaultdict(list)
    for one, other in same:
        found[one].append(other)
    return found


def _maps(part: Any) -> bool:
    return isinstance(part, Mapping)


def _of_argument(argument: Any, peers: Mapping[Any, list[Any]]) -> Iterator[Variant]:
    if not _maps(argument):
        yield from _variants(sp.sympify(argument), peers)
        return
    for key, value in argument.items():
        for kind, make in _variants(sp.sympify(value), peers):
            yield kind, lambda key=key, make=make: {**argument, key: make()}  # type: ignore[misc]


def _variants(node: Any, peers: Mapping[Any, list[Any]]) -> Iterator[Variant]:
    """Mutants of an expression at one place."""
    if node.is_Rational:
        yield from (("constant", lambda other=other: other) for other in (node + 1, node - 1, 2 * node))
        yield "sign", lambda: -node
    elif node in peers:
        yield from (("symbol", lambda other=other: other) for other in peers[node])
    elif type(node) in _OTHER:
        yield from (
            (
                "strictness" if frozenset({type(node), other}) in _STRICTNESS else "relation",
                lambda other=other: other(*node.args, evaluate=False),
            )
            for other in _OTHER[type(node)]
        )
        yield from (("other side", lambda made=made: made) for made in _other_sides(node))
    elif node.is_Add or node.is_Mul:
        for place, arg in enumerate(node.args):
            rest = node.func(*node.args[:place], *node.args[place + 1 :])
            yield "dropped part", lambda rest=rest: rest  # type: ignore[misc]
            if node.is_Add:
                yield "sign", lambda rest=rest, arg=arg: rest - arg  # type: ignore[misc]
        if node.is_Mul:
            yield "sign", lambda: -node
    for place, arg in enumerate(node.args):
        if isinstance(node, sp.Sum | sp.Product | sp.Derivative) and place > 0:
            continue
        kinds = {"constant": "exponent", "sign": "exponent"} if node.is_Pow and place == 1 else {}
        for kind, make in _variants(arg, peers):
            yield kinds.get(kind, kind), lambda place=place, make=make: _with(node, place, make())  # type: ignore[misc]
    if isinstance(node, sp.Sum | sp.Product):
        for which, (index, low, high) in enumerate(node.limits):
            for ends in ((low + 1, high), (low - 1, high), (low, high + 1), (low, high - 1)):
                limits = [*node.limits[:which], (index, *ends), *node.limits[which + 1 :]]
                yield "range", lambda limits=limits: node.func(node.function, *limits)  # type: ignore[misc]


def _other_sides(node: sp.Rel) -> list[sp.Basic]:
    left, right = node.args
    if isinstance(node, sp.Equality | sp.Unequality):
        return [node.func(left, other, evaluate=False) for other in (right + 1, 2 * right, -right)]
    return [node.func(*(side + int(side is node.lts) for side in node.args), evaluate=False)]


def _with(node: Any, place: int, arg: Any) -> Any:
    args = [*node.args[:place], arg, *node.args[place + 1 :]]
    return node.func(*args, evaluate=False) if isinstance(node, sp.Rel | sp.Derivative) else node.func(*args)
