"""The closing table: claim, prediction, measured interval, verdict, controls caught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from theory.claims import CLAIMS, Claim
from verify.trial.design import Design
from verify.trial.evidence import Evidence
from verify.trial.measurement import Measurement, Networks, Reported

WIDTH = 80
MOST_DECIMALS = 5
_COLUMNS = (22, 9, 26, 13, 6)
_PLACE = _COLUMNS[0] + 1 + _COLUMNS[1]
"""Width of a language with its scale, in place of the first two columns."""
SIGN_ONLY = " (sign)"
"""What follows `supported` where the sign is shown and the estimate is smaller than claimed."""
_HEADER = ("claim", "predicted", "measured [interval]", "verdict", "caught")


def _decimals(half_width: float) -> int:
    """Digits after the point that show two digits of the half-width, at most five."""
    return next((d for d in range(1, MOST_DECIMALS) if half_width >= 10.0 ** (1 - d)), MOST_DECIMALS)


def measured(m: Measurement) -> str:
    """Write an estimate and its interval with as many digits as the interval warrants."""
    decimals = _decimals((m.high - m.low) / 2)
    return f"{m.estimate:z.{decimals}f} [{m.low:z.{decimals}f}, {m.high:z.{decimals}f}]"


def predicted(evidence: Evidence) -> str:
    """Write the target of the headline, with ≥ or ≤ for a one-sided claim."""
    sign = {"two": "", "lower": "≥ ", "upper": "≤ "}[evidence.headline_design.side]
    return f"{sign}{evidence.headline.target:.4g}"


def controls(evidence: Evidence) -> str:
    """Write how many controls were caught out of how many."""
    return f"{sum(control.caught for control in evidence.controls)}/{len(evidence.controls)}"


def _verdict(evidence: Evidence) -> str:
    return _loud(evidence.verdict)


def _loud(verdict: str) -> str:
    return verdict if verdict == "supported" else verdict.upper()


def sign_only(m: Measurement, design: Design) -> bool:
    """Whether a claim is supported by its sign alone: its margin reaches to 0 and the estimate misses its target.

    The verdict is as declared: an effect of the claimed sign that is not shown to be smaller than claimed.
    """
    misses = {"two": False, "lower": m.estimate < m.target, "upper": m.estimate > m.target}[design.side]
    return m.verdict == "supported" and misses and design.delta == abs(design.target)


def _worded(item: Evidence, m: Measurement) -> str:
    """Write the verdict of a measurement, and where only its sign is shown that."""
    return _loud(m.verdict) + SIGN_ONLY * sign_only(m, item.design_of(m))


def _row(cells: Sequence[str], columns: Sequence[int] = _COLUMNS) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, columns, strict=True)).rstrip()


def table(
    evidence: Iterable[Evidence],
    unfinished: Sequence[str] = (),
    stored: Set[str] = frozenset(),
    elsewhere: Mapping[str, Sequence[Evidence]] = MappingProxyType({}),
) -> list[str]:
    """Return the lines of the closing table, at most 80 columns wide.

    Args:
        evidence: what was found, in the order of the registry.
        unfinished: claims whose trial ended in an error or an interruption.
        stored: claims whose evidence was not found in this run; they are starred, and a last line says where from.
        elsewhere: stored evidence of a claim at other scales, by claim; starred likewise, and without a say in the
            claim's verdict.
    """
    lines = [_row(_HEADER), "-" * WIDTH]
    origins: dict[str, None] = {}
    for item in evidence:
        star = "*" if item.claim in stored else ""
        name = item.claim
        if len(name) > _COLUMNS[0]:
            lines.append(name)
            name = ""
        lines.append(_row((name, predicted(item), measured(item.headline), _verdict(item) + star, controls(item))))
        more = elsewhere.get(item.claim, ())
        lines += _by_language(item, more) or [_statistic(item)]
        origins |= dict.fromkeys(origin(found) for found in ([item] if star else []) + list(more))
    lines += [_row((claim, "", "", "no verdict", "")) for claim in unfinished]
    if any(line.rstrip("*").endswith(SIGN_ONLY) for line in lines):
        lines.append(f"{SIGN_ONLY.strip()}: of the claimed sign, by an estimate that is smaller than claimed")
    return [*lines, *(f"* {text}" for text in origins)]


def _statistic(item: Evidence) -> str:
    """Write what the headline is about."""
    instances = item.headline_design.instances
    note = f"  {item.headline_design.statistic}"
    suffix = f" (worst of {instances})" if instances > 1 else ""
    room = WIDTH - len(suffix)
    return (note if len(note) <= room else note[: room - 1] + "…") + suffix


def _by_language(item: Evidence, more: Sequence[Evidence]) -> list[str]:
    """Write every statistic with its verdict for each language; nothing for a claim that is not about languages."""
    lines = []
    for design in item.designs:
        # By place: evidence of other scales may word its designs otherwise.
        own = [
            (source, *found, star)
            for source, star in ((item, ""), *((other, "*") for other in more))
            for found in source.about_networks
            if source.designs.index(source.design_of(found[0])) == item.designs.index(design)
        ]
        lines += [f"  {design.statistic}"[:WIDTH]] * bool(own)
        for source, m, networks, star in own:
            place = f"    {networks.language}, {networks.scale}"
            lines.append(f"{place:<{_PLACE}} " + _row((measured(m), _worded(source, m) + star), _COLUMNS[2:4]))
    return lines


def origin(item: Evidence) -> str:
    """Write when, where and how evidence was found."""
    chip = str(item.hardware.get("processor", item.device))
    return f"measured {item.date[:10]} at profile {item.profile}, root seed {item.root_seed}, on {item.device}: {chip}"[
        : WIDTH - 2
    ]


def markdown(evidence: Iterable[Evidence]) -> str:
    """Return the status table of the README: one row for each claim, generated from evidence and never typed."""
    rows = [
        "| claim | derivation | statistic | predicted | measured [interval] | verdict | controls caught |",
        "|---|---|---|---|---|---|---|",
    ]
    rows += [
        f"| [`{e.claim}`](paper_notes/{CLAIMS[e.claim].chapter}/{CLAIMS[e.claim].module}.md) | {e.status} "
        f"| {e.headline_design.statistic} "
        f"| {predicted(e)} | {measured(e.headline)} | {_verdict(e)} | {controls(e)} |"
        for e in evidence
    ]
    return "\n".join(rows) + "\n"


def by_language(evidence: Iterable[Evidence], claims: Mapping[str, Claim], scales: Sequence[str]) -> str:
    """Return verdicts by language and scale, then by claim what would change them.

    The first table is claim × source's figure × language × scale × verdict, a row for each measurement of a language;
    a legend follows if a verdict needs one; the second table has a row for each claim.

    Args:
        evidence: of claims about languages, which may have several, at different scales; others have no row.
        claims: by id; they say what their source reports and what would change the verdict.
        scales: all there are; a claim that was not run at one of them gets a row that says so.
    """
    rows = [
        "| claim | its source's figure | statistic | language, scale | claimed | measured [interval] | verdict "
        "| evidence |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_claim: dict[str, list[Evidence]] = {}
    for item in evidence:
        if item.about_networks and item not in by_claim.setdefault(item.claim, []):
            by_claim[item.claim].append(item)
    for claim, items in by_claim.items():
        found = [_language_cells(item, *own) for item in items for own in item.about_networks]
        run = {scale for item in items for scale in item.scales}
        found += [f" | {scale} | | | not run at this scale | |" for scale in scales if scale not in run]
        name = f"{_link(claim)} | {claims[claim].figure}"
        rows += [f"| {name if number == 0 else ' | '} | {cells}" for number, cells in enumerate(found)]
    if any(SIGN_ONLY in row for row in rows):
        rows += [
            "",
            f"`supported{SIGN_ONLY}`: the interval lies on the claimed side of 0 and reaches the claimed size, but the "
            "estimate is smaller. `supported` alone: the estimate is of the claimed size too.",
        ]
    rows += ["", "| claim | from | what would change the verdict |", "|---|---|---|"]
    rows += [f"| {_link(claim)} | {claims[claim].source} | {claims[claim].would_change} |" for claim in by_claim]
    return "\n".join(rows) + "\n"


def _link(claim: str) -> str:
    return f"[`{claim}`]({claim.replace('-', '_')}.md)"


def _language_cells(item: Evidence, m: Measurement, networks: Networks) -> str:
    sign = {"two": "", "lower": "≥ ", "upper": "≤ "}[item.design_of(m).side]
    return (
        f"{m.statistic} | {networks.language}, {networks.scale} | {sign}{m.target:.3g} "
        f"| {measured(m)} | {_worded(item, m)} | {item.date[:10]}, {item.device} |"
    )


def further_evaluations(evidence: Iterable[Evidence]) -> str:
    """Return the table of differences in further evaluations, without verdict; nothing where none was measured."""
    shown = [(item, *found) for item in evidence for found in item.about_networks if found[1].evaluations]
    names = list(dict.fromkeys(name for _, _, networks in shown for name in networks.evaluations))
    if not names:
        return ""
    rows = [
        f"| claim | difference | language, scale | {' | '.join(names)} | evidence |",
        "|---" * (4 + len(names)) + "|",
    ]
    for item, m, networks in shown:
        cells = " | ".join(_plus_minus(networks.evaluations.get(name)) for name in names)
        rows.append(
            f"| {_link(item.claim)} | {m.statistic} "
            f"| {networks.language}, {networks.scale} | {cells} | {item.date[:10]}, {item.device} |"
        )
    return "\n".join(rows) + "\n"


def _plus_minus(found: Reported | None) -> str:
    """Write a difference with the half-width of its interval; nothing where it was not measured."""
    if found is None:
        return ""
    half = found.half_width or 0.0
    decimals = _decimals(half)
    return f"{found.value:z.{decimals}f} ± {half:.{decimals}f}"
