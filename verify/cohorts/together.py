"""Work on several cohorts at once, one thread for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from verify.cohorts.cohort import Cohort

T = TypeVar("T")


def on_each(cohorts: Sequence[Cohort], work: Callable[[Cohort], T]) -> list[T]:
    """Do some work on every cohort, one thread for each; an error in one, or Ctrl-C, stops the training of the others.

    Args:
        cohorts: of different families.
        work: what is done; its results are returned in the order of the cohorts.
    """
    for cohort in cohorts:
        cohort.stopped.clear()
    with ThreadPoolExecutor(len(cohorts)) as pool:
        running = [pool.submit(work, cohort) for cohort in cohorts]
        try:
            return [each.result() for each in running]
        except BaseException:
            for cohort in cohorts:
                cohort.stopped.set()
            raise


def train_together(cohorts: Sequence[Cohort], conditions: Sequence[str], advance: Callable[[], None]) -> None:
    """Train conditions of several cohorts at once; what is trained already is kept.

    Args:
        cohorts: of different families.
        conditions: names, in the order of training.
        advance: called whenever a condition of a cohort is finished.
    """

    def train(cohort: Cohort) -> None:
        for name in conditions:
            cohort.end(name)
            advance()

    on_each(cohorts, train)
