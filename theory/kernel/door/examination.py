"""A derivation in its models: which hypotheses hold there, and that every step does.

A model keeps a derivation from being about nothing: hypotheses that contradict each other, or that no system satisfies,
hold in none. A control shows that a hypothesis is needed: where it fails, and all others hold, a step is false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import sympy as sp

from theory.kernel.door.interpretation import examined, standing
from theory.kernel.door.model import FAILS, HOLDS, Examined, Model
from theory.kernel.door.setting import heads
from theory.kernel.failure import CheckFailedError, RefutedError

Steps = Sequence[Any]
"""Steps of a derivation, `theory.kernel.derivation.Step`."""


def examine(steps: Steps, models: Sequence[Model]) -> tuple[Examined, ...]:
    """Evaluate hypotheses and steps in models; a lemma is in those of its own derivation, and in these if it can be.

    Raises:
        CheckFailedError: a step is false in a model, a hypothesis holds in none or is broken by no control, or a step
            is evaluated in none.
    """
    told = [step for step in steps if isinstance(step.statement, sp.Basic)]
    mentioned = frozenset().union(*map(_quantities, told))
    assumed = {step.name: _own(step) for step in told if _own(step) is not None}
    defined = (step for step in told if step.kind == "definition")
    definitions = frozenset(p for step in defined for p in step.premises if p.kind == "definition")
    results = []
    for model in models:
        foreign = sorted(str(what) for what in model.values.keys() - mentioned - model.inside)
        if foreign:
            raise CheckFailedError(f"model {model.name!r} interprets {', '.join(foreign)}, which no step mentions")
        asked = {name: premise for name, premise in assumed.items() if model.breaks in {"", name}}
        stands = {name: standing(premise, definitions, model) for name, premise in asked.items()}
        if model.breaks:
            _require_broken(model, stands, {step.name: step for step in told})
        known = {premise for name, premise in asked.items() if stands[name] == HOLDS}
        results.append(Examined(model, stands, {} if model.breaks else _evaluated(told, model, known)))
    _require_shown(told, results)
    return tuple(results)


def _own(step: Any) -> Any:
    """The premise that a hypothesis or bridge is; None for other steps."""
    mine = (p for p in step.premises if (p.kind, p.name, p.statement) == ("hypothesis", step.name, step.statement))
    return next(mine, None) if step.kind in {"hypothesis", "bridge"} else None


def _quantities(step: Any) -> frozenset[Any]:
    """What a step and its premises speak of."""
    return frozenset().union(*map(heads, step.parts))


def _evaluated(steps: Steps, model: Model, known: Set[Any]) -> dict[str, int]:
    """At how many points each step was evaluated that the model says something of.

    What is known to hold all over the model is not tested again.

    Raises:
        CheckFailedError: a step is false.
    """
    points = {}
    for step in steps:
        if step.checked and _quantities(step) & model.values.keys():
            try:
                points[step.name] = examined(step.kind, step.statement, step.premises - known, model)
            except RefutedError as failure:
                raise CheckFailedError(f"step {step.name!r} fails in model {model.name!r}: {failure}") from failure
    return points


def _require_broken(control: Model, stands: Mapping[str, str], steps: Mapping[str, Any]) -> None:
    """Check that a control breaks its hypothesis, and with it the step.

    Raises:
        CheckFailedError: it does not.
    """
    broken = (control.breaks, control.step)
    if control.breaks not in stands or control.step not in steps:
        raise CheckFailedError(f"control {control.name!r} breaks {broken}, expected a hypothesis and a step of these")
    step = steps[control.step]
    others = frozenset(p for p in step.premises if (p.kind, p.name) != ("hypothesis", control.breaks))
    if len(others) == len(step.premises):
        raise CheckFailedError(f"control {control.name!r}: step {step.name!r} does not rest on {control.breaks!r}")
    if stands[control.breaks] != FAILS:
        found = stands[control.breaks]
        raise CheckFailedError(f"control {control.name!r} should break {control.breaks!r}; there it stands: {found}")
    try:
        points = examined(step.kind, step.statement, others, control)
    except RefutedError:
        return
    raise CheckFailedError(
        f"control {control.name!r}: without {control.breaks!r} step {step.name!r} is not refuted (at {points} points "
        "its other premises hold); give values at which it is, or drop a hypothesis that is not needed"
    )


def _require_shown(steps: Steps, results: Sequence[Examined]) -> None:
    held = [result for result in results if not result.model.breaks]
    broken = {result.model.breaks for result in results}
    interpreted = frozenset().union(*(result.model.values.keys() for result in held))
    lacking = []
    for step in steps:
        if _own(step) is not None:
            if all(result.standing[step.name] != HOLDS for result in held):
                lacking.append(f"hypothesis {step.name!r} holds in no model")
            if step.name not in broken:
                lacking.append(f"no control breaks {step.name!r}")
        # What no model says anything of is said of every value, and was attacked at random ones.
        special = step.checked and step.kind != "lemma" and _quantities(step) & interpreted
        if special and not any(result.points.get(step.name) for result in held):
            lacking.append(f"step {step.name!r} is evaluated in no model")
    if lacking:
        raise CheckFailedError("; ".join(lacking))
