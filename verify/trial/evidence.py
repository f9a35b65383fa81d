"""Evidence: one JSON line for each claim that was put on trial."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verify.trial._schema_1 import upgraded
from verify.trial.decision import Verdict
from verify.trial.design import Design
from verify.trial.measurement import Measurement, Networks

SCHEMA = 2
"""Version of the layout of a line; raised when a field changes its meaning. Lines of schema 1 are read as well."""

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
        """Whether the check failed, as it must."""
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
    def from_json(cls, line: Mapping[str, Any]) -> Evidence:
        """Rebuild what `as_json` wrote, or what it wrote at schema 1.

        Raises:
            ValueError: the line is of another schema, or a field is missing or unknown.
        """
        if line.get("schema") not in (1, SCHEMA):
            raise ValueError(f"expected evidence of schema 1 or {SCHEMA}, got {line.get('schema')}; measure again")
        try:
            fields = {**(upgraded(line) if line["schema"] == 1 else line)}
            del fields["schema"]
            fields["measurements"] = tuple(Measurement.from_json(m) for m in fields["measurements"])
            fields["controls"] = tuple(
                ControlOutcome(c["name"], c["broken"], Measurement.from_json(c["measurement"]))
                for c in fields["controls"]
            )
            fields["designs"] = tuple(Design(**design) for design in fields["designs"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this line is not evidence of schema {line['schema']}: {error}; measure again") from error


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
    """Write one line and force it to disk, so that an interruption keeps every finished claim."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(evidence.as_json(), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> Iterator[Evidence]:
    """Read the evidence of a file, line by line.

    Raises:
        ValueError: a line is not evidence; the message names the line.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            yield Evidence.from_json(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


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
