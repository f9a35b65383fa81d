"""Mutant: a damaged grammar file is refused by line and remedy, or holds a grammar."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from synthetic.pcfg import Grammar, read_plain, write_plain
from synthetic.pcfg.files import GrammarFileError, read_nltk, write_nltk

GRAMMAR = Grammar.from_rules([("S", ("A", "A"), 0.5), ("S", ("a",), 0.5), ("A", ("b",), 0.75), ("A", ("S", "A"), 0.25)])
PIECES = (
    *(b"", b"\n", b" ", b"#", b"->", b"|", b"[", b"]", b"'", b'"', b"nan", b"inf", b"1e999", b"1e308", b"-1", b"1/2"),
    *(
        b"S",
        b"A",
        b"x" * 3000,
        b"[1" * 500,
        b"\xff",
        b"\xed\xa0\x80",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"9" * 5000,
    ),
)
MUTANTS = 1000


def mutated(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        start = rng.randrange(len(content) + 1)
        stop = start + rng.choice((0, 0, 1, 3, len(content)))
        flipped = bytes(byte ^ 1 << rng.randrange(8) for byte in content[start : start + 1])
        content = content[:start] + rng.choice((*PIECES, flipped)) + content[stop:]
    return content


@pytest.mark.parametrize(("write", "read"), [(write_plain, read_plain), (write_nltk, read_nltk)])
def test_mutants_of_grammar_files_are_refused_with_a_remedy_or_are_grammars(
    tmp_path: Path, write: Callable[[Grammar, Path], None], read: Callable[..., Grammar]
) -> None:
    rng, path = random.Random(0), tmp_path / "grammar"
    refused: list[str] = []
    write(GRAMMAR, path)
    whole = path.read_bytes()
    for _ in range(MUTANTS):
        path.write_bytes(mutated(whole, rng))
        try:
            assert read(path, renormalise=rng.random() < 0.5).n_rules
        except GrammarFileError as error:
            refused.append(str(error))
    assert all(message.startswith(f"{path}: ") and ";" in message for message in refused)
    assert MUTANTS / 3 < len(refused) < MUTANTS
