"""`flatproof mutate`: plant known faults in a copy of the source, one at a time, and see which tests catch them.

The faults are data, tables `["FILE".ID]` in `tests/mutants/GROUP.toml`: a passage that occurs once in the file, what to
put in its place, and the tests that should fail then (the mirror of the file if none are named). The user's tree is
only read; all is done in a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from verify.cli.output import print_json, usage_error

ROOT = Path(__file__).parents[2]
_CATALOGUE = Path("tests") / "mutants"
_PLUGIN = """
from hypothesis import HealthCheck, Phase, settings
found = {"derandomize": True, "phases": (Phase.explicit, Phase.generate)}
settings.register_profile("mutate", **found, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("mutate")
"""
"""Of pytest: the same examples in every run, no search for smaller ones (it takes minutes), no failure for slowness."""
_OPTIONS = ("-x", "-q", "-rfE", "-p", "no:cacheprovider", "-p", "unshrunk")
_ENDED = {0: "survived", 1: "caught", 2: "caught"}  # pytest's exit status; 2: the tests could not be imported


class MutateError(ValueError):
    """No source checkout, a catalogue that does not fit the source, or tests that fail without any fault."""


@dataclass(frozen=True)
class Fault:
    """A planted fault.

    Attributes:
        id: its name in the catalogue.
        group: the file of the catalogue that it stands in.
        file: what is changed, relative to the root.
        old: a passage that occurs in it exactly once.
        new: what stands there instead.
        tests: files or node ids of pytest, of which one must fail.
        why: what is wrong with it, in a line.
        equivalent: why no test can tell it from the original, if that is so.
    """

    id: str
    group: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    why: str
    equivalent: str = ""

    def planted(self, root: Path) -> str:
        """Return the text of the file with the fault.

        Raises:
            MutateError: unless the file exists and the old passage occurs in it exactly once.
        """
        path = root / self.file
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text.count(self.old) != 1 or self.old == self.new:
            raise MutateError(
                f"fault {self.id!r}: expected to find its old text once in {self.file} and to change it, found it "
                f"{text.count(self.old)} times; adapt {_CATALOGUE / self.group}.toml to the source"
            )
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Outcome:
    """What became of a fault: by which test it was caught, after how many seconds."""

    fault: Fault
    result: Literal["caught", "survived", "timed out", "not run"]
    test: str
    seconds: float

    @property
    def explained(self) -> bool:
        """Whether it is as the catalogue says: caught, or a survivor that is equivalent."""
        return self.result == ("survived" if self.fault.equivalent else "caught")


def catalogue(root: Path) -> dict[str, Fault]:
    """Return all faults by id.

    Raises:
        MutateError: there is no catalogue, or two faults share an id, or one lacks a field.
    """
    files = sorted((root / _CATALOGUE).glob("*.toml"))
    if not files:
        raise MutateError(
            f"expected a source checkout with {_CATALOGUE}/*.toml, found none in {root}; "
            "clone the repository and install it with pip install -e '.[dev]'"
        )
    faults: dict[str, Fault] = {}
    for path in files:
        for file, own in tomllib.loads(path.read_text(encoding="utf-8")).items():
            for name, fields in own.items():
                if name in faults or name == path.stem:
                    raise MutateError(f"expected ids that occur once and name no group, got {name!r} again; rename it")
                tests = tuple(fields.get("tests", [_mirror(file)]))
                try:
                    faults[name] = Fault(id=name, group=path.stem, file=file, **fields | {"tests": tests})
                except TypeError as error:
                    raise MutateError(f"fault {name!r} in {path.name}: expected old, new and why: {error}") from error
    return faults


def _mirror(file: str) -> str:
    path = Path("tests") / file
    return str(path.with_name(f"test_{path.name}"))


def chosen(faults: dict[str, Fault], names: Sequence[str]) -> list[Fault]:
    """Return the faults with these ids or in these groups; all if no name is given.

    Raises:
        MutateError: a name is neither.
    """
    groups = sorted({fault.group for fault in faults.values()})
    unknown = [name for name in names if name not in faults and name not in groups]
    if unknown:
        raise MutateError(
            f"expected ids or groups, got {unknown[0]!r}; the groups are {', '.join(groups)}; --list shows the ids"
        )
    return [fault for fault in faults.values() if not names or {fault.id, fault.group} & set(names)]


def run(root: Path, faults: Sequence[Fault], jobs: int, limit: float, tell: Callable[[Outcome], None]) -> list[Outcome]:
    """Plant each fault in a copy of the tracked files and run its tests there.

    Args:
        root: of the source; only read.
        faults: to be planted.
        jobs: how many at once, each in a copy of its own.
        limit: seconds that the tests of one fault may take; more is no catch.
        tell: called with each outcome when it is known.

    Raises:
        MutateError: a fault does not fit the source, or the tests fail without any.
    """
    texts = {fault.id: fault.planted(root) for fault in faults}
    running: list[tuple[Fault, _Tests]] = []
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="flatproof-mutate-") as scratch:
        free = [_copy(root, Path(scratch) / str(k)) for k in range(max(1, min(jobs, len(faults))))]
        try:
            _check_unmutated(free[0], sorted({test for fault in faults for test in fault.tests}))
            waiting = deque(faults)
            while waiting or running:
                while waiting and free:
                    fault, copy = waiting.popleft(), free.pop()
                    (copy / fault.file).write_text(texts[fault.id], encoding="utf-8")
                    running.append((fault, _Tests(copy, fault.tests)))
                for fault, tests in [item for item in running if item[1].ended(limit)]:
                    running.remove((fault, tests))
                    tests.stop()
                    (tests.copy / fault.file).write_bytes((root / fault.file).read_bytes())
                    free.append(tests.copy)
                    outcomes.append(_outcome(fault, tests))
                    tell(outcomes[-1])
                time.sleep(0.02)
        finally:
            for _, tests in running:
                tests.stop()
    return sorted(outcomes, key=lambda outcome: list(faults).index(outcome.fault))


def _copy(root: Path, target: Path) -> Path:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise MutateError(f"expected a git checkout at {root}, got: {listed.stderr.strip()}; clone the repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((root / name).read_bytes())
    return target


class _Tests:
    """A run of pytest in a copy; a process group of its own, with no memory of earlier runs."""

    def __init__(self, copy: Path, tests: Sequence[str]) -> None:
        self.copy, self.late = copy, False
        self._state = tempfile.TemporaryDirectory(dir=copy.parent)
        self._output = Path(self._state.name) / "output"
        (Path(self._state.name) / "unshrunk.py").write_text(_PLUGIN)
        # No stale bytecode or compiled kernels: a fault of the same length within a second would not be seen.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
            "PYTHONPATH": os.pathsep.join((str(copy), self._state.name)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            **dict.fromkeys(("NUMBA_CACHE_DIR", "HYPOTHESIS_STORAGE_DIRECTORY"), self._state.name),
        }
        command = [sys.executable, "-m", "pytest", *_OPTIONS, *tests]
        self._began = time.monotonic()
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                command, cwd=copy, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def ended(self, limit: float) -> bool:
        self.seconds = time.monotonic() - self._began
        self.late = self._process.poll() is None and self.seconds > limit
        return self.late or self._process.poll() is not None

    def stop(self) -> None:
        """End what still runs, and keep status and output."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self.status = self._process.wait()
        self.output = self._output.read_text(encoding="utf-8", errors="replace")
        self._state.cleanup()

    @property
    def failed(self) -> str:
        """The first test that failed, or the file that could not be imported."""
        found = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", self.output, re.M)
        return found[1] if found else ""


def _check_unmutated(copy: Path, names: Sequence[str]) -> None:
    # Folder by folder, as they may need conftests that do not bear each other.
    for folder in sorted({name.split("/")[0] for name in names}):
        tests = _Tests(copy, [name for name in names if name.split("/")[0] == folder])
        try:
            while not tests.ended(float("inf")):
                time.sleep(0.05)
        finally:
            tests.stop()
        if tests.status != 0:
            raise MutateError(
                f"expected tests that pass without any fault, {tests.failed or 'pytest'} fails; mend it first:\n"
                + "\n".join(tests.output.splitlines()[-20:])
            )


def _outcome(fault: Fault, tests: _Tests) -> Outcome:
    result: Any = "timed out" if tests.late else _ENDED.get(tests.status, "not run")
    return Outcome(fault, result, tests.failed if result == "caught" else "", round(tests.seconds, 1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("names", nargs="*", metavar="ID|GROUP", help="faults, or groups of them (default: all)")
    parser.add_argument("--list", action="store_true", help="only say what the faults are")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="faults at once, each in a copy of its own")
    parser.add_argument(
        "--limit", type=float, default=600.0, metavar="SECONDS", help="for the tests of a fault; longer is not caught"
    )


def act(arguments: argparse.Namespace) -> int:
    """Carry out the verb; return its exit status: 1 where a fault is not caught and that is not explained."""
    try:
        faults = chosen(catalogue(ROOT), arguments.names)
        if arguments.list:
            if arguments.json:
                print_json("mutate", [asdict(fault) for fault in faults])
            else:
                print("\n".join(f"{fault.id:<40} {fault.group:<12} {fault.why}" for fault in faults))
            return 0
        outcomes = run(
            ROOT, faults, arguments.jobs, arguments.limit, lambda found: print(line(found), file=sys.stderr, flush=True)
        )
    except MutateError as error:
        return usage_error(str(error))
    if arguments.json:
        print_json("mutate", [asdict(outcome) for outcome in outcomes])
    else:
        print(table(outcomes))
    return 0 if all(outcome.explained for outcome in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """Return in Markdown how many faults of each group were caught, and every one that was not.

    The last column is a lower bound at 95% (Clopper and Pearson) of the share of faults that are caught, as if they
    had been drawn at random from those that one could plant.
    """
    from verify.statistics import binomial_interval

    rows = ["| group | faults | caught | share | at least |", "|---|---|---|---|---|"]
    groups = sorted({outcome.fault.group for outcome in outcomes})
    for name in (*groups, "all"):
        found = [outcome.result == "caught" for outcome in outcomes if name in (outcome.fault.group, "all")]
        # One-sided at 95%: the lower end of the two-sided interval at 90%.
        share = binomial_interval(sum(found), len(found), 0.1)
        rows.append(f"| {name} | {len(found)} | {sum(found)} | {share.estimate:.1%} | {share.low:.1%} |")
    left = [outcome for outcome in outcomes if outcome.result != "caught"]
    if left:
        rows += ["", "| not caught | fault | what became of it |", "|---|---|---|"]
        rows += [
            f"| `{o.fault.id}` | {o.fault.why} | {o.result}: {o.fault.equivalent or 'not explained'} |" for o in left
        ]
    return "\n".join(rows)


def line(outcome: Outcome) -> str:
    """Return an outcome in one line."""
    told = outcome.test or outcome.fault.equivalent
    if outcome.result == "caught" and outcome.fault.equivalent:
        told += " (but its entry says that no test can: take `equivalent` out)"
    return f"{outcome.result:<9} {outcome.fault.id:<40} {outcome.seconds:6.1f} s  {told}".rstrip()
