"""Evidence: one JSON line for each claim that was put on trial."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from synthetic.typed import build, parse_json
from verify.trial._schema_1 import upgraded
from verify.trial.decision import Verdict
from verify.trial.design import Design
from verify.trial.measurement import Measurement, Networks

if sys.platform != "win32":  # which has no such locks
    import fcntl

SCHEMA = 2
"""Version of the layout of a line; raised when a field changes its meaning. Lines of schema 1 are read as well."""

LARGEST_LINE = 2**26
"""Bytes of a line that is read."""

ANY = "any"
"""Expected verdict of networks at a scale that was asked for: a claim says what it expects at that of its profile."""


@dataclass(frozen=True)
class ControlOutcome:
    """A trial with one hypothesis broken: `caught` when the claim's own test refuted it."""

    name: str
    broken: str
    measurement: Measurement

    @property
    def caught(self) -> bool:
        return self.measurement.verdict == Verdict.REFUTED


@dataclass(frozen=True)
class Evidence:
    """All that one run found about one claim.

    Attributes:
        claim: id.
        title: the claim in one line.
        status: status of its derivation.
        verdict: the combined verdict.
        expected: the verdict that was expected, or `ANY`.
        measurements: every instance of every design.
        controls: every control.
        designs: the designs as they were declared.
        profile: quick, default or full.
        device: cpu or cuda.
        root_seed: root of all random streams.
        seconds: wall-clock time.
        versions: of Python and packages.
        hardware: processor, cores, device.
        date: UTC, ISO 8601.
    """

    claim: str
    title: str
    status: str
    verdict: str
    expected: str
    measurements: tuple[Measurement, ...]
    controls: tuple[ControlOutcome, ...]
    designs: tuple[Design, ...]
    profile: str
    device: str
    root_seed: int
    seconds: float
    versions: Mapping[str, str]
    hardware: Mapping[str, str | int]
    date: str

    @property
    def about_networks(self) -> tuple[tuple[Measurement, Networks], ...]:
        """The measurements of trained networks, with what they are."""
        return tuple((m, m.networks) for m in self.measurements if m.networks is not None)

    @property
    def scales(self) -> frozenset[str]:
        """Names of the scales of the networks that were measured."""
        return frozenset(networks.scale for _, networks in self.about_networks)

    def design_of(self, measurement: Measurement) -> Design:
        """The design that decided a measurement."""
        return next(design for design in self.designs if design.statistic == measurement.statistic)

    @property
    def headline_design(self) -> Design:
        """The first design with a measurement that has the claim's verdict, such as the one that refuted it."""
        decisive = {m.statistic for m in self.measurements if m.verdict == self.verdict}
        return next((design for design in self.designs if design.statistic in decisive), self.designs[0])

    @property
    def headline(self) -> Measurement:
        """The instance of the headline's design whose interval reaches farthest from the target, on its side."""
        design = self.headline_design
        own = [m for m in self.measurements if m.statistic == design.statistic]

        def reach(m: Measurement) -> float:
            below, above = m.target - m.low, m.high - m.target
            return {"two": max(below, above), "lower": below, "upper": above}[design.side]

        return max(own, key=reach)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, with the schema version and whether each control was caught."""
        line = {"schema": SCHEMA, **asdict(self)}
        for entry, control in zip(line["controls"], self.controls, strict=True):
            entry["caught"] = control.caught
        return _finite(line)  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, line: Any) -> Evidence:
        """Rebuild what `as_json` wrote, or what it wrote at schema 1.

        Raises:
            ValueError: the line is of another schema, a field is missing, unknown or of another type, or a measurement
                belongs to no design.
        """
        schema = line.get("schema") if isinstance(line, dict) else None
        if schema not in (1, SCHEMA):
            raise ValueError(f"expected evidence of schema 1 or {SCHEMA}, got {schema!r:.60}; measure again")
        try:
            fields = upgraded(line) if schema == 1 else dict(line)
            del fields["schema"]
            fields["controls"] = [{k: v for k, v in own.items() if k != "caught"} for own in fields["controls"]]
            found = build(cls, fields, named=True)
            found._check_verdicts()
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(f"this line is not evidence of schema {schema}: {error}; measure again") from error
        return found

    def _check_verdicts(self) -> None:
        """Raise ValueError unless each measurement has a verdict and a design, and the decisive design has one."""
        known = {design.statistic for design in self.designs}
        for m in self.measurements:
            if m.statistic not in known:
                raise ValueError(f"expected measurements of {', '.join(sorted(known))!r:.99}, got {m.statistic!r:.60}")
        measured = [*self.measurements, *(control.measurement for control in self.controls)]
        for verdict in (self.verdict, *(m.verdict for m in measured)):
            if verdict not in set(Verdict):
                raise ValueError(f"expected a verdict among {', '.join(Verdict)}, got {verdict!r:.60}")
        if not self.designs or self.headline_design.statistic not in {m.statistic for m in self.measurements}:
            raise ValueError("expected a measurement of the design that decided, got none")


@dataclass(frozen=True)
class BadLine:
    """A line of a file that is not evidence.

    Attributes:
        path: the file.
        number: of the line, from 1.
        reason: what was expected and what to do.
    """

    path: Path
    number: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.number}: {self.reason}"


class EvidenceFileError(OSError):
    """A file that evidence cannot be written to; what it held before is still there."""


def _finite(value: Any) -> Any:
    """Replace what JSON cannot carry: a non-finite float becomes its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def append(path: Path, evidence: Evidence) -> None:
    """Write one line and force it to disk, so that an interruption keeps every finished claim.

    All of it is written or nothing; a line that was cut short before is closed first. Two runs may append to one file.

    Raises:
        EvidenceFileError: it cannot be written, as on a full disk.
    """
    _append(path, (json.dumps(evidence.as_json(), ensure_ascii=False) + "\n").encode())


