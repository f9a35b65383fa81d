"""English text that every Python carries, as a corpus without a download, and the n-gram languages fitted to it."""

from __future__ import annotations

import ast
import codecs
import hashlib
import importlib
import platform
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from synthetic.autoregressive.ngram import NGram
from synthetic.autoregressive.ngram_language import NGramLanguage

SOURCES = ("zen", "topics", "docstrings")
"""The Zen of Python (module `this`); the language reference (`pydoc_data.topics`, 0.5 MB); the docstrings of the
top-level modules of the standard library (1 MB, read as syntax trees in a few seconds, never imported)."""

UNKNOWN = "<unk>"
"""The token that stands for all words outside the vocabulary, where it is asked for."""

_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+|[.,;:!?()]")


@dataclass(frozen=True)
class Corpus:
    """Tokenised text: paragraphs of lower-cased words, numbers and punctuation marks, and where it came from.

    Attributes:
        paragraphs: the text; a paragraph ends at an empty line.
        provenance: Python version, sources, and the SHA-256 of the raw text: texts differ between Python versions.
    """

    paragraphs: tuple[tuple[str, ...], ...]
    provenance: str

    @classmethod
    def from_text(cls, text: str, origin: str) -> Corpus:
        """Tokenise a text of one's own; `origin` names it.

        >>> Corpus.from_text("Don't panic!  (42)", "a book").paragraphs
        (("don't", 'panic', '!', '(', '42', ')'),)
        """
        blocks = (tuple(_TOKEN.findall(block.lower())) for block in re.split(r"\n[ \t]*\n", text))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return cls(tuple(block for block in blocks if block), f"{origin}; SHA-256 of the text {digest}")

    def vocabulary(self, size: int) -> tuple[str, ...]:
        """Return the `size` most frequent tokens, ties in alphabetical order.

        Raises:
            ValueError: if the text has fewer, or size < 1.
        """
        count = Counter(token for paragraph in self.paragraphs for token in paragraph)
        if not 1 <= size <= len(count):
            raise ValueError(
                f"expected a vocabulary of 1..{len(count)} tokens, got {size}; the text has {len(count)} different ones"
            )
        return tuple(sorted(sorted(count), key=lambda token: -count[token])[:size])

    def encode(self, vocabulary: Sequence[str], unknown: str = "split") -> list[list[int]]:
        """Return the paragraphs as indices into a vocabulary.

        Args:
            vocabulary: the tokens kept.
            unknown: what becomes of other words: `split` cuts the paragraph there, so that only strings of known
                words count and each piece starts anew; `mark` writes UNKNOWN, which the vocabulary must hold;
                `drop` leaves out paragraphs with an unknown word.

        Raises:
            ValueError: if `mark` is asked for and UNKNOWN is not in the vocabulary, or `unknown` is none of the three.
        """
        if unknown not in {"split", "mark", "drop"}:
            raise ValueError(f"expected unknown words to split, mark or drop, got {unknown!r}; choose one of the three")
        index = {token: i for i, token in enumerate(vocabulary)}
        if unknown == "mark" and UNKNOWN not in index:
            raise ValueError(
                f"expected {UNKNOWN!r} in the vocabulary, got {len(index)} tokens without it; add it, or use 'split'"
            )
        rows = ([index.get(token, -1) for token in paragraph] for paragraph in self.paragraphs)
        if unknown == "mark":
            return [[index[UNKNOWN] if v < 0 else v for v in row] for row in rows]
        if unknown == "drop":
            return [row for row in rows if -1 not in row]
        return [piece for row in rows for piece in _pieces(row)]

    def language(
        self,
        vocabulary_size: int,
        order: int,
        length: int,
        *,
        unknown: str = "split",
        weight: Fraction | int | None = None,
    ) -> NGramLanguage:
        """Fit the n-gram language of the most frequent tokens; see `encode` for `unknown`, `NGram` for `weight`.

        With `mark`, UNKNOWN is the last of the `vocabulary_size` tokens.
        """
        marked = unknown == "mark"
        vocabulary = self.vocabulary(vocabulary_size - marked) + (UNKNOWN,) * marked
        model = NGram.fit(self.encode(vocabulary, unknown), vocabulary_size, order, weight)
        return NGramLanguage(model, vocabulary, length, self.provenance)


def python_corpus(sources: Iterable[str] = ("zen", "topics")) -> Corpus:
    """Return text that ships with this Python, the same for the same version; nothing is downloaded.

    Args:
        sources: among SOURCES, in the order wanted.

    Raises:
        ValueError: if this Python lacks a source, or there is no such source.
    """
    names = tuple(sources)
    readers = dict(zip(SOURCES, (_zen, _topics, _docstrings), strict=True))
    for name in names:
        if name not in readers:
            raise ValueError(f"expected sources among {', '.join(readers)}, got {name!r}; choose from them")
    text = "\n\n".join(readers[name]() for name in names)
    return Corpus.from_text(text, f"Python {platform.python_version()}: {', '.join(names)}")


def default_language(vocabulary_size: int = 200, order: int = 2, length: int = 16) -> NGramLanguage:
    """Return the n-gram language of the words most frequent in Python's documentation (Zen and language reference).

    Witten–Bell smoothing, paragraphs cut at other words. Fitted in a second; the same for the same Python version.
    """
    return python_corpus().language(vocabulary_size, order, length)


def _pieces(row: list[int]) -> Iterable[list[int]]:
    piece: list[int] = []
    for v in [*row, -1]:
        if v >= 0:
            piece.append(v)
        elif piece:
            yield piece
            piece = []


def _zen() -> str:
    # Importing `this` would print it; its text is a string constant in rot13.
    tree = ast.parse((_library() / "this.py").read_bytes())
    return max((codecs.decode(s, "rot13") for s in _strings(tree)), key=len)


def _topics() -> str:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise ValueError(
            f"expected the module pydoc_data.topics, got {error}; install Python's full library, or use another source"
        ) from error
    return "\n\n".join(topics[name] for name in sorted(topics))


def _docstrings() -> str:
    found = []
    for path in sorted(_library().glob("[a-z]*.py")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library's own escapes are none of our business
            tree = ast.parse(path.read_bytes())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found += [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return "\n\n".join(text for text in found if text)


def _strings(tree: ast.AST) -> list[str]:
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _library() -> Path:
    library = Path(sysconfig.get_path("stdlib"))
    if not (library / "this.py").is_file():
        raise ValueError(f"expected Python's library as files in {library}, found none; use the source 'topics'")
    return library
