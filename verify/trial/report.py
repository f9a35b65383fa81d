"""The closing table: claim, prediction, measured interval, verdict, controls caught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from types import MappingProxyType

from theory.claims import CLAIMS
from verify.trial.design import Design
from verify.trial.evidence import Evidence
from verify.trial.measurement import Measurement, Networks, Reported
from verify.trial.outlook import Outlook

WIDTH = 80
MOST_DECIMALS = 5
_COLUMNS = (22, 9, 26, 13, 6)
_PLACE = _COLUMNS[0] + 1 + _COLUMNS[1]
"""Width of a language with its scale, in place of the first two columns."""
POSITIVE, NEGATIVE = "> 0", "< 0"
"""Verdicts in place of `supported` by a design that can show the sign only."""
_SIGN_ONLY = "the margin δ is as large as the effect, so that only its sign is shown"
_HEADER = ("claim", "predicted", "measured [interval]", "verdict", "caught")


def _decimals(half_width: float) -> int:
    """Digits after the point that show two digits of the half-width, at most five."""
    return next((d for d in range(1, MOST_DECIMALS) if half_width >= 10.0 ** (1 - d)), MOST_DECIMALS)


def measured(m: Measurement) -> str:
    """Write an estimate and its interval with as many digits as the interval warrants."""
    decimals = _decimals((m.high - m.low) / 2)
    return f"{m.estimate:z.{decimals}f} [{m.low:z.{decimals}f}, {m.high:z.{decimals}f}]"


def predicted(design: Design) -> str:
    """Write the target of a design, with ≥ or ≤ if it is one-sided."""
    return f"{ {'two': '', 'lower': '≥ ', 'upper': '≤ '}[design.side] }{design.target:.4g}"


def support(design: Design) -> str:
    """Write for a one-sided design where the whole interval must lie to support it: beyond target ∓ δ; else nothing."""
    limits = design.thresholds(0.0)
    return {"two": "", "lower": f"> {limits.e_lo:.4g}", "upper": f"< {limits.e_hi:.4g}"}[design.side]


def margin(design: Design) -> str:
    """Write the margin of a design, and what supports it if it is one-sided."""
    return f"{design.delta:.4g}" + (design.side != "two") * f" (needs {support(design)})"


def controls(evidence: Evidence) -> str:
    """Write how many controls were caught out of how many."""
    return f"{sum(control.caught for control in evidence.controls)}/{len(evidence.controls)}"


def worded(verdict: str, design: Design) -> str:
    """Write a verdict: loud if it is not `supported`, and "> 0" or "< 0" where that shows no more than the sign.

    So it does where the margin is as large as the effect that is claimed.
    """
    if verdict == "supported" and design.side == "lower" and design.delta == design.target:
        return POSITIVE
    if verdict == "supported" and design.side == "upper" and design.delta == -design.target:
        return NEGATIVE
    return verdict if verdict == "supported" else verdict.upper()


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
    shown: list[Evidence] = []
    for item in evidence:
        star = "*" if item.claim in stored else ""
        name = item.claim
        if len(name) > _COLUMNS[0]:
            lines.append(name)
            name = ""
        design = item.headline_design
        verdict = worded(item.verdict, design) + star
        lines.append(_row((name, predicted(design), measured(item.headline), verdict, controls(item))))
        more = elsewhere.get(item.claim, ())
        shown += [item, *more]
        lines += _by_language(item, more) or [_statistic(design, f" (worst of {design.instances})")]
        origins |= dict.fromkeys(origin(found) for found in ([item] if star else []) + list(more))
    lines += [_row((claim, "", "", "no verdict", "")) for claim in unfinished]
    lines += _legend(shown)
    return [*lines, *(f"* {text}" for text in origins)]


def _legend(items: Iterable[Evidence]) -> list[str]:
    """Explain the verdicts on networks that are signs, if there are any."""
    words = {worded(m.verdict, item.design_of(m)) for item in items for m, _ in item.about_networks}
    return [f"{sign}: {_SIGN_ONLY}" for sign in (POSITIVE, NEGATIVE) if sign in words]


def _statistic(design: Design, note: str = "") -> str:
    """Write what a design is about, and its margin; of a one-sided one, what supports it."""
    edge = f"needs {support(design)}" if support(design) else f"δ = {design.delta:.4g}"
    suffix = f"{note if design.instances > 1 else ''}, {edge}"
    line, room = f"  {design.statistic}", WIDTH - len(suffix)
    return (line if len(line) <= room else line[: room - 1] + "…") + suffix


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
        lines += [_statistic(design)] * bool(own)
        for source, m, networks, star in own:
            place = f"    {networks.language}, {networks.scale}"
            lines.append(
                f"{place:<{_PLACE}} "
                + _row((measured(m), worded(m.verdict, source.design_of(m)) + star), _COLUMNS[2:4])
            )
    return lines


def origin(item: Evidence) -> str:
    """Write when, where and how evidence was found."""
    chip = str(item.hardware.get("processor", item.device))
    return f"measured {item.date[:10]} at profile {item.profile}, root seed {item.root_seed}, on {item.device}: {chip}"[
        : WIDTH - 2
    ]


def markdown(evidence: Iterable[Evidence], outlooks: Mapping[str, Outlook]) -> str:
    """Return the two tables of the README: solvable models, then trained networks; generated and never typed."""
    items = list(evidence)
    return f"{solvable_models(items, outlooks)}\n{trained_networks(items, outlooks)}"


def solvable_models(evidence: Iterable[Evidence], outlooks: Mapping[str, Outlook]) -> str:
    """Return a row for each claim about models that can be solved."""
    return _claims([item for item in evidence if not item.about_networks], outlooks)


def trained_networks(evidence: Iterable[Evidence], outlooks: Mapping[str, Outlook]) -> str:
    """Return a row for each claim about trained networks, by the language that decides."""
    return _claims([item for item in evidence if item.about_networks], outlooks)


def _claims(evidence: Sequence[Evidence], outlooks: Mapping[str, Outlook]) -> str:
    rows = [
        "| claim | in plain words | predicted | margin δ | measured [interval] | verdict | controls caught |",
        "|---|---|---|---|---|---|---|",
    ]
    for item in evidence:
        claim, design, networks = CLAIMS[item.claim], item.headline_design, item.headline.networks
        place = "" if networks is None else f" ({networks.language}, {networks.scale})"
        rows.append(
            f"| [{claim.title}](paper_notes/{claim.chapter}/{claim.module}.md) | {outlooks[item.claim].finding} "
            f"| {predicted(design)} | {margin(design)} | {measured(item.headline)}{place} "
            f"| {worded(item.verdict, design)} | {controls(item)} |"
        )
    return "\n".join(rows) + "\n"


def by_language(evidence: Iterable[Evidence], outlooks: Mapping[str, Outlook]) -> str:
    """Return verdicts by language and scale, then by claim what would change them.

    The first table is claim × source's figure × language × scale × verdict, a row for each measurement of a language;
    a legend follows if a verdict needs one; the second table has a row for each claim.

    Args:
        evidence: of claims about languages, which may have several, at different scales; others have no row.
        outlooks: of these claims; they say what the source reports and what would change the verdict.
    """
    rows = [
        "| claim | its source's figure | statistic | language, scale | claimed | margin δ | measured [interval] "
        "| verdict | evidence |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    by_claim: dict[str, list[Evidence]] = {}
    for item in evidence:
        if item.about_networks and item not in by_claim.setdefault(item.claim, []):
            by_claim[item.claim].append(item)
    for claim, items in by_claim.items():
        name = f"{_link(claim)} | {outlooks[claim].figure}"
        for number, cells in enumerate(_language_cells(item, *own) for item in items for own in item.about_networks):
            rows.append(f"| {name if number == 0 else ' | '} | {cells}")
    for line in _legend(item for items in by_claim.values() for item in items):
        rows += ["", f"{line}."]
    rows += ["", "| claim | from | what would change the verdict |", "|---|---|---|"]
    rows += [f"| {_link(claim)} | {CLAIMS[claim].source} | {outlooks[claim].would_change} |" for claim in by_claim]
    return "\n".join(rows) + "\n"


def _link(claim: str) -> str:
    return f"[`{claim}`]({CLAIMS[claim].module}.md)"


def _language_cells(item: Evidence, m: Measurement, networks: Networks) -> str:
    design = item.design_of(m)
    return (
        f"{m.statistic} | {networks.language}, {networks.scale} | {predicted(design)} | {margin(design)} "
        f"| {measured(m)} | {worded(m.verdict, design)} | {item.date[:10]}, {item.device} |"
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
