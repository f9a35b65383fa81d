"""How a run of the suite is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Profile = Literal["quick", "default", "full"]
PROFILES: tuple[Profile, ...] = ("quick", "default", "full")


@dataclass(frozen=True)
class Settings:
    """How a run of the suite was asked for."""

    profile: Profile = "default"
    device: str = "cpu"
    root_seed: int = 0
    scale: str | None = None
    """Of the networks in claims about them; None for that of the profile."""
