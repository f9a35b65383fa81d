"""Where the runs of a campaign are made: processes of this machine, or a Dask cluster; a dead worker's runs go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

IDLE = 300.0
"""Seconds without a result after which something is said."""

DEATHS = 3
"""Workers that a run may lose; then it is given up."""


class WorkersError(ValueError):
    """Workers are asked for that are not to be had."""


@dataclass(frozen=True)
class Workers:
    """Workers for `completed`.

    Args:
        executor: `processes` of this machine, `dask` for a local cluster, or `tcp://HOST:PORT`, its scheduler.
        jobs: how many; of a cluster that is there already, ignored.

    Raises:
        WorkersError: there is no such executor, or fewer than one is asked for.
    """

    executor: str = "processes"
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise WorkersError(f"expected --jobs of at least 1, got {self.jobs}; say how many runs are made at once")
        if self.executor not in ("processes", "dask") and "://" not in self.executor:
            raise WorkersError(
                f"expected --executor processes, dask or tcp://HOST:PORT, got {self.executor!r}; name one of them"
            )

    @property
    def at_once(self) -> int | None:
        """How many runs to hand out before one is finished; None for all, to a cluster, which knows what it can do."""
        return self.jobs if self.executor == "processes" else None

    def open(self) -> contextlib.AbstractContextManager[Executor]:
        """Return the executor, open inside `with`; when left by an error, its processes end at once.

        Raises:
            WorkersError: Dask is not installed, or there is no scheduler at the address.
        """
        if self.executor == "processes":
            return _processes(self.jobs)
        return _dask(None if self.executor == "dask" else self.executor, self.jobs)


@contextlib.contextmanager
def _processes(jobs: int) -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(jobs, context, _end_with_the_command, (reader,))
    try:
        yield executor
    except BaseException:
        writer.close()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        writer.close()
        reader.close()


def _end_with_the_command(lifeline: Connection) -> None:
    """End this worker when the command lets go of the other end of a pipe, as it does however it dies."""

    def watch() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv_bytes()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to answer
    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _dask(address: str | None, jobs: int) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise WorkersError(
            f"expected the package `distributed` for --executor dask, got: {error}; pip install 'flatproof[dask]'"
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            # No limit of memory: the system's own holds, as for processes.
            own = {"n_workers": jobs, "threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
            cluster = stack.enter_context(LocalCluster(**own)) if address is None else address
            client = stack.enter_context(Client(cluster, set_as_default=False))
        except (OSError, ValueError) as error:
            raise WorkersError(
                f"expected a Dask scheduler at {address}, got: {error}; start one with `dask scheduler`"
            ) from error
        yield client.get_executor(pure=False)


def completed(
    function: Callable[[T], R], tasks: Sequence[T], workers: Workers, idle: Callable[[], None] = lambda: None
) -> Generator[tuple[T, R | Exception], None, None]:
    """Call a function on every task, and give each with its result as it comes, or with the error that ended it.

    A worker that dies takes no other task with it: processes are started anew, and a Dask scheduler hands its task to
    another worker. A task that was in hand when workers died `DEATHS` times is given up, with that error.

    Args:
        function: what is done; it and the tasks travel to other processes.
        tasks: what for.
        workers: where.
        idle: called again and again while nothing comes, every `IDLE` seconds.

    Raises:
        WorkersError: Dask is not installed, or there is no scheduler, or no longer.
    """
    left = dict(enumerate(tasks))
    deaths: Counter[int] = Counter()
    while left:
        with workers.open() as executor:
            waiting = sorted(left, key=lambda number: deaths[number])
            pending: dict[Future[R], int] = {}
            broken = False
            while pending or (waiting and not broken):
                while waiting and not broken and (workers.at_once is None or len(pending) < workers.at_once):
                    try:
                        pending[executor.submit(function, left[waiting[0]])] = waiting[0]
                    except BrokenExecutor:
                        broken = True
                    else:
                        del waiting[0]
                done = wait(pending, IDLE, FIRST_COMPLETED).done
                if not done:
                    idle()
                for future in done:
                    number = pending.pop(future)
                    if future.cancelled():
                        raise WorkersError(
                            f"expected the Dask scheduler {workers.executor} to stay, got no connection any more; what "
                            "is done is kept: start it again with its workers, and then the same command"
                        )
                    error = future.exception()
                    if isinstance(error, BrokenExecutor):
                        broken = True
                        deaths[number] += 1
                        if deaths[number] < DEATHS:
                            continue
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    yield left.pop(number), future.result() if error is None else error
