"""The general mutations: what they are on a known text, and that a fork of pytest says which its tests notice."""

import subprocess
import sys
from pathlib import Path

from tests.mutants.changes import mutants
from tests.mutants.general import ROOT

SOURCE = '''
def f(x: int | None = 3, *, small: bool = True) -> tuple[int | str]:
    """One of 1 or 2."""
    if x is None or x < 0:
        raise ValueError(f"expected x >= 0, got {x + 1}")
    return -x, *zip([], [], strict=True)
'''


def test_enumeration_of_the_mutants_of_a_function() -> None:
    found = {(mutant.line, mutant.change) for mutant in mutants("f.py", SOURCE)}
    test = "x is None or x < 0 →"
    assert found == {
        *((2, "3 → 4"), (2, "3 → 2"), (2, "True → False")),
        *((4, f"{test} not (x is None or x < 0)"), (4, f"{test} False"), (4, "Or → And")),
        *((4, "x is None or x < 0 → x is None"), (4, "x is None or x < 0 → x < 0"), (4, "Is → IsNot")),
        *((4, "Lt → LtE"), (4, "Lt → GtE"), (4, "0 → 1"), (4, "0 → -1")),
        (6, "-x → x"),
    }
    assert len({mutant.text(SOURCE) for mutant in mutants("f.py", SOURCE)}) == len(found)


FILE = """
N = 3
def f(x):
    for _ in "a":
        x = x + N
    return x
def g(x):
    while x > 0:
        x = x - 1
"""
TESTS = """
from f import f, g
def test_f():
    assert f(1) == 4
def test_g():
    assert g(2) is None
def test_of_nothing():
    pass
"""
SCRIPT = """
import sys
from pathlib import Path
from tests.mutants.changes import mutants
from tests.mutants.general import Trials
root = Path(sys.argv[1])
trials = Trials(root, ["f.py"], ["test_f.py"])
trials.seconds = 0.2
for mutant in mutants("f.py", (root / "f.py").read_text()):
    print(mutant.line, mutant.change, trials.outcome(mutant), sep=": ")
trials.close()
"""


def test_oracle_known_faults_are_noticed_and_hangs_are_ended(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(FILE)
    (tmp_path / "test_f.py").write_text(TESTS)
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == [
        "2: 3 → 4: killed",
        "2: 3 → 2: killed",
        "4: 'a' → (): killed",
        "5: Add → Sub: killed",
        "8: x > 0 → not x > 0: survived",
        "8: Gt → GtE: survived",
        "8: Gt → LtE: survived",
        "8: 0 → 1: survived",
        "8: 0 → -1: survived",
        "9: Sub → Add: timed out",
        "9: 1 → 2: survived",
        "9: 1 → 0: timed out",
    ]
