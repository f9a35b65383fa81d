"""Contrasts of arms as measurements and controls of a trial, with what identifies the language and the scale."""

from __future__ import annotations

from verify.cohorts.comparison import Comparison, Contrast
from verify.decision import InstanceResult
from verify.design import Design
from verify.trial import Trial

Parameters = dict[str, float | int | str]


def identify(arms: Comparison, **more: float | int | str) -> Parameters:
    """Return language, scale and matched excess of a comparison, as the evidence shows them."""
    scale = arms.cohort.scale
    return {
        "language": arms.cohort.family.name,
        "scale": scale.name,
        "width": scale.width,
        "units": scale.members,
        "excess share": round(arms.share, 6),
        **more,
    }


def record(
    trial: Trial, design: Design, arms: Comparison, found: Contrast, **more: float | int | str
) -> InstanceResult:
    """Decide a contrast by a declared design."""
    return trial.decide(
        design,
        found.values.numpy(),
        parameters=identify(arms, **more),
        prediction=None,
        systematic=found.systematic,
    )


def record_control(
    trial: Trial, name: str, broken: str, design: Design, arms: Comparison, found: Contrast
) -> InstanceResult:
    """Decide a contrast in which a hypothesis is broken."""
    return trial.control(
        name, broken, design, found.values.numpy(), parameters=identify(arms), systematic=found.systematic
    )
