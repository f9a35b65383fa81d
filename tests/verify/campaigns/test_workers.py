"""Mutant: workers that die, and executors that are not to be had."""

import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from tests.verify.campaigns.deaths import dies
from verify.campaigns import Workers, WorkersError, completed, workers


def test_a_task_goes_on_after_its_worker_died_and_is_given_up_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "DEATHS", 2)
    tasks = ["once", "always", "fine", "raises"]
    found = dict(completed(partial(dies, tmp_path), tasks, Workers("processes", 1)))
    assert (found["once"], found["fine"]) == ("ONCE", "FINE")
    assert isinstance(found["always"], BrokenProcessPool)
    assert isinstance(found["raises"], ArithmeticError)
    begun = {task: len(list(tmp_path.glob(f"{task}-*"))) for task in tasks}
    assert begun == {"once": 2, "always": 2, "fine": 1, "raises": 1}


def test_something_is_said_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()
    monkeypatch.setattr(workers, "IDLE", 0.01)
    monkeypatch.setattr(Workers, "open", lambda self: ThreadPoolExecutor(1))
    assert list(completed(lambda _: said.wait(), [1], Workers(), said.set)) == [(1, True)]


def test_nothing_is_opened_for_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "open", lambda self: pytest.fail("opened"))
    assert list(completed(str, [], Workers())) == []


def test_error_the_scheduler_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(ThreadPoolExecutor):
        def submit(self, *arguments: object, **options: object) -> Future[object]:  # type: ignore[override]
            lost: Future[object] = Future()
            lost.cancel()
            lost.set_running_or_notify_cancel()
            return lost

    monkeypatch.setattr(Workers, "open", lambda self: Gone(1))
    with pytest.raises(WorkersError, match=r"expected the Dask scheduler tcp://there to stay, .*: start it again"):
        list(completed(str, [1, 2], Workers("tcp://there")))


@pytest.mark.parametrize(
    ("executor", "jobs", "message"),
    [
        ("processes", 0, "expected --jobs of at least 1, got 0"),
        ("threads", 1, "expected --executor processes, dask or tcp://HOST:PORT, got 'threads'"),
    ],
)
def test_error_workers_that_there_are_not(executor: str, jobs: int, message: str) -> None:
    with pytest.raises(WorkersError, match=message):
        Workers(executor, jobs)


def test_error_dask_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(WorkersError, match=r"expected the package `distributed` .*pip install 'flatproof\[dask\]'"):
        list(completed(str, [1], Workers("dask", 1)))


@pytest.mark.filterwarnings("default")  # distributed's own
def test_error_no_scheduler_at_the_address() -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "200ms"}),
        pytest.raises(WorkersError, match=r"expected a Dask scheduler at tcp://127.0.0.1:1, got: .*; start one with"),
    ):
        list(completed(str, [1], Workers("tcp://127.0.0.1:1")))
