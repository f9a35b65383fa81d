"""The cohorts of a run, trained once whichever claims ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from verify.cohorts.cohort import Cohort
from verify.cohorts.scale import Scale, scale_of
from verify.cohorts.together import on_each, train_together
from verify.runs.store import RunStore, default_root
from verify.stored import stored
from verify.trial import Trial

T = TypeVar("T")


@lru_cache(maxsize=2)
def cohorts_of(scale: Scale, root_seed: int, device: str) -> tuple[Cohort, ...]:
    """Return the cohorts of a scale, one for each of its families; those of the last two calls are kept in memory."""
    # What takes hours is kept; what takes minutes is done again, so that a run of the suite owes nothing to another.
    store = None if scale.name == "small" else RunStore(default_root())
    return tuple(Cohort(family, scale, root_seed, device, store) for family in scale.families)


def recalled(trial: Trial) -> bool:
    """Conclude a trial with the stored evidence of the default run, if it is at `quick` and no scale was asked for."""
    if trial.profile != "quick" or trial.scale is not None:
        return False
    trial.recall(stored(trial.claim.id))
    return True


def trained(trial: Trial, arms: Sequence[str], measure: Callable[[Cohort], T], scale: str | None = None) -> list[T]:
    """Return what `measure` finds on the cohorts of a scale, one for each family, once these arms are trained.

    Cohorts are kept in memory: other claims of the same run get the same ones, and what each of them finds does not
    depend on which of them run. Training and measuring use a thread for each cohort.

    Args:
        trial: of a claim about networks.
        arms: names.
        measure: what is done with a cohort.
        scale: name, for a claim that is tried at one scale only; None for the trial's.
    """
    cohorts = cohorts_of(scale_of(trial.profile, scale or trial.scale), trial.settings.root_seed, trial.device)
    trial.plan((len(arms) + 1) * len(cohorts))
    train_together(cohorts, arms, trial.advance)

    def measured(cohort: Cohort) -> T:
        found = measure(cohort)
        trial.advance()
        return found

    return on_each(cohorts, measured)
