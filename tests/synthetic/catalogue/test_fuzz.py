"""Mutant: no file, however damaged, ends in anything but the reader's own error or a language that can be used."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROUNDS = 30
"""JSON mutants of each family; as many pairs of npz mutants of those with arrays."""


def test_mutants_of_files_of_every_family_are_refused_with_a_remedy_or_are_languages() -> None:
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("fuzz_worker.py")), "0", str(ROUNDS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["json"] == 14 * ROUNDS
    assert found["npz"] == 8 * ROUNDS
    assert 0 < found["accepted"] < found["json"] // 2, "most mutants are no languages, and some are"
