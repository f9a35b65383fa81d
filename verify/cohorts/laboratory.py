"""The cohorts of a run, trained once whichever claims ask for them, one thread for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from verify.cohorts.bench import Bench
from verify.cohorts.cohort import Cohort
from verify.cohorts.scale import Scale, scale_of
from verify.runs import RunStore, default_root
from verify.trial import Trial
from verify.trial.stored import stored

T = TypeVar("T")


@lru_cache(maxsize=2)
def benches_of(scale: Scale, root_seed: int, device: str, kept: bool) -> tuple[Bench, ...]:
    """Return the cohorts of a scale on their benches, one for each family; those of the last two calls stay in memory.

    With `kept`, the store of runs keeps what they train, and resumes it.
    """
    store = RunStore(default_root()) if kept else None
    return tuple(Bench(Cohort(family, scale, root_seed, device, store)) for family in scale.families)


def on_each(benches: Sequence[Bench], work: Callable[[Bench], T]) -> list[T]:
    """Do some work on every cohort, one thread for each; an error in one, or Ctrl-C, stops the training of the others.

    Results are in the order of the cohorts.
    """
    for bench in benches:
        bench.cohort.stopped.clear()
    with ThreadPoolExecutor(len(benches)) as pool:
        running = [pool.submit(work, bench) for bench in benches]
        try:
            return [each.result() for each in running]
        except BaseException:
            for bench in benches:
                bench.cohort.stopped.set()
            raise


def from_stored(trial: Trial) -> bool:
    """Conclude a trial with the stored evidence of the default run, if it is at `quick` and no scale was asked for."""
    if trial.profile != "quick" or trial.scale is not None:
        return False
    trial.use_stored(stored(trial.claim.id))
    return True


def trained(
    trial: Trial, conditions: Sequence[str], measure: Callable[[Bench], T], scale: str | None = None
) -> list[T]:
    """Return what `measure` finds on the cohorts of a scale, one for each family, once these conditions are trained.

    Cohorts are kept in memory: other claims of the same run get the same ones, and what each of them finds does not
    depend on which of them run.

    Where a scale was asked for, or the profile is `full`, the store of runs keeps what was trained, so that a run that
    was killed is resumed. Any other run trains afresh within minutes, and owes nothing to another.

    Args:
        measure: what is done with a cohort.
        scale: name, for a claim that is tried at one scale only; None for the trial's.
    """
    kept = trial.scale is not None or trial.profile == "full"
    benches = benches_of(scale_of(trial.profile, scale or trial.scale), trial.settings.root_seed, trial.device, kept)
    trial.plan((len(conditions) + 1) * len(benches))

    def train(bench: Bench) -> None:
        for name in conditions:
            bench.cohort.end(name)
            trial.advance()

    def measured(bench: Bench) -> T:
        with bench.cohort.streams.scope():
            found = measure(bench)
        trial.advance()
        return found

    on_each(benches, train)
    return on_each(benches, measured)
