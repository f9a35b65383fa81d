"""General mutations: `python -m tests.mutants.general GROUP --seed N` says what share of them the tests notice.

A mutant is a file with one of the `changes`. A uniform sample of all that the files of a group have, fixed by the seed,
is put to the group's tests. No file is changed, and the working tree is what is measured.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib.machinery
import itertools
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import hypothesis
import pytest

from tests.mutants.changes import Mutant, changes, mutants

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


def apart(work: Callable[[], int], limit: int) -> tuple[str, float]:
    """Work in a fork of this process.

    Returns:
        "survived" if the work returned 0, "timed out" after limit seconds of processor time, else "killed"; and what it
        took, in these seconds.
    """
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()  # Where the scheduler shares processors between sessions, each run has a share.
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            resource.setrlimit(resource.RLIMIT_DATA, (2**32, 2**32))
            status = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    _, status, used = os.wait4(child, 0)
    late = os.WIFSIGNALED(status) and os.WTERMSIG(status) in {signal.SIGXCPU, signal.SIGKILL}
    return "timed out" if late else "killed" if status else "survived", used.ru_utime + used.ru_stime


class Trials:
    """Tests that are collected once, and then run on one mutant after the other, each in a fork of that process.

    No file is changed. A mutant inside of a function is planted by putting the compiled code of the mutated file into
    the functions that exist, and only the tests that reach its line are run; one that an import runs, or whose code
    does not fit, is run by pytest anew.

    Args:
        root: of the source; the working directory.
        files: in which there will be mutants.
        tests: that should notice; also a plugin of pytest while they run.

    Raises:
        RuntimeError: they fail without any mutant.
    """

    def __init__(self, root: Path, files: Sequence[str], tests: Sequence[str]) -> None:
        self.root, self.files, self.tests = root, {str(root / file): file for file in files}, tests
        self.scratch = tempfile.TemporaryDirectory(prefix="mutants-")
        self.reached: dict[str, tuple[float, set[tuple[str, int]]]] = {}
        context = multiprocessing.get_context("fork")
        self.end, there = context.Pipe()
        self.server = context.Process(target=lambda: self._pytest(there))
        self.server.start()
        there.close()
        try:
            found, self.seconds = self.end.recv()
        except EOFError:
            found = "not collected"
        if found != "survived":
            told = (Path(self.scratch.name) / "output").read_text(encoding="utf-8")
            raise RuntimeError(f"expected tests that pass without any mutant, they were {found}; mend them\n{told}")

    def close(self) -> None:
        """End the process that has collected the tests."""
        self.end.send(None)
        self.server.join()
        self.scratch.cleanup()

    def outcome(self, mutant: Mutant) -> str:
        """Run the tests on a mutant: "killed", "survived", or "timed out" after six times as long as without it."""
        self.end.send(mutant)
        found = self.end.recv()
        return found if found is not None else apart(lambda: self._anew(mutant), self.limit)[0]

    @property
    def limit(self) -> int:
        """Seconds of processor time."""
        return 1 + int(6 * self.seconds)

    def _pytest(self, there: Any = None) -> int:
        with (Path(self.scratch.name) / ("output" if there else "anew")).open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        self.there = there
        hypothesis.settings.register_profile("mutants", deadline=None)
        hypothesis.settings.load_profile("mutants")  # A busy machine is no fault.
        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--deselect", SLOW]
        options += [f"--basetemp={self.scratch.name}/tmp", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = self.scratch.name
        os.chdir(self.root)
        sys.path.insert(0, str(self.root))
        return int(pytest.main([*options, *self.tests], plugins=[self] if there else []))

    def _anew(self, mutant: Mutant) -> int:
        target, loader = str(self.root / mutant.file), importlib.machinery.SourceFileLoader
        text, data, stats = mutant.text(Path(target).read_text(encoding="utf-8")), loader.get_data, loader.path_stats

        def planted(self: Any, path: str) -> bytes:
            return text.encode() if path == target else data(self, path)

        def refused(self: Any, path: str) -> Any:
            if path == target:
                raise OSError("no compiled file is read or written")
            return stats(self, path)

        loader.get_data, loader.path_stats = planted, refused  # type: ignore[method-assign]
        return self._pytest()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        reach = Path(self.scratch.name) / "reach.json"

        def all_traced() -> int:
            failed = self._run(session.items, self._trace)
            reach.write_text(json.dumps({name: (took, sorted(seen)) for name, (took, seen) in self.reached.items()}))
            return failed

        functions = [f for f in gc.get_objects() if type(f) is FunctionType and f.__code__.co_filename in self.files]
        found, self.seconds = apart(all_traced, 3600)
        self.there.send((found, self.seconds))
        if found == "survived":
            lines = json.loads(reach.read_text())
            while (mutant := self.there.recv()) is not None:
                items = [item for item in session.items if [mutant.file, mutant.line] in lines[item.nodeid][1]]
                items.sort(key=lambda item: lines[item.nodeid][0])  # The quickest first.
                if mutant.inside and items and self._put(mutant, functions):
                    self.there.send(apart(partial(self._run, items, contextlib.nullcontext), self.limit)[0])
                    self._put(None, functions)
                else:
                    self.there.send(None)
        return True

    def _put(self, mutant: Mutant | None, functions: Sequence[FunctionType]) -> bool:
        """Put a mutant's code into the functions of its file, or give every function its own again."""
        own = self.__dict__.setdefault("own", {id(f): f.__code__ for f in functions})
        if mutant is None:
            for function in functions:
                function.__code__ = own[id(function)]
            return True
        path = str(self.root / mutant.file)
        tree = ast.parse(Path(path).read_text(encoding="utf-8"))
        next(itertools.islice(changes(tree), mutant.number, None))
        codes = dict(_codes(compile(ast.fix_missing_locations(tree), path, "exec")))
        try:
            for function in functions:
                if function.__code__.co_filename == path:
                    function.__code__ = codes[function.__code__.co_qualname]
        except (KeyError, ValueError):
            return self._put(None, functions) and False
        return True

    def _run(self, items: Sequence[pytest.Item], around: Callable[[str], AbstractContextManager[Any]]) -> int:
        self.failed = 0
        for item, following in zip(items, [*items[1:], None], strict=True):
            with around(item.nodeid):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                break
        return self.failed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed
        if report.failed:
            print(report.nodeid, report.longreprtext)

    @contextlib.contextmanager
    def _trace(self, name: str) -> Iterator[None]:
        seen: set[tuple[str, int]] = set()

        def line(frame: FrameType, event: str, _: object) -> Any:
            seen.add((self.files[frame.f_code.co_filename], frame.f_lineno))
            return line

        def call(frame: FrameType, event: str, _: object) -> Any:
            return line if frame.f_code.co_filename in self.files else None

        began = time.process_time()
        sys.settrace(call)
        try:
            yield
        finally:
            sys.settrace(None)
            self.reached[name] = time.process_time() - began, seen


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant)


