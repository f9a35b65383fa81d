"""General mutations: `python -m tests.mutants.general GROUP --seed N` says what share of them the tests notice.

A mutant is a file with one change of those in `alternatives`: an operator, a comparison, a number by one, a condition
turned or forgotten. A uniform sample of all that a group's files have, fixed by the seed, is run in copies of the last
commit. Left out, as no test should depend on them: annotations, decorators, what a `raise` says.
"""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest

from verify.statistics import binomial_interval

ROOT = Path(__file__).parents[2]
_DECISION = ("decision", "design", "power", "budget")
GROUPS = {
    "kernel": (["theory/kernel/**/*.py"], ["tests/theory/kernel/*.py"]),
    "statistics": (["verify/statistics/*.py"], ["tests/verify/statistics/*.py"]),
    "decision": ([f"verify/trial/{n}.py" for n in _DECISION], [f"tests/verify/trial/test_{n}.py" for n in _DECISION]),
    "minimisers": (["verify/minimisers/*.py"], ["tests/verify/minimisers/*.py"]),
}
"""The files of each group and the tests that should notice."""
SLOW = "tests/theory/kernel/test_door.py::test_property_nearly_every_step_of_every_claim_is_attacked"
"""Left out: it takes as long as all others, and what it alone notices are mutants that refuse more."""

