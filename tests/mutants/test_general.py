"""The general mutations: what they are on a known text, and that a fork of pytest says which its tests notice."""

import json
import subprocess
import sys
from pathlib import Path

from tests.mutants.general import ROOT, mutants

SOURCE = '''
def f(x: int | None = 3, *, small: bool = True) -> int | str:
    """One of 1 or 2."""
    if x is None or x < 0:
        raise ValueError(f"expected x >= 0, got {x + 1}")
    return -x
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


TESTS = """
from f import f
def test_f():
    assert f() == 3
def test_of_nothing():
    pass
"""
SCRIPT = """
import json, sys
from pathlib import Path
from tests.mutants.general import Reach, run
copy = Path(sys.argv[1])
told = []
for does in ("return 3", "return 4", "while True: pass"):
    (copy / "f.py").write_text(f"def f():\\n    {does}\\n")
    told.append(run(copy, ["test_f.py"], 2, Reach(copy, ["f.py"]))[0])
    if len(told) == 1:
        reached = json.loads((copy / "reach.json").read_text())
    sys.dont_write_bytecode = True
print(json.dumps([told, reached]))
"""


def test_oracle_a_known_fault_is_noticed_and_a_hang_is_ended(tmp_path: Path) -> None:
    (tmp_path / "test_f.py").write_text(TESTS)
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    reached = {"": [["f.py", 1]], "test_f.py::test_f": [["f.py", 2]], "test_f.py::test_of_nothing": []}
    assert json.loads(found.stdout) == [["survived", "killed", "timed out"], reached]
