"""The file of a campaign: what it may say, and the runs that it stands for."""

from __future__ import annotations

import hashlib
import itertools
import os
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from synthetic.typed import TypedDataError, build, fitted
from verify.cohorts import CONDITIONS, FAMILIES, SCALES, Cohort, Scale
from verify.cohorts.cohort import MEASURES, SOURCES
from verify.cohorts.conditions import Size
from verify.cohorts.families import AUTHORS_GRAMMAR
from verify.runs import RunKey
from verify.runs.keys import library_versions, loaded_digests
from verify.training import Training

ROW_SOURCES = (*SOURCES, *MEASURES, "verify.campaigns.work")
"""Modules whose source determines the rows of a run."""

NOT_MEASURED = ("name", "families", "further_recoveries", "converged", "spread")
"""Fields of a scale that no row depends on."""

_HINTS = get_type_hints(Scale)
VARIED = tuple(name for name in _HINTS if name not in NOT_MEASURED)
"""Fields of a scale that a campaign may set or vary."""


class CampaignError(ValueError):
    """A campaign file that cannot be carried out."""


@dataclass(frozen=True)
class Campaign:
    """What a file declares.

    Attributes:
        name: of the campaign.
        scale: name in `SCALES`.
        families: names in `FAMILIES`.
        root_seeds: one cohort of each family and point for each.
        conditions: names that `Cohort.condition` takes; compared with one another at matched excess.
        settings: values of fields of the scale, in place of its own.
        vary: further axes, several values of a field of the scale each; the grid is their product.
        question: what is asked of the rows; the runs do not depend on it.
    """

    name: str
    scale: str
    families: tuple[str, ...]
    root_seeds: tuple[int, ...]
    conditions: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    question: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise CampaignError(f"scale: expected one of {', '.join(SCALES)}, got {self.scale!r}")
        lists = {"families": self.families, "root_seeds": self.root_seeds, "conditions": self.conditions}
        for key, values in (lists | {f"vary.{key}": values for key, values in self.vary.items()}).items():
            repeated = [value for k, value in enumerate(values) if value in values[:k]]
            if not values or repeated:
                got = f"{repeated[0]!r} twice" if repeated else "none"
                raise CampaignError(f"{key}: expected one or more different values, got {got}")
        if len(self.conditions) < 2:
            raise CampaignError(
                f"conditions: expected at least two, to be put at the same excess, got {self.conditions[0]!r} alone"
            )
        if unknown := [family for family in self.families if family not in FAMILIES]:
            raise CampaignError(f"families: expected some of {', '.join(FAMILIES)}, got {unknown[0]!r}")
        if both := sorted(self.settings.keys() & self.vary.keys()):
            raise CampaignError(f"vary.{both[0]}: expected a field that is not set as well, got it in settings too")
        for table, key, values in (
            *(("settings", key, [value]) for key, value in self.settings.items()),
            *(("vary", key, values) for key, values in self.vary.items()),
        ):
            if key not in VARIED:
                raise CampaignError(f"{table}: expected fields of a scale, {', '.join(VARIED)}, got {key!r}")
            for value in values:
                fitted(value, _HINTS[key], f"{table}.{key}")

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points of the grid of `vary`: the value of each axis; one point without axes if nothing varies."""
        return [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]

    def scale_at(self, point: Mapping[str, Any]) -> Scale:
        """Return the sizes at a point of the grid."""
        changes = {name: fitted(own, _HINTS[name], name) for name, own in {**self.settings, **point}.items()}
        floats = {name: float(own) for name, own in changes.items() if _HINTS[name] is float}  # 1 is 1.0
        return replace(SCALES[self.scale], **(changes | floats))


@dataclass(frozen=True, eq=False)
class Run:
    """One cohort of a campaign.

    Attributes:
        family: name of its family.
        scale: its sizes.
        root_seed: root of its random streams.
        conditions: names, in the order of the rows.
        device: where to train.
        settings: the values that the campaign sets or varies, by field.
        point: those that it varies.
        steps: of training, of all members at once, where nothing is stored yet.
        key: what determines its rows.
    """

    family: str
    scale: Scale
    root_seed: int
    conditions: tuple[str, ...]
    device: str
    settings: Mapping[str, Any]
    point: Mapping[str, Any]
    steps: int
    key: RunKey

    @property
    def about(self) -> str:
        """The run in a few words."""
        return ", ".join([self.family, f"root seed {self.root_seed}", *(f"{k} {v}" for k, v in self.point.items())])


def load(path: Path) -> Campaign:
    """Read the file of a campaign, TOML.

    Raises:
        CampaignError: the file is none; the message names the key, the value and what is possible.
        OSError: it cannot be read.
    """
    try:
        return build(Campaign, tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, TypedDataError, CampaignError) as error:
        raise CampaignError(f"{path}: {error}") from error


def trainings(cohort: Cohort, conditions: Sequence[str]) -> dict[tuple[Size, Training], int]:
    """Return the steps of every kind of training that leads to some conditions; a dose contains the shorter ones."""
    steps: dict[tuple[str, str | None, Size, Training], int] = {}
    for name in conditions:
        at: str | None = name
        while at is not None:
            own = cohort.condition(at)
            place = own.stream, own.start, own.size, own.training
            steps[place] = max(own.steps, steps.get(place, 0))
            if not own.anneals:
                descent = own.descent(cohort.scale)
                steps["descent", at, own.size, descent] = descent.decay
            at = own.start
    found: Counter[tuple[Size, Training]] = Counter()
    for (_, _, size, training), number in steps.items():
        found[size, training] += number
    return found


def _begun(campaign: Campaign, family: str, point: Mapping[str, Any]) -> int:
    """Make the networks of every condition for one language; return the steps of training.

    Raises:
        CampaignError: that cannot be; the message names the key, the value and what is possible.
    """
    where = ", ".join([family, *(f"{key} {value}" for key, value in point.items())])
    try:
        one = replace(campaign.scale_at(point), members=1)
        cohort = Cohort(family, one, campaign.root_seeds[0])
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise CampaignError(f"{where}: {error}") from error
    for name in campaign.conditions:
        try:
            condition = cohort.condition(name)
            cohort.initial(condition.size, condition.stream)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            known = f"expected one of {', '.join(CONDITIONS)}, got {name!r}"
            raise CampaignError(f"conditions: {known} ({where}): {error}") from error
    return sum(trainings(cohort, campaign.conditions).values())


def runs(campaign: Campaign, device: str = "cpu") -> list[Run]:
    """Return the runs of a campaign: point by point, at each point every root seed of every family.

    Raises:
        CampaignError: a condition cannot be begun at some point; the message says what is possible.
    """
    sources, versions = loaded_digests(ROW_SOURCES), library_versions()
    cells = list(itertools.product(campaign.points, campaign.families))
    steps = [_begun(campaign, family, point) for point, family in cells]
    found = []
    for point, root_seed, family in itertools.product(campaign.points, campaign.root_seeds, campaign.families):
        scale = campaign.scale_at(point)
        configuration = {
            "campaign": "rows",
            "family": family,
            "scale": {name: value for name, value in asdict(scale).items() if name in VARIED},
            "conditions": sorted(campaign.conditions),
            "device": device.partition(":")[0],
            "files": _files(family),
        }
        key = RunKey(configuration, root_seed, sources, versions)
        settings = {**campaign.settings, **point}
        own = steps[cells.index((point, family))]
        found.append(Run(family, scale, root_seed, campaign.conditions, device, settings, point, own, key))
    return found


def _files(family: str) -> list[str]:
    """Return the SHA-256 of the files that a family's languages are read from."""
    path = os.environ.get(AUTHORS_GRAMMAR) if family == "authors" else None
    return [] if path is None else [hashlib.sha256(Path(path).read_bytes()).hexdigest()]
