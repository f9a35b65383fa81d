"""The campaigns of the project, with the rows that are there."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from verify.campaigns.answers import Curve, curves
from verify.campaigns.grid import Campaign, load
from verify.trial.stored import FOLDER

FILES = Path(__file__).parent
"""Where the project's campaigns are declared."""

ROWS = FOLDER / "campaigns"
"""Where their rows are, a file of the campaign's name for each."""


def answered(folder: Path = ROWS) -> Iterator[tuple[Campaign, list[Curve]]]:
    """Give the campaigns that ask something and have rows in a folder, with what these answer.

    Raises:
        CampaignError: a campaign cannot be carried out.
        TableError: rows lack what is asked for.
    """
    for path in sorted(FILES.glob("*.toml")):
        rows = folder / f"{path.stem}.csv"
        if rows.exists() and (campaign := load(path)).question:
            with rows.open(encoding="utf-8", newline="") as file:
                yield campaign, list(curves(campaign, list(csv.DictReader(file))))
