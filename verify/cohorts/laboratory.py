"""The cohorts of a run, trained once whichever claims ask for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TypeVar

from verify.cohorts.cohort import Cohort
from verify.cohorts.scale import Scale, scale_of
from verify.cohorts.together import on_each, train_together
from verify.runs.store import RunStore, default_root
from verify.trial.stored import stored
from verify.trial.trial import Trial

T = TypeVar("T")


@lru_cache(maxsize=2)
def cohorts_of(scale: Scale, root_seed: int, device: str, kept: bool) -> tuple[Cohort, ...]:
    """Return the cohorts of a scale, one for each of its families; those of the last two calls are kept in memory.

    Args:
        scale: of the cohorts.
        root_seed: root of their random streams.
        device: where to train.
        kept: whether the store of runs keeps what they train, and resumes it.
    """
    store = RunStore(default_root()) if kept else None
    return tuple(Cohort(family, scale, root_seed, device, store) for family in scale.families)


def from_stored(trial: Trial) -> bool:
    """Conclude a trial with the stored evidence of the default run, if it is at `quick` and no scale was asked for."""
    if trial.profile != "quick" or trial.scale is not None:
        return False
    trial.use_stored(stored(trial.claim.id))
    return True


def trained(
    trial: Trial, conditions: Sequence[str], measure: Callable[[Cohort], T], scale: str | None = None
) -> list[T]:
    """Return what `measure` finds on the cohorts of a scale, one for each family, once these conditions are trained.

    Cohorts are kept in memory: other claims of the same run get the same ones, and what each of them finds does not
    depend on which of them run. Training and measuring use a thread for each cohort.

    Where a scale was asked for, or the profile is `full`, the store of runs keeps what was trained, so that a run that
    was killed is resumed. Any other run trains afresh within minutes, and owes nothing to another.

    Args:
        trial: of a claim about networks.
        conditions: names.
        measure: what is done with a cohort.
        scale: name, for a claim that is tried at one scale only; None for the trial's.
    """
    kept = trial.scale is not None or trial.profile == "full"
    cohorts = cohorts_of(scale_of(trial.profile, scale or trial.scale), trial.settings.root_seed, trial.device, kept)
    trial.plan((len(conditions) + 1) * len(cohorts))
    train_together(cohorts, conditions, trial.advance)

    def measured(cohort: Cohort) -> T:
        found = measure(cohort)
        trial.advance()
        return found

    return on_each(cohorts, measured)
