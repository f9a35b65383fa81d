"""How a run of the suite is asked for, and where it is made: versions and hardware, recorded beside every result.

Light to import, for the command line.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, get_args

Profile = Literal["quick", "default", "full"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

ScaleName = Literal["small", "long", "medium", "paper", "large"]
SCALE_NAMES: tuple[ScaleName, ...] = get_args(ScaleName)
"""Sizes of the networks in claims about them: the keys of `verify.cohorts.scale.SCALES`."""


@dataclass(frozen=True)
class Settings:
    """How a run of the suite was asked for."""

    profile: Profile = "default"
    device: str = "cpu"
    root_seed: int = 0
    scale: str | None = None
    """Of the networks in claims about them; None for that of the profile."""


PACKAGES = ("flatproof", "numpy", "scipy", "sympy", "numba", "torch")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result can depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware(device: str) -> dict[str, str | int]:
    """Return processor, core count and, for CUDA, the name of the device."""
    described: dict[str, str | int] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": cores(),
        "device": device,
    }
    if device.startswith("cuda"):
        import torch

        described["gpu"] = torch.cuda.get_device_name(torch.device(device))
    return described


def _processor() -> str:
    """Name of the processor where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class DeviceError(ValueError):
    """The requested device does not exist here."""


def require_device(device: str) -> str:
    """Return `device` if torch can use it.

    Raises:
        DeviceError: CUDA was asked for and there is none; the message says what to do.
    """
    if not device.startswith("cuda"):
        return device
    import torch

    if not torch.cuda.is_available():
        build = "has no CUDA support" if torch.version.cuda is None else "finds no CUDA device"
        raise DeviceError(
            f"expected a CUDA device for --device {device}, but torch {torch.__version__} {build}; "
            "install a CUDA build of torch on a machine with an NVIDIA GPU, or run with --device cpu"
        )
    return device
