"""What is measured: one file for each claim, by chapter, found by the name it shares with the claim."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from types import ModuleType

from theory.claims import CLAIMS, Claim
from verify.trial import Outlook

__all__ = ["experiment", "outlook", "outlooks"]


def experiment(claim: Claim) -> ModuleType:
    """Return the module that measures a claim: `verify.claims.<chapter>.test_<claim>`.

    Raises:
        ModuleNotFoundError: the claim has no measurement yet.
    """
    return importlib.import_module(f"{__name__}.{claim.chapter}.test_{claim.module}")


def outlook(claim: Claim) -> Outlook:
    """Return which verdict of a claim is expected, and what would change it: OUTLOOK beside its designs."""
    found = getattr(experiment(claim), "OUTLOOK", Outlook())
    assert isinstance(found, Outlook)
    return found


def outlooks(claims: Iterable[str] = CLAIMS) -> Mapping[str, Outlook]:
    """Return the outlooks of claims, by id."""
    return {claim: outlook(CLAIMS[claim]) for claim in claims}
