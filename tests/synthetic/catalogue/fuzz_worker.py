"""Mutate files of every family and load them: what is no `LanguageFileError` and no usable language is counted.

A process of its own: production has no beartype, and its memory is limited, so that a bomb cannot hurt the machine.
Usage: fuzz_worker.py SEED ROUNDS; prints {"json": n, "npz": n, "accepted": n, "wrong": [[mutation, error], …]}.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import signal
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthetic import Language
from synthetic.autoregressive import NGram, NGramLanguage
from synthetic.catalogue import LanguageFileError, arrays, families, load, save
from synthetic.closed_form import BracketLanguage, NestedBrackets, PairLanguage, TableLanguage
from synthetic.combinators import Concatenation, Mixture, Restricted, TargetNoise, TokenNoise
from synthetic.graphs import PottsGraph, TokenGraph
from synthetic.hmm import HMM
from synthetic.pcfg import PCFG, Grammar

MEMORY = 6 * 2**30
"""Address space: torch takes 3 GiB of it, and half of what is left is more than any honest file here needs."""
SECONDS = 5
"""For one mutant; an honest file takes milliseconds."""

flip = ((Fraction(3, 4), Fraction(1, 4)), (Fraction(1, 4), Fraction(3, 4)))
half = torch.tensor([0.5, 0.5], dtype=torch.float64)
stay = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
GRAMMAR = Grammar.from_rules([("S", ("A", "A"), 0.5), ("S", ("a",), 0.5), ("A", ("b",), 0.75), ("A", ("S", "A"), 0.25)])
HIDDEN = HMM(stay, torch.eye(2, dtype=torch.float64), half, half, groups=None, state_positions=(1,))
LANGUAGES: tuple[Language, ...] = (
    BracketLanguage(4, 0.7),
    NestedBrackets(4, 2, 2),
    PairLanguage(3, 0.7),
    TableLanguage(("a", "b"), {(0, 1): Fraction(1, 3), (1,): 2}),
    PottsGraph(("a", "b"), 3, ((0, 1), (1, 2)), (1.0, -0.5), ((0.0, 1.0),) * 3, (0, 1)),
    TokenGraph(3, ((0, 1), (1, 2)), (1.0, 0.5), (0,)),
    HIDDEN,
    PCFG(GRAMMAR, 4),
    NGramLanguage(NGram.fit([[0, 1, 0, 1, 1]], n_tokens=2, order=2), ("a", "b"), 4),
    Restricted(HIDDEN, (2,)),
    Concatenation((PairLanguage(2, 0.5), PairLanguage(3, 0.7))),
    Mixture((PairLanguage(2, 0.5), PairLanguage(2, 0.1)), (Fraction(1, 3), Fraction(2, 3))),
    TokenNoise(PairLanguage(2, 0.5), flip),
    TargetNoise(PairLanguage(2, 0.5), flip),
)
HUGE = 10**13
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2, HUGE, -HUGE, 10**400, 1.5, 1e308, 5e-324, float("nan"), float("inf"), "", "x", "3"),
    *(
        "\ud800",
        "\0",
        "x" * 5000,
        [],
        [[]],
        [1],
        ["a", "a"],
        {},
        {"map": {}},
        {"map": None},
        {"array": "start"},
        {"array": []},
    ),
    *({"fraction": "1/0"}, {"fraction": "1e999999999"}, {"fraction": None}, {"fraction": "-1/2"}, {"fraction": "inf"}),
    *({"language": "pairs", "state": None}, {"language": [], "state": {}}, {"language": "pairs"}, {"language": None}),
    *({"language": "pairs", "state": {"d": 2, "alpha": 0.5}}, {"language": "autoregressive", "state": {}}),
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def mutated_json(text: str, rng: random.Random) -> tuple[str, bytes]:
    """A name for what was done, and the mutant."""
    document = json.loads(text)
    container, key = rng.choice(list(places(document)))
    kind = rng.choice(
        ("value",) * 12 + ("drop", "surplus", "twice", "swap", "deep", "nest", "flip", "cut", "text", "chain")
    )
    if kind == "value":
        container[key] = rng.choice(VALUES)
        name = f"{key} = {container[key]!r:.40}"
    elif kind == "drop":
        del container[key]
        name = f"drop {key}"
    elif kind == "surplus":
        owner = next(own for own in (container, document) if isinstance(own, dict))
        owner[rng.choice(("x", "", "self", "cls", "language", "state", "array"))] = rng.choice(VALUES)
        name = "surplus"
    elif kind == "swap":
        other, place = rng.choice(list(places(document)))
        container[key] = json.loads(json.dumps(other[place]))
        name = f"{key} = {place}"
    elif kind == "nest":
        container[key] = [container[key]]
        name = f"nest {key}"
    elif kind == "chain":
        depth = rng.choice((2, 40, 400))
        inner = json.dumps({own: document.pop(own) for own in ("language", "state")})
        opening, closing = '{"language": "concatenation", "state": {"parts": [', "]}}"
        whole = json.dumps(document | {"language": "concatenation", "state": {"parts": ["CHAIN"]}})
        return f"chain of {depth}", whole.replace('"CHAIN"', opening * depth + inner + closing * depth).encode()
    elif kind == "twice":
        whole = json.dumps(document)
        return "twice", (whole[:-1] + ', "state": {"d": 1}}').encode()
    elif kind == "deep":
        depth = rng.choice((10, 150, 900, 5000, 10**6))
        opening, closing = rng.choice((("[", "]"), ('{"map": {"a": ', "}}"), ('{"a": ', "}")))
        container[key] = "DEEP"
        whole = json.dumps(document).replace('"DEEP"', opening * depth + "1" + closing * depth)
        return f"deep {depth} at {key}", whole.encode()
    elif kind == "flip":
        content = bytearray(text.encode())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return "flip", bytes(content)
    elif kind == "cut":
        return "cut", text.encode()[: rng.randrange(len(text.encode()))]
    else:
        return "text", rng.choice(
            (b"", b"\xff\xfe", b"null", b"[]", b"1", b'"x"', b"\xef\xbb\xbf{}", b"1" * 5000, b"NaN", b"\x80")
        )
    return name, json.dumps(document, ensure_ascii=True).encode()


def npy(header: str, body: bytes, version: bytes = b"\x01\x00") -> bytes:
    """An npy file with a header of one's own."""
    text = header.encode("latin1", "replace") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2 if version[0] == 1 else 4, "little") + text + body


