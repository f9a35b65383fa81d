"""A calibration in tables: claims, statistics, tails of the p-values, and what does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from verify.statistics import Interval, binomial_interval
from verify.trial.calibration.checks import LEVEL, SHOWN, Calibration, ClaimFound, Covered, StatisticFound

Rows = Sequence[Sequence[str]]

_CLAIMS = (
    "claim",
    "root seeds",
    "supported",
    "inconclusive",
    "refuted",
    "Pr(wrong) <",
    "stated level",
    "controls missed",
)
_STATISTICS = (
    *("claim", "statistic", "power declared", "supported", "p-values", "target in interval at 50, 90, 99 %, 1 − α"),
    *("mean − target", "allowed", "S ÷ planned"),
)
_TAILS = ("p-values", "p ≤", "expected", "found", "found ÷ expected")
_KINDS = ("uniform if the claims hold", "not too small if the claims hold")


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def _claim(own: ClaimFound) -> tuple[str, ...]:
    supported, refuted, inconclusive = own.verdicts
    n, tried = len(own.campaign.root_seeds), len(own.campaign.controls)
    return (
        *(f"`{own.campaign.claim}`", str(n), str(supported), str(inconclusive), str(refuted)),
        *(f"{own.wrong.high:.2%}", f"{own.level:.2g}", f"{sum(m for _, m in own.missed)} of {n * tried}"),
    )


def _statistic(claim: str, own: StatisticFound) -> tuple[str, ...]:
    uniform = "no sampling error" if own.uniform is None else f"{own.uniform:.2g}{'' if own.exact else ' (≥)'}"
    return (
        *(f"`{claim}`", own.design.statistic, f"{own.design.power:.0%}", _percent(own.supported), uniform),
        ", ".join(_covered(each) for each in own.coverage),
        "" if own.bias is None else f"{own.bias.estimate:z.1g} ± {own.bias.half_width:.1g}",
        f"{own.allowance:.2g}" if own.allowance or own.bias else "",
        "" if own.spread is None else f"{own.spread[0]:.2f}, at most {own.spread[1]:.2f}",
    )


def _covered(own: Covered) -> str:
    return f"{own.count / own.n:.1%}" if own.count < own.n else f"{own.n} of {own.n}"


def _tails(found: Calibration) -> Rows:
    rows = []
    for kind, tail in zip(_KINDS, found.tails, strict=True):
        for u, count, n in tail if tail[0][2] else ():
            ratio = binomial_interval(count, n, SHOWN)
            shown = f"{ratio.estimate / u:.2f} [{ratio.low / u:.2f}, {ratio.high / u:.2f}]"
            rows.append((f"{n}, {kind}", f"{u:g}", f"{n * u:.0f}", str(count), shown))
    return rows


def _tables(found: Calibration) -> Sequence[tuple[Sequence[str], Rows]]:
    statistics = [_statistic(own.campaign.claim, each) for own in found.claims for each in own.statistics]
    return ((_CLAIMS, [_claim(own) for own in found.claims]), (_STATISTICS, statistics), (_TAILS, _tails(found)))


def _closing(found: Calibration) -> list[str]:
    """Say what failed, and how far the numbers reach."""
    seeds = min(len(own.campaign.root_seeds) for own in found.claims)
    lines = [
        f"{len(found.checks)} tests at a level of {LEVEL:g} over all of them: "
        + (f"{len(found.failed)} fail." if found.failed else "none fails."),
        *(f"FAILS: {own.claim}, {own.about}: {own.promise} (p = {own.p_value:.2g})." for own in found.failed),
        *(f"NO VERDICT: {claim} at root seed {seed}." for claim, seed in found.missing),
        *(
            f"Missed: {own.campaign.claim}, control {name!r} at {count} of {len(own.campaign.root_seeds)} root seeds."
            for own in found.claims
            for name, count in own.missed
        ),
    ]
    return [*lines, f"No wrong verdict in {seeds} root seeds bounds its probability by {1 - SHOWN ** (1 / seeds):.2%}."]


def as_markdown(found: Calibration) -> str:
    """Return the tables and what fails, as the page shows them."""
    parts = []
    for head, rows in _tables(found):
        lines = (head, ("---",) * len(head), *rows)
        parts.append("".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |\n" for line in lines))
    return "\n".join([*parts, "".join(f"- {line}\n" for line in _closing(found))])


def as_text(found: Calibration) -> str:
    """Return the same for a terminal: a block for each row, as no line of it fits one."""
    lines: list[str] = []
    for head, rows in _tables(found):
        for row in rows:
            cells = [f"{name} {cell}" for name, cell in zip(head[1:], row[1:], strict=True) if cell]
            lines += [row[0].strip("`"), *(f"    {cell}" for cell in cells)]
        lines.append("")
    return "\n".join([*lines, *_closing(found)])


def as_json(found: Calibration) -> dict[str, Any]:
    """Return all numbers as JSON-ready content, but for the trials themselves."""
    content = {**asdict(found), "level": LEVEL, "failed": [asdict(check) for check in found.failed]}
    for own in content["claims"]:
        campaign = own.pop("campaign")
        own |= {name: campaign[name] for name in ("claim", "expected", "dates", "root_seeds", "missing")}
    return content