_OPERATORS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitAnd: (ast.BitOr,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Break: (ast.Continue,),
    ast.Continue: (ast.Break,),
}


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What a slip may put in a node's place."""
    for other in _OPERATORS.get(type(node), ()):
        yield other()
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.BoolOp(values=values):
            for k in range(len(values)):
                rest = values[:k] + values[k + 1 :]
                yield ast.BoolOp(node.op, rest) if len(rest) > 1 else rest[0]
        case ast.If():
            for test in (ast.UnaryOp(ast.Not(), node.test), ast.Constant(False)):
                yield ast.If(test, node.body, node.orelse)
        case ast.While():
            yield ast.While(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.For():
            yield ast.For(node.target, ast.Tuple([]), node.body, node.orelse)
        case ast.comprehension(ifs=[_, *_]):
            yield ast.comprehension(node.target, node.iter, [], node.is_async)


@dataclass(frozen=True)
class Mutant:
    """A file with one change: the number of the change in it, where it is, what is put for what."""

    file: str
    number: int
    line: int
    change: str

    def text(self, source: str) -> str:
        """Return the text of the file with the change, its comments lost."""
        tree = ast.parse(source)
        next(itertools.islice(_changes(tree), self.number, None))
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants(file: str, source: str) -> list[Mutant]:
    """Return all mutants of a file."""
    found = enumerate(_changes(ast.parse(source)))
    return [Mutant(file, number, line, f"{_told(node)} → {_told(other)}") for number, (line, node, other) in found]


def _changes(tree: ast.AST) -> Iterator[tuple[int, ast.AST, ast.AST]]:
    """Make one change after the other in a tree, each undone before the next: line, node, what stands there instead."""
    for parent, field, index, line in list(_places(tree, 0)):
        nodes = getattr(parent, field) if index is not None else [getattr(parent, field)]
        node = nodes[index or 0]
        for other in (*alternatives(node), node):
            nodes[index or 0] = other
            setattr(parent, field, nodes if index is not None else other)
            if other is not node:
                yield line, node, other


def _places(parent: ast.AST, line: int) -> Iterator[tuple[ast.AST, str, int | None, int]]:
    """Fields, or items of fields that are lists, of all nodes that count; with the line."""
    if isinstance(parent, ast.Raise):
        return
    line = getattr(parent, "lineno", line)
    for field, value in ast.iter_fields(parent):
        if field not in {"annotation", "returns", "decorator_list"}:
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    yield parent, field, index, getattr(child, "lineno", line)
                    yield from _places(child, line)


def _told(node: ast.AST) -> str:
    """A node in a few words: an operator by its name, a statement by its condition or what it iterates over."""
    node = getattr(node, "test", getattr(node, "iter", node)) if isinstance(node, ast.stmt) else node
    return ast.unparse(ast.fix_missing_locations(node)) or type(node).__name__


class Reach:
    """A plugin of pytest: which lines of some files each test reaches, in a file `reach.json`.

    Lines reached while the tests are collected stand under "".
    """

    def __init__(self, copy: Path, files: Iterable[str]) -> None:
        self.copy, self.files = copy, {str(copy / file): file for file in files}
        self.reached: dict[str, list[tuple[str, int]]] = {}

    def _trace(self, name: str) -> Generator[None, Any, Any]:
        seen: set[tuple[str, int]] = set()

        def line(frame: FrameType, event: str, _: object) -> Any:
            seen.add((self.files[frame.f_code.co_filename], frame.f_lineno))
            return line

        def call(frame: FrameType, event: str, _: object) -> Any:
            return line if frame.f_code.co_filename in self.files else None

        sys.settrace(call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.reached[name] = sorted(seen)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        return (yield from self._trace(""))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        return (yield from self._trace(item.nodeid))

    def pytest_sessionfinish(self) -> None:
        (self.copy / "reach.json").write_text(json.dumps(self.reached))


def run(copy: Path, tests: Iterable[str], limit: int, *plugins: object) -> tuple[str, float]:
    """Run tests in a fork of this process, which has imported the large libraries, until one fails.

    Returns:
        "survived", "killed" or, after limit seconds of processor time, "timed out"; and what it took, in these seconds.
    """
    shutil.rmtree(copy / ".hypothesis", ignore_errors=True)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()  # Where the scheduler shares processors between sessions, each run has a share.
            os.dup2(os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
            os.dup2(1, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**32))
            os.chdir(copy)
            sys.path.insert(0, str(copy))
            for name in [n for n in sys.modules if n.partition(".")[0] in {"theory", "synthetic", "verify", "tests"}]:
                del sys.modules[name]
            hypothesis.settings.register_profile("mutants", deadline=None)
            hypothesis.settings.load_profile("mutants")  # A busy machine is no fault.
            options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning", "--deselect", SLOW]
            status = int(pytest.main([*options, *tests], plugins=plugins))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}
    return "timed out" if late else "killed" if status else "survived", used.ru_utime + used.ru_stime


@functools.cache
def _own(copy: Path) -> tuple[Path, dict[str, list[list[object]]]]:
    """A copy of a copy for this process alone, compiled files included, and which lines its tests reach."""
    sys.dont_write_bytecode = True  # The mutant of a file may be as old, in seconds, and as long as the last one.
    return Path(shutil.copytree(copy, f"{copy}-{os.getpid()}")), json.loads((copy / "reach.json").read_text())


def end(mutant: Mutant, copy: Path, tests: list[str], limit: int) -> str:
    """Run the tests that reach the mutant's line, all if it is run by an import; the file's own come first."""
    own, reached = _own(copy)
    place, path = [mutant.file, mutant.line], own / mutant.file
    chosen = [] if place in reached[""] else [name for name, places in reached.items() if place in places]
    path.write_text(mutant.text((copy / mutant.file).read_text(encoding="utf-8")), encoding="utf-8")
    found, _ = run(own, sorted(chosen or tests, key=lambda test: f"test_{path.stem}.py" not in test), limit)
    shutil.copy2(copy / mutant.file, path)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Draw, run, tell: each mutant in a line, and the share that was noticed with its 95% interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--seed", type=int, required=True, help="of the sample; declared before the run")
    parser.add_argument("--size", type=int, default=150, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once")
    asked = parser.parse_args(arguments)
    files, tests = (
        sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))
        for patterns in GROUPS[asked.group]
    )
    everything = [mutant for file in files for mutant in mutants(file, (ROOT / file).read_text(encoding="utf-8"))]
    sample = random.Random(f"{asked.group} {asked.seed}").sample(everything, min(asked.size, len(everything)))
    for name in ("beartype", "networkx", "numba", "sympy", "torch"):
        importlib.import_module(name)
    ends: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        copy = Path(scratch) / "copy"
        copy.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
        subprocess.run(["tar", "x", "-C", copy], input=archive, check=True)
        found, seconds = run(copy, tests, 3600, Reach(copy, files))
        if found != "survived":
            raise SystemExit(
                f"expected tests that pass without any mutation; mend\n{(copy / 'output.txt').read_text()}"
            )
        print(f"{asked.group}: {len(everything)} mutants; without any the tests take {seconds:.1f} s", flush=True)
        task = functools.partial(end, copy=copy, tests=tests, limit=1 + int(6 * seconds))
        with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
            for mutant, found in zip(sample, pool.imap(task, sample), strict=True):
                ends.append(found)
                print(f"{len(ends)} {found} {mutant.file}:{mutant.line} {mutant.change}", flush=True)
    noticed = len(ends) - ends.count("survived")
    share = binomial_interval(noticed, len(ends), 0.05)
    print(
        f"{asked.group}, seed {asked.seed}: {noticed} of {len(ends)} noticed ({ends.count('timed out')} by taking more "
        f"than six times as long), {share.estimate:.1%} [{share.low:.1%}, {share.high:.1%}]"
    )


if __name__ == "__main__":
    main()
