"""What a claim says in plain words, which verdict is expected, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What stands beside the designs of a claim, as the constant OUTLOOK.

    Attributes:
        finding: what the claim says, in one plain sentence.
        expected: the verdict we expect; anything else makes `flatproof run` exit 1.
        figure: of a claim about trained networks, the number that its source reports, or that none is known.
        would_change: of such a claim, one sentence that says what would change the verdict; its page repeats it.
    """

    finding: str = ""
    expected: str = "supported"
    figure: str = ""
    would_change: str = ""
