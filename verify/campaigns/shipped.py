"""The campaigns of the project, with the rows that are there."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from verify.campaigns import by_language
from verify.campaigns.answers import Curve, curves
from verify.campaigns.grid import Campaign, load
from verify.trial.stored import FOLDER

FILES = Path(__file__).parent
"""Where the project's campaigns are declared."""

ROWS = FOLDER / "campaigns"
"""Where their rows are, a file of the campaign's name for each."""


def rows_of(name: str, folder: Path = ROWS) -> list[dict[str, str]]:
    """Return the rows of a campaign in a folder; none where there is no file of its name."""
    path = folder / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def answered(folder: Path = ROWS) -> Iterator[tuple[Campaign, list[Curve]]]:
    """Give the campaigns that ask something and have rows in a folder, with what these answer.

    Raises:
        CampaignError: a campaign cannot be carried out.
        TableError: rows lack what is asked for.
    """
    for path in sorted(FILES.glob("*.toml")):
        if (rows := rows_of(path.stem, folder)) and (campaign := load(path)).question:
            yield campaign, list(curves(campaign, rows))


def by_language_table(folder: Path = ROWS) -> str:
    """Return the table of campaign `symmetry`, language by language, in Markdown.

    Raises:
        TableError: it has no rows, or not those of whole root seeds.
    """
    return by_language.markdown(load(FILES / "symmetry.toml"), rows_of("symmetry", folder))
