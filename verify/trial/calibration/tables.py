"""A calibration in tables: claims, statistics, tails of the p-values, and what does not hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from verify.statistics import Interval, binomial_interval
from verify.trial.budget import SUITE_FALSE_ALARM
from verify.trial.calibration.campaign import PROFILE
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
    *("claim", "statistic", "power declared", "supported", "p-values", "covered at 50, 90, 99 %, 1 − α"),
    *("mean − target", "allowed", "S ÷ planned, median to largest"),
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
    uniform = "no sampling" if own.uniform is None else f"{own.uniform:.2g}{'' if own.exact else ' (≥)'}"
    return (
        *(f"`{claim}`", own.design.statistic, f"{own.design.power:.0%}", _percent(own.supported), uniform),
        ", ".join(_covered(each) for each in own.coverage),
        "" if own.bias is None else f"{own.bias.estimate:z.1g} ± {own.bias.half_width:.1g}",
        f"{own.allowance:.2g}" if own.allowance or own.bias else "",
        "" if own.spread is None else f"{own.spread[0]:.2f} to {own.spread[1]:.2f}",
    )


def _covered(own: Covered) -> str:
    return f"{own.count / own.n:.1%}" if own.count < own.n else "all"


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
    seeds, dates = found.root_seeds, [date for own in found.claims for date in own.campaign.dates]
    bound, budget = binomial_interval(len(found.wrong), len(seeds), 2 * SHOWN).high, SUITE_FALSE_ALARM
    return [
        f"{len(seeds)} root seeds from {seeds[0]} to {seeds[-1]}, profile {PROFILE}, {min(dates)} to {max(dates)}.",
        f"{len(found.checks)} tests at a level of {LEVEL:g} over all of them: "
        + (f"{len(found.failed)} fail." if found.failed else "none fails."),
        *(f"FAILS: {own.claim}, {own.about}: {own.promise} (p = {own.p_value:.2g})." for own in found.failed),
        *(
            f"NO VERDICT: {own.claim} at {len(own.missing)} root seeds, the first {own.missing[0]}."
            for own in (each.campaign for each in found.claims)
            if own.missing
        ),
        *(
            f"Missed: {own.campaign.claim}, control {name!r} at {count} of {len(own.campaign.root_seeds)} root seeds."
            for own in found.claims
            for name, count in own.missed
        ),
        f"A wrong verdict on any claim at {len(found.wrong)} of {len(seeds)} root seeds: in a run its probability is "
        f"below {bound:.2%}; to bound it by {budget:g} takes {math.ceil(math.log(SHOWN) / math.log1p(-budget))} "
        "without one.",
    ]


def as_markdown(found: Calibration) -> str:
    """Return the tables and what fails, as the page shows them."""
    parts = []
    for head, rows in _tables(found):
        lines = (head, ("---",) * len(head), *rows)
        parts.append("".join(f"| {' | '.join(cell.replace('|', '∣') for cell in line)} |\n" for line in lines))
    return "\n".join([*parts, "".join(f"- {line}\n" for line in _closing(found))])


def as_text(found: Calibration) -> str:
    """Return the same for a terminal; what a row is about stands on a line of its own where it is long."""
    lines: list[str] = []
    for head, rows in _tables(found):
        about = 2 if head is _STATISTICS else 0
        cells = [row[about:] for row in (head, *rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row, own in zip((head, *rows), cells, strict=True):
            lines += [": ".join(row[:2]).replace("`", "")] * bool(about)
            line = "  ".join(f"{cell:<{width}}" for cell, width in zip(own, widths, strict=True))
            lines.append("    " * bool(about) + line.replace("`", "").rstrip())
        lines.append("")
    return "\n".join([*lines, *_closing(found), ""])


def as_json(found: Calibration) -> dict[str, Any]:
    """Return all numbers as JSON-ready content, but for the trials themselves."""
    content = {**asdict(found), "level": LEVEL, "failed": [asdict(check) for check in found.failed]}
    for own in content["claims"]:
        campaign = own.pop("campaign")
        own |= {name: campaign[name] for name in ("claim", "expected", "dates", "root_seeds", "missing")}
    return content
