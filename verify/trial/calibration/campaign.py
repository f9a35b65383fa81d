"""What a claim's trial found at many root seeds: taken from evidence, kept in a compact file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from synthetic.typed import build, parse_json
from verify.trial.decision import Verdict
from verify.trial.design import Design
from verify.trial.evidence import Evidence
from verify.trial.measurement import Measurement
from verify.trial.stored import FOLDER

SCHEMA = 1
PROFILE = "quick"
"""The profile whose designs are calibrated: a run of the others takes minutes, and they differ in n and margin."""
LETTERS = {str(verdict): str(verdict)[0].upper() for verdict in Verdict}
"""S, R and I, for a verdict in a row of them."""
SHIPPED = FOLDER / "calibration-quick-cpu.json"
"""The campaigns that come with flatproof, as `save` wrote them."""


@dataclass(frozen=True)
class Series:
    """One instance of a design, or a control, root seed by root seed.

    Attributes:
        name: of the control; empty for an instance.
        statistic: name of the design's statistic.
        estimates: measured values; empty for a control, whose verdict is all that counts.
        half_widths: of the intervals, before they are widened by the systematic allowance.
        systematics: the allowances.
        verdicts: a letter each, as in `LETTERS`.
    """

    name: str
    statistic: str
    estimates: tuple[float, ...]
    half_widths: tuple[float, ...]
    systematics: tuple[float, ...]
    verdicts: str


@dataclass(frozen=True)
class Campaign:
    """Trials of one claim at many root seeds.

    Attributes:
        claim: id.
        expected: the verdict that is expected.
        dates: of the first trial and of the last.
        designs: as they were declared.
        root_seeds: those with a verdict, ascending.
        missing: those at which other claims have a verdict and this one has none: its trial ended in an error, was of
            another design, or has not been made.
        verdicts: of the claim, a letter for each root seed.
        instances: what the designs measured.
        controls: what was tried with a hypothesis broken.
    """

    claim: str
    expected: str
    dates: tuple[str, ...]
    designs: tuple[Design, ...]
    root_seeds: tuple[int, ...]
    missing: tuple[int, ...]
    verdicts: str
    instances: tuple[Series, ...]
    controls: tuple[Series, ...]

    def __post_init__(self) -> None:
        n = len(self.root_seeds)
        statistics = {design.statistic for design in self.designs}
        for series in (*self.instances, *self.controls):
            numbers = (series.estimates, series.half_widths, series.systematics)
            lengths = {len(series.verdicts), *(map(len, numbers) if series in self.instances else ())}
            if lengths != {n} or series.statistic not in statistics:
                raise ValueError(f"expected {n} values of a declared statistic, got {lengths} of {series.statistic!r}")
        letters = {*self.verdicts, *(letter for own in (*self.instances, *self.controls) for letter in own.verdicts)}
        if not n or len(self.verdicts) != n or not letters <= set(LETTERS.values()):
            raise ValueError(f"expected {n or 'some'} verdicts S, R or I, got {self.verdicts!r:.60} with {letters}")

    def of(self, design: Design) -> tuple[Series, ...]:
        """The instances of a design."""
        return tuple(series for series in self.instances if series.statistic == design.statistic)


def declared(item: Evidence | Sequence[Design]) -> list[tuple[object, ...]]:
    """Return all that decides, levels included: evidence that differs in it is of another trial."""
    designs = item.designs if isinstance(item, Evidence) else item
    return [(design.statistic, design.alpha, *design.decides) for design in designs]


def campaigns(evidence: Iterable[Evidence], claims: Iterable[str] = ()) -> tuple[Campaign, ...]:
    """Gather evidence of the quick profile by claim and root seed; the latest line of each pair counts.

    What was stored before, as claims about trained networks show at that profile, is of another profile and left out;
    so is what another design decided than in the latest line of the claim.

    Args:
        evidence: of many root seeds.
        claims: those to be gathered; all that were measured if empty.

    Raises:
        ValueError: there is no evidence of a claim.
    """
    found: dict[str, dict[int, Evidence]] = {}
    latest: dict[str, Evidence] = {}
    for item in evidence:
        if item.profile == PROFILE:
            found.setdefault(item.claim, {})[item.root_seed] = latest[item.claim] = item
    wanted = tuple(claims) or tuple(found)
    if not wanted or (lacking := [claim for claim in wanted if claim not in found]):
        raise ValueError(
            f"expected evidence of {', '.join(lacking) if wanted else 'some claim'} at profile {PROFILE}, got none; "
            "measure it: name the root seeds with --root-seeds FIRST LAST"
        )
    seeds = {seed for own in found.values() for seed in own}
    return tuple(
        _campaign([own[seed] for seed in sorted(own) if declared(own[seed]) == declared(latest[claim])], seeds)
        for claim, own in found.items()
        if claim in wanted
    )


def _campaign(items: Sequence[Evidence], seeds: set[int]) -> Campaign:
    first, own = items[-1], tuple(item.root_seed for item in items)

    def series(name: str, get: Callable[[Evidence], Measurement], *, numbers: bool) -> Series:
        each = [get(item) for item in items]
        told = each if numbers else []
        return Series(
            name,
            each[0].statistic,
            tuple(_rounded(m.estimate, 9) for m in told),
            tuple(_rounded((m.high - m.low) / 2 - m.systematic, 6) for m in told),
            tuple(_rounded(m.systematic, 6) for m in told),
            "".join(LETTERS[m.verdict] for m in each),
        )

    return Campaign(
        claim=first.claim,
        expected=first.expected,
        dates=(min(item.date for item in items)[:10], max(item.date for item in items)[:10]),
        designs=first.designs,
        root_seeds=own,
        missing=tuple(sorted(seeds - set(own))),
        verdicts="".join(LETTERS[item.verdict] for item in items),
        instances=tuple(
            series("", lambda item, i=i: item.measurements[i], numbers=True)  # type: ignore[misc]
            for i in range(len(first.measurements))
        ),
        controls=tuple(
            series(control.name, lambda item, i=i: item.controls[i].measurement, numbers=False)  # type: ignore[misc]
            for i, control in enumerate(first.controls)
        ),
    )


def _rounded(value: float, digits: int) -> float:
    """Return a number to so many significant digits: the file is small, and a share k/n still tells its k."""
    return float(f"{value:.{digits}g}")


def save(found: Sequence[Campaign], path: Path) -> None:
    """Write campaigns as a JSON document, a line for each, from which `calibrate` finds the same again."""
    lines = ",\n".join(json.dumps(asdict(own), ensure_ascii=False) for own in found)
    path.write_text(f'{{"schema": {SCHEMA}, "campaigns": [\n{lines}\n]}}\n', encoding="utf-8")


def load(path: Path) -> tuple[Campaign, ...]:
    """Read what `save` wrote.

    Raises:
        ValueError: the file is of another schema, cut short or damaged.
        OSError: it cannot be read.
    """
    try:
        data = parse_json(path.read_bytes())
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise ValueError(f"expected campaigns of schema {SCHEMA}, got {data!r:.60}")
        return tuple(build(Campaign, own, "campaigns") for own in data["campaigns"])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: {error}; make the file anew: flatproof calibrate --evidence FILE --save {path}"
        ) from error
