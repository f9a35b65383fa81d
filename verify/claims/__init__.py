"""What is measured: one file for each claim, by chapter, found by the name it shares with the claim."""

from __future__ import annotations

import importlib
from types import ModuleType

from theory.claims import Claim


def experiment(claim: Claim) -> ModuleType:
    """Return the module that measures a claim: `verify.claims.<chapter>.test_<claim>`.

    Raises:
        ModuleNotFoundError: the claim has no measurement yet.
    """
    return importlib.import_module(f"{__name__}.{claim.chapter}.test_{claim.module}")
