"""How a run of the suite is asked for; light to import, for the command line and for all that follows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Profile = Literal["quick", "default", "full"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

ScaleName = Literal["small", "long", "medium", "paper", "large"]
SCALE_NAMES: tuple[ScaleName, ...] = get_args(ScaleName)
"""Sizes of the networks in claims about them: the keys of `verify.cohorts.scale.SCALES`."""

EVERY_CLAIM = tuple(name for name in SCALE_NAMES if name != "long")
"""Scales that every claim about networks is to be run at; the long one is for claims about continued training."""


@dataclass(frozen=True)
class Settings:
    """How a run of the suite was asked for."""

    profile: Profile = "default"
    device: str = "cpu"
    root_seed: int = 0
    scale: str | None = None
    """Of the networks in claims about them; None for that of the profile."""
