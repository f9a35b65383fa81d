"""Tasks that end their worker."""

import os
import signal
from pathlib import Path


def dies(folder: Path, task: str) -> str:
    """Note that the task was begun; end the worker at the first time of "once", at every time of "always"."""
    times = len(list(folder.glob(f"{task}-*")))
    (folder / f"{task}-{times}").touch()
    if task == "always" or (task == "once" and not times):
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "raises":
        raise ArithmeticError("no such number")
    return task.upper()
