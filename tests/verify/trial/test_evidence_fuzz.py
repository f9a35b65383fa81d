"""Mutant: a damaged line of evidence is reported with its number and a remedy, and every good one is kept and shown."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from theory.claims import CLAIMS
from verify.claims import outlooks
from verify.trial import BadLine, Evidence, lines, report
from verify.trial.stored import FOLDER

FILES = sorted(FOLDER.glob("*.jsonl"))
STORED = [line for path in FILES for line in path.read_text(encoding="utf-8").split("\n") if line]
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**13, 10**400, 0.5, float("nan"), float("inf"), "", "x", "inf", "\ud800", "derived"),
    *([], {}, [[]], [{}], {"a": 1}, {"value": 1.0}, [None]),
)
OUTLOOKS = outlooks()
MUTANTS = 500
GOOD = min(STORED, key=len)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def mutated(line: str, rng: random.Random) -> tuple[str, bytes]:
    document = json.loads(line)
    container, key = rng.choice(list(places(document)))
    kind = rng.choice(("value",) * 6 + ("drop", "surplus", "swap", "cut", "flip", "deep", "twice"))
    if kind == "value":
        container[key] = rng.choice(VALUES)
    elif kind == "drop":
        del container[key]
    elif kind == "surplus":
        (container if isinstance(container, dict) else document)["x"] = rng.choice(VALUES)
    elif kind == "swap":
        other, place = rng.choice(list(places(document)))
        container[key] = copy.deepcopy(other[place])
    elif kind == "cut":
        return f"cut {key}", line.encode()[: rng.randrange(1, len(line.encode()))]
    elif kind == "flip":
        content = bytearray(line.encode())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        return "flip", bytes(content).replace(b"\n", b" ")
    elif kind == "deep":
        container[key] = "DEEP"
        depth = rng.choice((150, 5000, 10**5))
        return f"deep {depth}", json.dumps(document).replace('"DEEP"', "[" * depth + "]" * depth).encode()
    else:
        return "twice", (json.dumps(document)[:-1] + ', "claim": "x"}').encode()
    return f"{kind} {key}", json.dumps(document).encode()


def shown(evidence: list[Evidence]) -> None:
    report.table(evidence)
    report.markdown(evidence, OUTLOOKS)
    report.by_language(evidence, OUTLOOKS)
    report.further_evaluations(evidence)
    json.dumps([item.as_json() for item in evidence], allow_nan=False)


def test_mutants_of_every_stored_line_are_read_and_shown_or_reported(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "evidence.jsonl"
    good, refused = json.loads(GOOD), 0
    for _ in range(MUTANTS):
        name, mutant = mutated(rng.choice(STORED), rng)
        path.write_bytes(GOOD.encode() + b"\n" + mutant + b"\n" + GOOD.encode() + b"\n")
        found = list(lines(path))
        assert [getattr(found[place], "claim", None) for place in (0, 2)] == [good["claim"]] * 2
        if isinstance(found[1], BadLine):
            refused += 1
            assert found[1].number == 2
            assert ";" in found[1].reason
        elif found[1].claim in CLAIMS:
            try:
                shown([found[1]])
            except Exception as error:
                pytest.fail(f"{name}: {type(error).__name__}: {error}")
    assert refused > MUTANTS / 3
