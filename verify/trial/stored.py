"""The evidence that is kept in the project, by profile and kind of device."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from verify.environment import PROFILES, SCALE_NAMES
from verify.trial.evidence import Evidence, read

FOLDER = Path(str(resources.files("verify") / "evidence"))

SCALE_FILES = tuple(name for name in SCALE_NAMES if name != "small")
"""Runs at a scale of their own whose evidence is shown beside that of a run at another scale."""


class NotStoredError(LookupError):
    """There is no stored evidence of a claim."""


def stored_file(run: str, device: str) -> Path:
    """Return where the evidence of a profile, or of a scale of networks, on a kind of device (cpu, cuda) is kept."""
    return FOLDER / f"{run}-{device.partition(':')[0]}.jsonl"


def stored(claim: str, run: str = "default", device: str = "cpu") -> Evidence:
    """Return the latest stored evidence of a claim.

    Raises:
        NotStoredError: there is none.
        ValueError: a line of the file is not evidence.
    """
    path = stored_file(run, device)
    found = [item for item in read(path) if item.claim == claim] if path.is_file() else []
    if not found:
        raise NotStoredError(
            f"no evidence of {claim} at {run} on {device} is stored in {path.name}; "
            f"measure it: flatproof run {claim} --{'profile' if run in PROFILES else 'scale'} {run}"
        )
    return found[-1]


def at_other_scales(item: Evidence) -> list[Evidence]:
    """Return the stored evidence of the same claim, on any device, that has no measurement at a scale of this one."""
    paths = [stored_file(run, device) for run in SCALE_FILES for device in ("cpu", "cuda")]
    found = [other for path in paths if path.is_file() for other in read(path) if other.claim == item.claim]
    return [other for other in found if item.scales.isdisjoint(other.scales)]