def mutated_npz(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """A name for what was done, and the mutant, of which the JSON file will name the hash."""
    with np.load(io.BytesIO(content)) as archive:
        whole = {name: archive[name] for name in archive.files}
    target = rng.choice(list(whole))
    array = whole[target]
    to: Any
    kind = rng.choice(
        ("dtype", "shape", "number", "header", "header", "bomb", "claim", "flip", "flip", "flip", "cut", "zip", "drop")
    )
    members = {f"{name}.npy": _npy_bytes(own) for name, own in whole.items()}
    name = f"{target}: {kind}"
    if kind == "dtype":
        to = rng.choice(
            (
                np.float32,
                np.float16,
                np.int8,
                np.int64,
                np.uint64,
                np.complex128,
                ">f8",
                "S3",
                "U2",
                bool,
                "M8[s]",
                np.longdouble,
            )
        )
        members[f"{target}.npy"] = _npy_bytes(array.astype(to))
        name = f"{target}: {to}"
    elif kind == "shape":
        other = rng.choice(
            (
                array[None],
                array.reshape(-1),
                array[:0],
                array[..., :1],
                np.concatenate([array, array]),
                array.sum(),
                array.T.copy(order="F"),
            )
        )
        members[f"{target}.npy"] = _npy_bytes(np.asarray(other))
        name = f"{target}: shape {np.shape(other)}"
    elif kind == "number":
        flat = array.astype(array.dtype).reshape(-1).copy()
        if len(flat):
            pool = (0, -1, HUGE, 2**62) if flat.dtype.kind == "i" else (np.nan, np.inf, -1.0, 0.0, 2.0, 1e308, 5e-324)
            flat[rng.randrange(len(flat))] = rng.choice(pool)
        members[f"{target}.npy"] = _npy_bytes(flat.reshape(array.shape))
    elif kind == "header":
        header = rng.choice(
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 8), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
                "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }",
                "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2,), }",
                "{'descr': '<f8', 'fortran_order': 2, 'shape': (2,), }",
                "{'descr': '<f8', 'shape': (2,), }",
                "{'descr': 'zz', 'fortran_order': False, 'shape': (2,), }",
                "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 70 + "), }",
                "(" * 3000,
                "-" * 9000 + "1",
                "{'descr': __import__('os').system('true')}",
                "",
                "\0" * 50,
                "x" * 60000,
            )
        )
        members[f"{target}.npy"] = npy(
            header, bytes(rng.choice((0, 16, 64))), rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
        )
        name = f"{target}: header {header[:60]!r}"
    elif kind == "bomb":
        size = rng.choice((2**27, 2**29))
        members[f"{target}.npy"] = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}", b"")
        return name, _bomb(size)
    elif kind == "drop":
        del members[f"{target}.npy"]
    buffer = io.BytesIO()
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(
            buffer,
            "w",
            rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA if kind == "zip" else zipfile.ZIP_STORED)
            ),
        ) as archive,
    ):
        warnings.simplefilter("ignore")
        for member, own in members.items():
            archive.writestr(member, own)
        if kind == "zip":
            member = next(iter(members), "x.npy")
            archive.writestr(
                rng.choice((member, "../../x.npy", "x", "x/", "a b.npy", "é.npy")),
                rng.choice((b"", b"x", members.get(member, b""))),
            )
    found = bytearray(buffer.getvalue())
    if kind == "flip":
        for _ in range(rng.choice((1, 1, 3))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del found[rng.randrange(len(found)) :]
    elif kind == "claim":
        # The sizes in the directory: compressed at 20, unpacked at 24; the flags at 8 and the method at 10.
        entry = found.rindex(b"PK\x01\x02")
        at, width = rng.choice(((20, 4), (24, 4), (8, 2), (10, 2), (42, 4), (28, 2)))
        found[entry + at : entry + at + width] = rng.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\x40", b"\x01\0\0\0", b"\0\0\0\0")
        )[:width]
        name = f"{target}: claim at {at}"
    return name, bytes(found)


