"""The closing table: claim, prediction, measured interval, verdict, controls caught."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from verify.evidence import Evidence, Measurement

WIDTH = 80
MOST_DECIMALS = 5
_COLUMNS = (22, 9, 26, 12, 7)
_HEADER = ("claim", "predicted", "measured [interval]", "verdict", "caught")


def _decimals(half_width: float) -> int:
    """Digits after the point that show two digits of the half-width, at most five."""
    return next((d for d in range(1, MOST_DECIMALS) if half_width >= 10.0 ** (1 - d)), MOST_DECIMALS)


def measured(m: Measurement) -> str:
    """Write an estimate and its interval with as many digits as the interval warrants."""
    decimals = _decimals((m.high - m.low) / 2)
    return f"{m.estimate:.{decimals}f} [{m.low:.{decimals}f}, {m.high:.{decimals}f}]"


def predicted(evidence: Evidence) -> str:
    """Write the target of the headline, with ≥ or ≤ for a one-sided claim."""
    sign = {"two": "", "lower": "≥ ", "upper": "≤ "}[evidence.designs[0].side]
    return f"{sign}{evidence.headline.target:.4g}"


def controls(evidence: Evidence) -> str:
    """Write how many controls were caught out of how many."""
    return f"{sum(control.caught for control in evidence.controls)}/{len(evidence.controls)}"


def _verdict(evidence: Evidence) -> str:
    return evidence.verdict if evidence.verdict == "supported" else evidence.verdict.upper()


def _row(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, _COLUMNS, strict=True)).rstrip()


def table(evidence: Iterable[Evidence], unfinished: Sequence[str] = ()) -> list[str]:
    """Return the lines of the closing table, at most 80 columns wide.

    Args:
        evidence: what was found, in the order of the registry.
        unfinished: claims whose trial ended in an error or an interruption.
    """
    lines = [_row(_HEADER), "-" * WIDTH]
    for item in evidence:
        lines.append(_row((item.claim, predicted(item), measured(item.headline), _verdict(item), controls(item))))
        instances = item.designs[0].instances
        note = f"  {item.designs[0].statistic}"
        suffix = f" (worst of {instances})" if instances > 1 else ""
        room = WIDTH - len(suffix)
        lines.append((note if len(note) <= room else note[: room - 1] + "…") + suffix)
    lines += [_row((claim, "", "", "no verdict", "")) for claim in unfinished]
    return lines


def markdown(evidence: Iterable[Evidence]) -> str:
    """Return the status table of the README: one row for each claim, generated from evidence and never typed."""
    rows = [
        "| claim | derivation | statistic | predicted | measured [interval] | verdict | controls caught |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| [`{e.claim}`](paper_notes/{e.claim.replace('-', '_')}.md) | {e.status} | {e.designs[0].statistic} "
        f"| {predicted(e)} | {measured(e.headline)} | {_verdict(e)} | {controls(e)} |"
        for e in evidence
    ]
    return "\n".join(rows) + "\n"
