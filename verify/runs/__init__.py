"""Stored runs: found again by what determines them, resumed after an interruption, checked before they are used.

`keys` says what determines a run, `checkpointer` does resumable `Work` in a store, `store` is the folder with its
locks, `run` one run of it, `failures` how a run can end, `sealed` the files, whole or absent.
"""

from verify.runs.checkpointer import Checkpointer, State, Work, at_once, complete
from verify.runs.failures import DivergedRunError, RecordedFailureError, RunLockedError, StoreError
from verify.runs.keys import RunKey, tensors_digest
from verify.runs.run import RunResult
from verify.runs.sealed import CorruptFileError
from verify.runs.store import RunStore, default_root

__all__ = [
    "Checkpointer",
    "CorruptFileError",
    "DivergedRunError",
    "RecordedFailureError",
    "RunKey",
    "RunLockedError",
    "RunResult",
    "RunStore",
    "State",
    "StoreError",
    "Work",
    "at_once",
    "complete",
    "default_root",
    "tensors_digest",
]
