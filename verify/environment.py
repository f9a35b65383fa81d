"""Where a measurement was made: versions and hardware, recorded beside every result."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

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
    if device.startswith("cuda") and not torch.cuda.is_available():
        build = "has no CUDA support" if torch.version.cuda is None else "finds no CUDA device"
        raise DeviceError(
            f"expected a CUDA device for --device {device}, but torch {torch.__version__} {build}; "
            "install a CUDA build of torch on a machine with an NVIDIA GPU, or run with --device cpu"
        )
    return device
