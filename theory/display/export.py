"""A derivation as text for a terminal, as a LaTeX fragment, and as JSON."""

from __future__ import annotations

from typing import Any

import sympy as sp

from theory.kernel import Derivation
from theory.kernel.notation import escaped, statement_latex
from theory.kernel.premises import Premise


def as_latex(derivation: Derivation) -> str:
    r"""Return a derivation as a LaTeX fragment: an `enumerate` that needs amsmath and amssymb."""
    lines = [
        rf"\paragraph{{{escaped(derivation.claim)}}} {escaped(derivation.status)}",
        r"\begin{enumerate}",
    ]
    for step in derivation.steps:
        lines.append(rf"\item \textbf{{{escaped(step.name)}}} ({escaped(step.kind)}): {escaped(step.because)}")
        lines.append(rf"\[{step.latex()}\]")
        if step.uses:
            lines.append(rf"From {escaped(', '.join(step.uses))}.")
        if step.kind in {"hypothesis", "bridge"} and derivation.models:
            held, fallen = derivation.models_of(step.name)
            lines.append(rf"Holds in: {escaped('; '.join(held))}; without it {escaped(', '.join(fallen))} fails.")
        if step.evidence:
            lines.append(rf"Checked: {escaped(step.evidence)}.")
        if step.equality:
            factors = ", ".join(f"{sp.latex(factor)} = 0" for factor in step.equality)
            lines.append(rf"Equality only if \({factors}\).")
    lines.append(r"\end{enumerate}")
    for step, claim in derivation.inherited.items():
        lines.append(rf"Assumed in {escaped(claim)}, {escaped(step.name)}: \[{step.latex()}\]")
    if derivation.conditions:
        needed = r",\ ".join(statement_latex(premise.statement) for premise in derivation.conditions)
        lines.append(rf"Needs also \({needed}\).")
    return "\n".join(lines)


def as_json(derivation: Derivation) -> dict[str, Any]:
    """Return a derivation as plain data, ready for `json.dumps`."""
    return {
        "claim": derivation.claim,
        "status": derivation.status,
        "conclusion": derivation.conclusion.name,
        "conditions": [premise.name for premise in derivation.conditions],
        "inherited": [
            {"claim": claim, "name": step.name, "statement": _plain(step.statement)}
            for step, claim in derivation.inherited.items()
        ],
        "citations": [{"name": step.name, "reference": step.because} for step in derivation.citations],
        "bridges": [step.name for step in derivation.bridges],
        "models": [
            {
                "name": examined.model.name,
                "breaks": examined.model.breaks,
                "falls": examined.model.step,
                "hypotheses": dict(examined.standing),
                "points": dict(examined.points),
            }
            for examined in derivation.models
        ],
        "steps": [
            {
                "name": step.name,
                "kind": step.kind,
                "statement": _plain(step.statement),
                "latex": step.latex(),
                "because": step.because,
                "uses": list(step.uses),
                "checked": step.checked,
                "evidence": step.evidence,
                "equality": [str(factor) for factor in step.equality],
                "premises": sorted(_described(premise) for premise in step.premises),
            }
            for step in derivation.steps
        ],
    }


def _plain(statement: object) -> str:
    return f"{statement.lhs} = {statement.rhs}" if isinstance(statement, sp.Equality) else str(statement)


def _described(premise: Premise) -> str:
    return premise.name if premise.kind == "condition" else f"{premise.kind} {premise.name}"