def _npy_bytes(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=False)
    return buffer.getvalue()


_BOMBS: dict[int, bytes] = {}


def _bomb(size: int) -> bytes:
    if size not in _BOMBS:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("start.npy", "w") as file:
            file.write(npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}", b""))
            for _ in range(size >> 20):
                file.write(bytes(2**20))
        _BOMBS[size] = buffer.getvalue()
    return _BOMBS[size]


def use(language: Language) -> None:
    """What any caller does first."""
    assert isinstance(repr(language), str)
    assert all(isinstance(name, str) for name in language.vocabulary)
    assert type(language.length) is int
    rows = language.sample(2, torch.Generator().manual_seed(0))
    language.render(rows[0])
    language.log_prob(rows)
    list(language.downstream)


def outcome(path: Path) -> str:
    """`refused`, `accepted`, or the name of an error that is not the reader's own."""

    def late(number: int, frame: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        language = load(path)
    except LanguageFileError as error:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if peak > 2**16:  # KiB
            return f"refused after {peak >> 10} MiB: {error}"[:200]
        return "refused" if str(path) in str(error) and ";" in str(error) else f"no remedy: {error}"[:300]
    except Exception as error:
        return f"load: {type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        use(language)
    except ValueError:
        return "accepted"
    except Exception as error:
        return f"use: {type(error).__name__}: {error}"[:200]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "accepted"


def main(seed: int, rounds: int, folder: Path) -> dict[str, Any]:
    assert {language.family for language in LANGUAGES} == families().keys() - {"autoregressive"}
    arrays.LARGEST_ARRAYS = 2**26  # so that bombs are made in less than a second
    rng = random.Random(seed)
    found: dict[str, Any] = {"json": 0, "npz": 0, "accepted": 0, "wrong": []}
    for language in LANGUAGES:
        path = folder / f"{language.family}.json"
        files = save(language, path)
        assert outcome(path) == "accepted", outcome(path)
        text = path.read_text()
        content = files[1].read_bytes() if len(files) == 2 else b""
        for kind in ["json"] * rounds + ["npz"] * (2 * rounds if content else 0):
            found[kind] += 1
            name = _json_mutant(path, text, rng) if kind == "json" else _npz_mutant(path, text, content, rng)
            ended = outcome(path)
            found["accepted"] += ended == "accepted"
            if ended not in ("accepted", "refused"):
                found["wrong"].append([f"{language.family} {kind}: {name}", ended])
            path.write_text(text)
            if content:
                files[1].write_bytes(content)
    return found


def _json_mutant(path: Path, text: str, rng: random.Random) -> str:
    name, content = mutated_json(text, rng)
    path.write_bytes(content)
    return name


def _npz_mutant(path: Path, text: str, content: bytes, rng: random.Random) -> str:
    name, mutant = mutated_npz(content, rng)
    path.with_suffix(".npz").write_bytes(mutant)
    document = json.loads(text)
    document["arrays"]["sha256"] = hashlib.sha256(mutant).hexdigest()
    path.write_text(json.dumps(document))
    return name


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as own:
        print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), Path(own)), indent=1))
