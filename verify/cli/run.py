"""An experiment in a process of its own, whatever lies in the user's folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from verify.trial import Evidence, read

PACKAGE = Path(__file__).parents[1]


def suite_options(folder: Path) -> tuple[str, ...]:
    """Return options by which pytest minds no configuration and no conftest.py but the package's own.

    Args:
        folder: where an empty configuration is written to.
    """
    configuration = folder / "pytest.ini"
    configuration.write_text("[pytest]\n")
    return (
        *("-c", str(configuration), f"--rootdir={PACKAGE.parent}", f"--confcutdir={PACKAGE}"),
        *("--import-mode=importlib", "-p", "no:cacheprovider"),
    )


def measure(test_file: Path, options: Sequence[str], output: TextIO | None) -> tuple[int, Evidence | None]:
    """Run one experiment and return pytest's exit status and what was found, if anything was.

    It imports from where this process did (`python -m pytest` would put the working directory first), minds no
    configuration, options and conftest.py but the package's own, and writes to a temporary folder alone.

    Args:
        test_file: the experiment.
        options: of the suite.
        output: where its output goes; None for that of this process.
    """
    program = f"import sys; sys.path[:] = {sys.path!r}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTEST_ADDOPTS", "PYTEST_PLUGINS"}}
    with tempfile.TemporaryDirectory() as folder:
        evidence = Path(folder) / "evidence.jsonl"
        command = [
            *(sys.executable, "-P", "-c", program, str(test_file)),
            *(*suite_options(Path(folder)), f"--evidence={evidence}", *options),
        ]
        environment = kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "HYPOTHESIS_STORAGE_DIRECTORY": folder}
        status = subprocess.run(command, env=environment, check=False, stdout=output).returncode
        return status, next(iter(read(evidence)), None) if evidence.is_file() else None
