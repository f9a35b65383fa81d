"""How training reports members that diverged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Divergence:
    """One member's end: at `step` the loss was not finite or above the bound; its parameters are those before.

    Attributes:
        seed: of the member.
        member: its index in the stack.
        step: whose loss was bad; the parameters kept are those of step − 1 (of the start, if it is 0).
        loss: that loss, in nats.
        bound: the greatest loss allowed.
    """

    seed: int
    member: int
    step: int
    loss: float
    bound: float

    def __str__(self) -> str:
        return (
            f"seed {self.seed} (member {self.member}) diverged at step {self.step}: loss {self.loss:.6g}, expected a "
            f"finite one of at most {self.bound:.6g}; the parameters of step {max(self.step - 1, 0)} are kept"
        )


class AllDivergedError(RuntimeError):
    """Every member of the stack diverged, so that there is nothing left to train."""

    run_status = "diverged"


class ResumeError(ValueError):
    """A saved state that does not belong to this trainer."""
