"""The cohorts of a run, trained once whichever claims ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from verify.cohorts.cohort import Cohort, train_together
from verify.cohorts.designs import scale_profile
from verify.cohorts.scale import SCALES
from verify.trial import Trial


@lru_cache(maxsize=1)
def _cohorts(profile: str, root_seed: int, device: str) -> tuple[Cohort, ...]:
    scale = SCALES[profile]
    return tuple(Cohort(family, scale, root_seed, device) for family in scale.families)


def trained(trial: Trial, arms: Sequence[str]) -> tuple[Cohort, ...]:
    """Return the cohorts of a trial's scale, one for each family, with these arms trained.

    They are kept in memory: other claims of the same run get the same ones, and what each of them found does not depend
    on which of them run.
    """
    cohorts = _cohorts(scale_profile(trial.profile), trial.settings.root_seed, trial.device)
    trial.plan((len(arms) + 1) * len(cohorts))
    train_together(cohorts, arms, trial.advance)
    return cohorts
