"""Evidence: one JSON line for each claim that was put on trial."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verify.trial.decision import InstanceResult, Verdict
from verify.trial.design import Design

SCHEMA = 1
"""Version of the layout of a line; raised when a field changes its meaning."""

ANY = "any"
"""Expected verdict of networks at a scale that was asked for: a claim says what it expects at that of its profile."""


@dataclass(frozen=True)
class Measurement:
    """One decided instance of a design.

    Attributes:
        statistic: name of the statistic, as in its design.
        parameters: the randomly drawn parameters of the instance.
        prediction: the claim's closed form at these parameters, in its own unit; None where it has no number.
        target: predicted value of the normalised statistic.
        estimate: measured value of the statistic.
        low: lower end of its interval, widened by the systematic allowance.
        high: upper end, widened likewise.
        systematic: the allowance.
        verdict: supported, refuted or inconclusive.
    """

    statistic: str
    parameters: Mapping[str, float | int | str]
    prediction: float | None
    target: float
    estimate: float
    low: float
    high: float
    systematic: float
    verdict: str

    @classmethod
    def of(
        cls, result: InstanceResult, parameters: Mapping[str, float | int | str], prediction: float | None
    ) -> Measurement:
        """Describe a decided instance."""
        interval = result.interval
        return cls(
            statistic=result.design.statistic,
            parameters=dict(parameters),
            prediction=prediction,
            target=result.design.target,
            estimate=interval.estimate,
            low=interval.low - result.systematic,
            high=interval.high + result.systematic,
            systematic=result.systematic,
            verdict=str(result.verdict),
        )


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
        """Rebuild what `as_json` wrote.

        Raises:
            ValueError: the line is of another schema, or a field is missing or unknown.
        """
        if line.get("schema") != SCHEMA:
            raise ValueError(f"expected evidence of schema {SCHEMA}, got {line.get('schema')}; measure again")
        fields = {key: value for key, value in line.items() if key != "schema"}
        try:
            fields["measurements"] = tuple(Measurement(**m) for m in fields["measurements"])
            fields["controls"] = tuple(
                ControlOutcome(c["name"], c["broken"], Measurement(**c["measurement"])) for c in fields["controls"]
            )
            fields["designs"] = tuple(
                Design(**{**d, "support": None if d["support"] is None else tuple(d["support"])})
                for d in fields["designs"]
            )
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"this line is not evidence of schema {SCHEMA}: {error}; measure again") from error


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