def check_writable(path: Path) -> None:
    """Raise EvidenceFileError unless lines can be appended to the file; makes it where there is none."""
    _append(path, b"")


def _append(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            if sys.platform != "win32":
                with contextlib.suppress(OSError):  # some network folders know no locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            cut = content and file.read(1) not in (b"", b"\n")
            rest = memoryview(b"\n" + content if cut else content)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise EvidenceFileError(
            f"expected to append evidence to {path}, got: {error.strerror or error}; make room, or name another file"
        ) from error


def lines(path: Path) -> Iterator[Evidence | BadLine]:
    """Read the lines of a file that are not empty, whatever the others are; one cut short is a `BadLine`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(LARGEST_LINE)
            if not line:
                return
            if len(line) == LARGEST_LINE and not line.endswith(b"\n"):
                while file.readline(LARGEST_LINE)[-1:] not in (b"", b"\n"):
                    pass
                yield BadLine(path, number, f"expected at most {LARGEST_LINE} bytes; remove the line, measure again")
            elif line.strip():
                try:
                    yield Evidence.from_json(parse_json(line))
                except ValueError as error:
                    remedy = "" if ";" in str(error) else "; it is cut short or damaged: measure the claim again"
                    yield BadLine(path, number, f"{error}{remedy}")


def read(path: Path) -> Iterator[Evidence]:
    """Read the evidence of a file, line by line.

    Raises:
        ValueError: lines are not evidence; raised after all others were given, and the message names them.
        OSError: the file cannot be read.
    """
    bad = []
    for line in lines(path):
        if isinstance(line, Evidence):
            yield line
        else:
            bad.append(str(line))
    if bad:
        raise ValueError("\n".join(bad))


class UnexpectedOutcomeError(AssertionError):
    """A verdict is not the expected one, or a control was not caught."""


def require_expected(evidence: Evidence) -> None:
    """Check that the verdict is the expected one and that every control was caught.

    Raises:
        UnexpectedOutcomeError: the message shows what was measured.
    """
    shown = "; ".join(
        f"{m.statistic} at {dict(m.parameters)}: {m.estimate:.6g} [{m.low:.6g}, {m.high:.6g}], target {m.target:.6g}, "
        f"{m.verdict}"
        for m in evidence.measurements
    )
    if evidence.expected not in (evidence.verdict, ANY):
        raise UnexpectedOutcomeError(f"{evidence.claim}: {evidence.verdict}, expected {evidence.expected}: {shown}")
    missed = [control for control in evidence.controls if not control.caught]
    if missed:
        details = "; ".join(
            f"{c.name} ({c.broken}): {c.measurement.estimate:.6g} [{c.measurement.low:.6g}, {c.measurement.high:.6g}] "
            f"is {c.measurement.verdict}, target {c.measurement.target:.6g}"
            for c in missed
        )
        raise UnexpectedOutcomeError(f"{evidence.claim}: controls not caught: {details}")
