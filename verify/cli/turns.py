"""`flatproof map`: print where the claims turn, from the rows of the project's campaigns, and draw it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.cli.output import print_json, usage_error

if TYPE_CHECKING:
    from verify.campaigns import Campaign
    from verify.campaigns.answers import Curve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--rows", type=Path, metavar="DIR", help="of NAME.csv (default: rows that come with flatproof)")
    parser.add_argument(
        "--languages", action="store_true", help="print the table of campaign symmetry, language by language, instead"
    )
    parser.add_argument(
        "--figures", type=Path, metavar="DIR", help="draw each campaign into DIR/turns_NAME.svg as well"
    )


def act(arguments: argparse.Namespace) -> int:
    """Carry out the verb; return its exit status."""
    # Imported here: the other verbs need no torch.
    from verify.campaigns import CampaignError, page
    from verify.campaigns.answers import TableError
    from verify.campaigns.shipped import ROWS, answered, by_language_table

    folder = arguments.rows or ROWS
    try:
        if arguments.languages:
            table = by_language_table(folder)
            print_json("map", table) if arguments.json else print(table)
            return 0
        found = list(answered(folder))
        if arguments.figures is not None:
            _draw(found, arguments.figures)
    except (CampaignError, TableError, OSError, ValueError) as error:
        return usage_error(str(error))
    if arguments.json:
        print_json("map", [_content(campaign, curve) for campaign, curves in found for curve in curves])
    else:
        print(page.markdown(found), end="")
    return 0


def _draw(found: list[tuple[Campaign, list[Curve]]], folder: Path) -> None:
    from verify.campaigns import figure
    from verify.trial import plots

    folder.mkdir(parents=True, exist_ok=True)
    for campaign, curves in found:
        plots.save(figure.draw(curves), folder / f"turns_{campaign.name}.svg")


def _content(campaign: Campaign, curve: Curve) -> dict[str, Any]:
    limit = curve.asymptote()
    return {
        "campaign": campaign.name,
        "claim": curve.question.claim,
        "statistic": curve.question.words,
        "broken": curve.question.broken,
        "family": curve.family,
        "point": dict(curve.point),
        "target": curve.design.target,
        "n": curve.design.n,
        "answers": [
            {
                "dose": answer.dose,
                "slow_time": answer.slow_time,
                "replicates": len(answer.values),
                "estimate": answer.interval.estimate,
                "low": answer.low,
                "high": answer.high,
                "verdict": answer.verdict,
            }
            for answer in curve.answers
        ],
        "trend": None if curve.trend is None else {"rho": curve.trend.rho, "word": curve.trend.word},
        "limit": None if limit is None else {"value": limit.value, "low": limit.low, "high": limit.high},
    }
