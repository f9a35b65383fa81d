"""Mutant: a full disk, a store that is read-only or a file, two processes at once: one clear line, nothing lost."""

import errno
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from verify.cli.main import main
from verify.runs import Checkpointer, CorruptFileError, RunKey, RunStore, StoreError, complete
from verify.runs.sealed import TEMPORARY, read_sealed, write_sealed

KEY = RunKey({"width": 8}, 0, {"m": "0"}, {"torch": "1"})


class Counting:
    """Adds 1 to a tensor until it holds 6."""

    def __init__(self) -> None:
        self.value, self.started_at = torch.zeros(3), 0.0

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"value": self.value}, {}

    def restore(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        self.value = tensors["value"]
        self.started_at = float(self.value[0])

    def done(self) -> bool:
        return bool(self.value[0] >= 6)

    def advance(self) -> dict[str, Any]:
        self.value = self.value + 1
        return {"progress": int(self.value[0])}

    def result(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {"value": self.value}, {"sum": float(self.value.sum())}


def refuse(monkeypatch: pytest.MonkeyPatch, code: int, after: int = 0) -> None:
    """Let the system refuse to force files to disk, after some: where a full disk shows at the latest."""
    left = [after]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("after", range(0, 16, 2))
def test_a_disk_that_fills_up_is_named_and_the_run_goes_on_from_its_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    store = RunStore(tmp_path)
    with store.open(KEY) as run:
        work = Counting()
        checkpointer = Checkpointer(run, work, 0)
        for _ in range(3):
            work.advance()
            checkpointer.tick(float(work.value[0]))
    with monkeypatch.context() as full:
        refuse(full, errno.ENOSPC, after)
        with pytest.raises(StoreError, match=r"got: No space left on device; make room .*FLATPROOF_RUNS"):
            complete(store, KEY, Counting, every_seconds=0)
        assert not list(tmp_path.rglob(f"*{TEMPORARY}")), "what could not be written takes no room"
    assert store.record(KEY.digest)["status"] in ("interrupted", "finished")
    assert not store.check(KEY.digest)
    again = Counting()
    assert complete(store, KEY, lambda: again).content == {"sum": 18.0}
    assert again.started_at >= 3 or not again.value.any(), "not begun anew, or finished already"


def test_a_store_that_is_a_file_or_read_only_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for root in (file, file / "below"):
        with pytest.raises(StoreError, match=r"expected to reach .*; make room or give the right to write"):
            complete(RunStore(root), KEY, Counting)
    assert main(["runs", "list", "--root", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "Not a directory; make room" in printed.err
    assert file.read_text() == "mine"

    def mkdir(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(StoreError, match="Read-only file system"):
        complete(RunStore(tmp_path / "store"), KEY, Counting)


def test_a_file_that_may_not_be_opened_now_is_not_taken_for_corrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path)
    complete(store, KEY, Counting)
    before = sorted(path.name for path in store.folder(KEY.digest).iterdir())

    def read_bytes(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as busy:
        busy.setattr(Path, "read_bytes", read_bytes)
        with pytest.raises(StoreError, match="Too many open files"), store.open(KEY):
            pass
    assert sorted(path.name for path in store.folder(KEY.digest).iterdir()) == before


def test_a_second_process_waits_says_so_and_takes_the_result(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = RunStore(tmp_path)
    held, found = threading.Event(), []

    def second() -> None:
        held.wait()
        found.append(complete(store, KEY, lambda: pytest.fail("the first did the work")))

    thread = threading.Thread(target=second)
    thread.start()
    with caplog.at_level(logging.WARNING, "flatproof"), store.open(KEY) as run:
        held.set()
        deadline = time.monotonic() + 30
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        run.finish({"sum": 18.0}, {})
    thread.join(30)
    assert [result.content for result in found] == [{"sum": 18.0}]
    assert caplog.messages == [f"run {KEY.digest[:12]} is held by another process or thread: waiting for it"]


def test_mutant_sealed_files_that_json_cannot_hold_again_are_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    surrogate = b'{"layout":2,"sha256":"x","body":{"a":"\\ud800"}}'
    deep = b'{"layout":2,"sha256":"x","body":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    for damage in (b"[" * 10**5, surrogate, deep, b"\xff", b"", b"null", b"1" * 5000):
        path.write_bytes(damage)
        with pytest.raises(CorruptFileError, match="set aside"):
            read_sealed(path)
    write_sealed(path, {"a": 1})
    assert read_sealed(path)[0] == {"a": 1}
