"""A campaign of the smallest networks that are some, and the command that carries it out."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[3]

TINY = """
name = "tiny"
scale = "small"
families = ["hmm"]
root_seeds = [3, 4]
conditions = ["polished", "sampled"]
[settings]
members = 2
width = 4
layers = 1
pretraining = 12
continuation = 6
anneal = 6
checkpoints = 3
reference = 64
probes = 2
draws = 2
tested = 16
[vary]
noisy_rate = [0.1, 0.2]
"""
"""Four runs of two conditions and two members: 16 rows."""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write the campaign, parts of its text changed; each part occurs once."""
    text = TINY
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def command(*options: object) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-W", "ignore", "-m", "verify", "campaign", *map(str, options)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(true: Callable[[], object]) -> None:
    """Wait for something that comes sooner or later."""
    while not true():
        time.sleep(0.02)
