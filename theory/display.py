"""A derivation as text for a terminal, as a LaTeX fragment, as HTML for a notebook, and as JSON."""

from __future__ import annotations

import html
import textwrap
import unicodedata
from typing import Any

import sympy as sp

from theory.checkers.premises import Premise
from theory.kernel import Derivation, Step

WIDTH = 100
_MARKS = {"hypothesis": "·", "definition": "·", "citation": "※", "conjecture": "?"}
_TEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


_TEX_SYMBOLS = {
    "±": r"\pm", "·": r"\cdot", "¼": r"\tfrac14", "½": r"\tfrac12", "¾": r"\tfrac34", "×": r"\times", "⊥": r"\perp",
    "–": r"\text{--}", "—": r"\text{---}", "‖": r"\|", "…": r"\ldots", "ℓ": r"\ell", "←": r"\leftarrow", "→": r"\to",
    "↦": r"\mapsto", "∂": r"\partial", "∇": r"\nabla", "∈": r"\in", "−": "-", "√": r"\surd", "∞": r"\infty",
    "≠": r"\ne", "≤": r"\le", "≥": r"\ge", "⌈": r"\lceil", "⌉": r"\rceil", "⌊": r"\lfloor", "⌋": r"\rfloor",
    "⟨": r"\langle", "⟩": r"\rangle", "∝": r"\propto", "ο": "o", "≈": r"\approx", "⊂": r"\subset", "χ": r"\chi",
    "≡": r"\equiv", "∑": r"\sum", "∏": r"\prod", "′": "'", "’": "'", "ξ": r"\xi", "ᵀ": r"^{\top}", "∪": r"\cup",
}  # fmt: skip


def statement_latex(statement: sp.Basic | str) -> str:
    """Return a statement in LaTeX's mathematical mode."""
    return rf"\text{{{_escaped(statement)}}}" if isinstance(statement, str) else str(sp.latex(statement))


def as_text(derivation: Derivation) -> str:
    """Return a derivation as plain text: each step with its statement, its reason and how it was checked."""
    lines = [f"{derivation.claim}: {derivation.status}", ""]
    for number, step in enumerate(derivation.steps, 1):
        lines.append(f"{number:>3}. {_mark(step)} {step.name} [{step.kind}]")
        lines += _wrapped(_plain(step.statement), "       ")
        lines += _wrapped(step.because, "       because ", "       ")
        if step.uses:
            lines += _wrapped(", ".join(step.uses), "       from ", "       ")
        if step.evidence:
            lines += _wrapped(step.evidence, "       checked: ", "       ")
        if step.equality:
            factors = ", ".join(f"{factor} = 0" for factor in step.equality)
            lines += _wrapped(factors, "       equality only if ", "       ")
    lines += ["", *(f"needs also: {premise.name}" for premise in derivation.conditions)]
    lines.append("✓ checked   · premise   ※ cited, not checked   ? conjecture   ✗ not checked")
    return "\n".join(lines)


def as_latex(derivation: Derivation) -> str:
    r"""Return a derivation as a LaTeX fragment: an `enumerate` that needs amsmath and amssymb."""
    lines = [
        rf"\paragraph{{{_escaped(derivation.claim)}}} {_escaped(derivation.status)}",
        r"\begin{enumerate}",
    ]
    for step in derivation.steps:
        lines.append(rf"\item \textbf{{{_escaped(step.name)}}} ({_escaped(step.kind)}): {_escaped(step.because)}")
        lines.append(rf"\[{step.latex()}\]")
        if step.uses:
            lines.append(rf"From {_escaped(', '.join(step.uses))}.")
        if step.evidence:
            lines.append(rf"Checked: {_escaped(step.evidence)}.")
        if step.equality:
            factors = ", ".join(f"{sp.latex(factor)} = 0" for factor in step.equality)
            lines.append(rf"Equality only if \({factors}\).")
    lines.append(r"\end{enumerate}")
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
        "citations": [{"name": step.name, "reference": step.because} for step in derivation.citations],
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


def as_html(derivation: Derivation) -> str:
    """Return a derivation as an HTML table whose formulas a notebook typesets."""
    rows = [
        f"<tr><td>{_mark(step)}</td><td><b>{html.escape(step.name)}</b><br>{html.escape(step.kind)}</td>"
        f"<td>{_formula(step)}<br>{html.escape(step.because)}</td>"
        f"<td>{html.escape(step.evidence)}</td></tr>"
        for step in derivation.steps
    ]
    head = "<tr><th></th><th>step</th><th>statement and reason</th><th>check</th></tr>"
    title = f"{html.escape(derivation.claim)}: {html.escape(derivation.status)}"
    return f"<table><caption>{title}</caption>{head}{''.join(rows)}</table>"


def _formula(step: Step) -> str:
    if isinstance(step.statement, str):
        return html.escape(step.statement)
    return f"$\\displaystyle {html.escape(step.latex())}$"


def _mark(step: Step) -> str:
    return "✓" if step.checked else _MARKS.get(step.kind, "✗")


def _plain(statement: object) -> str:
    return f"{statement.lhs} = {statement.rhs}" if isinstance(statement, sp.Equality) else str(statement)


def _described(premise: Premise) -> str:
    return premise.name if premise.kind == "condition" else f"{premise.kind} {premise.name}"


def _wrapped(text: str, first: str, rest: str | None = None) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest or first, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _escaped(text: str) -> str:
    """Return text for LaTeX's text mode, in ASCII, so that every engine typesets it."""
    return "".join(_letter(letter) for letter in unicodedata.normalize("NFC", text))


def _letter(letter: str) -> str:
    if letter in _TEX_SPECIAL or letter.isascii():
        return _TEX_SPECIAL.get(letter, letter)
    if letter in _TEX_SYMBOLS:
        return rf"\ensuremath{{{_TEX_SYMBOLS[letter]}}}"
    name = unicodedata.name(letter, "").split()
    if name[:1] == ["GREEK"] and len(name) == 4:
        greek = name[-1].replace("LAMDA", "LAMBDA")
        return rf"\ensuremath{{\{greek.capitalize() if name[1] == 'CAPITAL' else greek.lower()}}}"
    kind, _, plain = unicodedata.decomposition(letter).partition(" ")
    if kind in {"<super>", "<sub>"} and plain:
        inner = "".join(_letter(chr(int(code, 16))) for code in plain.split())
        return rf"\ensuremath{{{'^' if kind == '<super>' else '_'}{{{inner}}}}}"
    return rf"\texttt{{U+{ord(letter):04X}}}"
