"""How a derivation shows itself: statements and words in LaTeX, a table in HTML."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

import sympy as sp

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
    return rf"\text{{{escaped(statement)}}}" if isinstance(statement, str) else str(sp.latex(statement))


def escaped(text: str) -> str:
    """Return text for LaTeX's text mode, in ASCII, so that every engine typesets it."""
    return "".join(_letter(letter) for letter in unicodedata.normalize("NFC", text))


def html_table(caption: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table whose formulas, between dollar signs, a notebook typesets."""

    def row(tag: str, cells: Iterable[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f"<table><caption>{html.escape(caption)}</caption>{row('th', head)}{body}</table>"


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
