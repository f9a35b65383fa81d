"""Grammars as text, in lines `LHS RHS… probability`.

Symbols and probability are separated by white space; empty lines and lines that start with `#` are skipped. What occurs
on a left is a nonterminal. The first left-hand side is the start symbol unless another is named, and a rule given
several times has the sum of its probabilities. Floats are written with all their digits: what is written reads back as
the same grammar.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from synthetic.pcfg.grammar import Grammar, GrammarError, rule_form


class GrammarFileError(GrammarError):
    """Text that holds no grammar; the message says in which line."""


def read_plain(path: str | Path, *, start: str | None = None, renormalise: bool = False) -> Grammar:
    """Read a grammar in the plain format.

    Args:
        path: the file, UTF-8.
        start: the start symbol; the first left-hand side unless given.
        renormalise: whether to divide the probabilities of each left-hand side by their sum.

    Raises:
        GrammarFileError: naming the file, the line and what is wrong with it; probabilities that do not sum to one,
            with the symbol and the amount, unless `renormalise`.
        OSError: if the file cannot be read.
    """
    try:
        rules = list(_rules(Path(path).read_text(encoding="utf-8")))
        if not rules:
            raise GrammarFileError("expected rules, got none; write one a line")
        heads = {lhs for _, lhs, _, _ in rules}
        first = rules[0][1] if start is None else start
        for number, lhs, rhs, _ in rules:
            try:
                rule_form(lhs, rhs, heads, first)
            except GrammarError as error:
                raise GrammarFileError(f"line {number}: {error}") from error
        return Grammar.from_rules([rule[1:] for rule in rules], start=start, renormalise=renormalise)
    except GrammarError as error:
        raise GrammarFileError(f"{path}: {error}") from error


def write_plain(grammar: Grammar, path: str | Path) -> None:
    """Write a grammar in the plain format; rules of one left-hand side together.

    Raises:
        GrammarError: if the format cannot hold a name.
    """
    lines = []
    for lhs, rhs, prob in grammar.rules():
        for symbol in (lhs, *rhs):
            if symbol.split() != [symbol] or lhs.startswith("#"):
                raise GrammarError(
                    f"expected names without white space that do not start a comment, got {symbol!r}; rename it"
                )
        lines.append(f"{lhs} {' '.join(rhs)} {prob!r}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def _rules(text: str) -> Iterator[tuple[int, str, tuple[str, ...], float]]:
    """Yield the number of its line, left side, right side and probability of each rule."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        lhs, *rest = line.split()
        if len(rest) < 2:
            raise GrammarFileError(f"line {number}: expected `LHS RHS… probability`, got {line!r}; complete it")
        try:
            prob = float(rest[-1])
        except ValueError:
            prob = -1.0
        if not 0 <= prob < float("inf"):
            raise GrammarFileError(f"line {number}: expected a probability >= 0, got {rest[-1]!r}; write a number")
        yield number, lhs, tuple(rest[:-1]), prob
