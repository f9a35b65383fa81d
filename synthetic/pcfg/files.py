"""Grammars as text: plain lines `LHS RHS… probability`, and the format of NLTK's PCFG.

Plain: one rule a line, symbols and probability separated by white space; empty lines and lines that start with `#` are
skipped. What occurs on a left is a nonterminal. NLTK: `S -> NP VP [0.5] | 'a' [0.5]`, terminals in quotes. In both the
first left-hand side is the start symbol unless another is named, and a rule given several times has the sum of its
probabilities. Floats are written with all their digits: what is written reads back as the same grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from synthetic.pcfg.grammar import Grammar, GrammarError, rule_form

_NLTK_TOKEN = re.compile(
    r"""\s*(?:'(?P<single>[^']+)' | "(?P<double>[^"]+)" | \[(?P<prob>[^\]]*)\] | (?P<bar>\|)
    | (?P<name>[^\s'"\[\]|]+))""",
    re.VERBOSE,
)
_NLTK_NAME = re.compile(r"[\w/][\w/^<>-]*")

Line = tuple[int, str, tuple[str, ...], float]
"""A rule with the number of its line."""


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
    return _read(path, parse_plain, start, renormalise)


def read_nltk(path: str | Path, *, start: str | None = None, renormalise: bool = False) -> Grammar:
    """Read a grammar in NLTK's format; arguments and errors as `read_plain`."""
    return _read(path, parse_nltk, start, renormalise)


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


def write_nltk(grammar: Grammar, path: str | Path) -> None:
    """Write a grammar in NLTK's format, one rule a line.

    Raises:
        GrammarError: if the format cannot hold a name.
    """
    lines = []
    for lhs, rhs, prob in grammar.rules():
        symbols = [_nltk_name(s) if s in grammar.nonterminals else _nltk_quoted(s) for s in rhs]
        # NLTK reads digits and a point only.
        lines.append(f"{_nltk_name(lhs)} -> {' '.join(symbols)} [{Decimal(repr(prob)):f}]\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def parse_plain(text: str) -> Iterator[Line]:
    """Yield the rules of plain text.

    Raises:
        GrammarFileError: naming the line that is no rule.
    """
    for number, line in _lines(text):
        lhs, *rest = line.split()
        if len(rest) < 2:
            raise GrammarFileError(f"line {number}: expected `LHS RHS… probability`, got {line!r}; complete it")
        yield number, lhs, tuple(rest[:-1]), _probability(rest[-1], number)


def parse_nltk(text: str) -> Iterator[Line]:
    """Yield the rules of text in NLTK's format; terminals keep a leading quote that `read_nltk` takes away.

    Raises:
        GrammarFileError: naming the line that is no rule.
    """
    for number, line in _lines(text):
        lhs, arrow, rest = line.partition("->")
        if not arrow or len(lhs.split()) != 1:
            raise GrammarFileError(
                f"line {number}: expected `LHS -> RHS… [probability]`, got {line!r}; write one arrow"
            )
        rhs: list[str] = []
        closed, position = False, 0
        rest = rest.rstrip()
        while position < len(rest):
            match = _NLTK_TOKEN.match(rest, position)
            kind = match.lastgroup if match else None
            if match is None or kind is None or (kind == "bar") != closed or (kind == "prob" and not rhs):
                raise GrammarFileError(
                    f"line {number}: expected `RHS… [probability] | …`, got {rest[position:].strip()!r}; "
                    "put terminals in quotes and a probability after each alternative"
                )
            position, value = match.end(), match[kind]
            if kind == "prob":
                yield number, lhs.strip(), tuple(rhs), _probability(value, number)
                rhs = []
            elif kind != "bar":
                rhs.append(value if kind == "name" else f"'{value}")
            closed = kind == "prob"
        if not closed:
            raise GrammarFileError(
                f"line {number}: expected a probability in brackets at the end, got {line!r}; add it"
            )


def _read(path: str | Path, parse: object, start: str | None, renormalise: bool) -> Grammar:
    content = Path(path).read_bytes()
    quoted = parse is parse_nltk
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise GrammarFileError(f"{path}: line {line}: expected UTF-8, got {error}; convert the file") from error
    try:
        lines = list(parse_nltk(text) if quoted else parse_plain(text))
        return _grammar(lines, start, renormalise, quoted=quoted)
    except GrammarError as error:
        raise GrammarFileError(f"{path}: {error}") from error


def _grammar(lines: list[Line], start: str | None, renormalise: bool, *, quoted: bool) -> Grammar:
    if not lines:
        raise GrammarFileError("expected rules, got none; write one a line")
    heads = {lhs for _, lhs, _, _ in lines}
    first = lines[0][1] if start is None else start
    for number, lhs, rhs, _ in lines:
        try:
            rule_form(lhs, rhs, heads, first)
            if quoted:
                _check_quotes(lhs, rhs, heads)
        except GrammarError as error:
            raise GrammarFileError(f"line {number}: {error}") from error
    rules: Iterable[tuple[str, tuple[str, ...], float]] = (
        (lhs, tuple(symbol.removeprefix("'") for symbol in rhs) if quoted else rhs, prob) for _, lhs, rhs, prob in lines
    )
    return Grammar.from_rules(rules, start=start, renormalise=renormalise)


def _check_quotes(lhs: str, rhs: tuple[str, ...], heads: set[str]) -> None:
    for symbol in rhs:
        if symbol.startswith("'") and symbol[1:] in heads:
            raise GrammarError(f"expected terminals with other names than nonterminals, got {symbol}'; rename one")
        if not symbol.startswith("'") and symbol not in heads:
            raise GrammarError(f"expected rules for {symbol!r} of {lhs!r}, got none; add them, or quote the terminal")


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _probability(text: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise GrammarFileError(f"line {number}: expected a probability >= 0, got {text!r}; write a number")
    return value


def _nltk_name(name: str) -> str:
    if not _NLTK_NAME.fullmatch(name):
        raise GrammarError(f"expected a nonterminal of letters, digits and /^<>-, got {name!r}; rename it for NLTK")
    return name


def _nltk_quoted(name: str) -> str:
    if ("'" in name and '"' in name) or "\n" in name:
        raise GrammarError(f"expected a terminal without both kinds of quotes, got {name!r}; rename it for NLTK")
    return f'"{name}"' if "'" in name else f"'{name}'"