def main(arguments: list[str] | None = None) -> None:
    """Draw, run, tell: each mutant in a line, and the share that was noticed with its 95% interval."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--seed", type=int, required=True, help="of the sample; declared before the run")
    parser.add_argument("--size", type=int, default=150, help="of the sample")
    asked = parser.parse_args(arguments)
    files, tests = (
        sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))
        for patterns in GROUPS[asked.group]
    )
    everything = [mutant for file in files for mutant in mutants(file, (ROOT / file).read_text(encoding="utf-8"))]
    sample = random.Random(f"{asked.group} {asked.seed}").sample(everything, min(asked.size, len(everything)))
    for name in ("beartype", "networkx", "numba", "scipy.stats", "sympy", "torch"):
        importlib.import_module(name)
    trials, ends = Trials(ROOT, files, tests), list[str]()
    print(f"{asked.group}: {len(everything)} mutants; without any the tests take {trials.seconds:.1f} s", flush=True)
    for mutant in sample:
        ends.append(trials.outcome(mutant))
        print(f"{len(ends)} {ends[-1]} {mutant.file}:{mutant.line} {mutant.change}", flush=True)
    trials.close()
    from verify.statistics import binomial_interval  # not earlier: the tests must import what they test themselves

    noticed = len(ends) - ends.count("survived")
    share = binomial_interval(noticed, len(ends), 0.05)
    print(
        f"{asked.group}, seed {asked.seed}: {noticed} of {len(ends)} noticed ({ends.count('timed out')} by taking more "
        f"than six times as long), {share.estimate:.1%} [{share.low:.1%}, {share.high:.1%}]"
    )


if __name__ == "__main__":
    main()
