"""A derivation, and a prediction, as text for a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

import sympy as sp

from theory import Formula
from theory.display.layout import Layout
from theory.kernel import Derivation, Step

INDENT = "     "
LEGEND = "✓ checked   · premise   ※ cited, not checked   ? conjecture   ✗ not checked"


def as_text(derivation: Derivation, width: int | None = None) -> str:
    """Return a derivation as plain text: each step with its statement, its reason and how it was checked.

    Args:
        width: of a line, in characters, 60 at least; by default that of the terminal, or 80.
    """
    width = max(width or shutil.get_terminal_size().columns, 60)
    steps = (*derivation.steps, *derivation.inherited)
    shown = [formula for step in steps for formula in (step.statement, *step.equality)]
    layout = Layout.of(shown, width - len(INDENT) - 2)
    found: dict[sp.Basic, int] = {}
    lines = textwrap.wrap(f"{derivation.claim}: {derivation.status}", width, break_on_hyphens=False)
    for number, step in enumerate(derivation.steps, 1):
        lines += ["", f"{number:>3}. {step.mark} {step.name} [{step.kind}]"]
        if isinstance(step.statement, sp.Basic):
            lines += _indented(layout.lines(step.statement, number))
        else:
            lines += _wrapped(step.statement, width, INDENT + "  ", INDENT + "  ")
        lines += _wrapped(f"because {step.because}", width)
        if step.uses:
            lines += _wrapped(f"from {', '.join(step.uses)}", width)
        if step.values:
            lines.append(f"{INDENT}with")
            for symbol, value in step.values:
                lines += _indented(layout.lines(sp.Eq(symbol, value, evaluate=False), number))
        elif step.kind in {"hypothesis", "bridge"} and derivation.models:
            held, fallen = derivation.models_of(step.name)
            lines += _wrapped(f"holds in: {'; '.join(held)}", width)
            lines += _wrapped(f"without it {', '.join(fallen)} fails", width)
        elif step.evidence:
            true = sum(bool(found.points.get(step.name)) for found in derivation.models)
            seen = f"; true in {true} model{'s' * (true > 1)}" if true else ""
            lines += _wrapped("checked: " + step.evidence.removeprefix("checked ") + seen, width)
        lines += _equality(step, number, layout, found, width)
    for step, claim in derivation.inherited.items():
        lines += ["", f"assumed in {claim}: {step.name}"]
        if isinstance(step.statement, sp.Basic):
            lines += _indented(layout.lines(step.statement, len(derivation.steps)))
        else:
            lines += _wrapped(step.statement, width, INDENT + "  ", INDENT + "  ")
    if derivation.conditions:
        lines += ["", "needs also"]
        for condition in derivation.conditions:
            lines += _indented(layout.lines(condition.statement, len(derivation.steps)))
    return "\n".join([*lines, "", *textwrap.wrap(LEGEND, width)])


def prediction_as_text(formula: Formula, value: float, width: int | None = None) -> str:
    """Return what a closed form predicts: the quantity in words, the formula, the number with all its digits."""
    width = width or shutil.get_terminal_size().columns
    expression = Layout.of([formula.expression], width - len(INDENT)).lines(formula.expression, 1)
    quantity = textwrap.wrap(formula.quantity, width)
    return "\n".join([*quantity, *(f"{INDENT}{line}" for line in expression), f"   = {value!r}"])


def _equality(step: Step, number: int, layout: Layout, found: dict[sp.Basic, int], width: int) -> list[str]:
    """Say when equality holds; what an earlier step has shown is only referred to."""
    if not step.equality:
        return []
    if step.kind == "lemma":
        found.update(dict.fromkeys(step.equality, number))
        return [f"{INDENT}equality only as there"]
    earlier = sorted({found[factor] for factor in step.equality if factor in found})
    new = [factor for factor in step.equality if factor not in found]
    found.update(dict.fromkeys(new, number))
    there = f"as in step{'s' * (len(earlier) > 1)} {', '.join(map(str, earlier))}"
    lines = _wrapped(" ".join(["equality only", *[there] * bool(earlier), *["if"] * bool(new)]), width)
    for factor in new:
        lines += _indented(layout.lines(sp.Eq(factor, 0, evaluate=False), number))
    return lines


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"{INDENT}  {line}".rstrip() for line in lines]


def _wrapped(text: str, width: int, first: str = INDENT, rest: str = INDENT + "  ") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
