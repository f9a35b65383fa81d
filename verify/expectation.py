"""What a claim's evidence is held to: the expected verdict, and every control caught."""

from __future__ import annotations

from verify.evidence import ANY, Evidence


class UnexpectedOutcomeError(AssertionError):
    """A verdict is not the expected one, or a control was not caught."""


def require_expected(evidence: Evidence) -> None:
    """Check that the verdict is the expected one and that every control was caught.

    Raises:
        UnexpectedOutcomeError: the message shows what was measured.
    """
    shown = "; ".join(
        f"{m.statistic} at {dict(m.parameters)}: {m.estimate:.6g} [{m.low:.6g}, {m.high:.6g}], target {m.target:.6g}, "
        f"{m.verdict}"
        for m in evidence.measurements
    )
    if evidence.expected not in (evidence.verdict, ANY):
        raise UnexpectedOutcomeError(f"{evidence.claim}: {evidence.verdict}, expected {evidence.expected}: {shown}")
    missed = [control for control in evidence.controls if not control.caught]
    if missed:
        details = "; ".join(
            f"{c.name} ({c.broken}): {c.measurement.estimate:.6g} [{c.measurement.low:.6g}, {c.measurement.high:.6g}] "
            f"is {c.measurement.verdict}, target {c.measurement.target:.6g}"
            for c in missed
        )
        raise UnexpectedOutcomeError(f"{evidence.claim}: controls not caught: {details}")
