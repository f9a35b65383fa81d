"""`flatproof mutate`: the catalogue fits the source; what is caught, survives, hangs or is ill-named is said so."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from verify.cli import mutate
from verify.cli.main import main
from verify.cli.mutate import ROOT, MutateError, Outcome, catalogue, run, table

FAULTS = catalogue(ROOT)
SUM = '["sums.py".sum]\nold = "a + b"\nnew = "a - b"\nwhy = "a sum adds"\n'
ORDER = '["sums.py".order]\nold = "a + b"\nnew = "b + a"\nwhy = "a sum commutes"\n'
HANG = '["sums.py".hang]\nold = "return a"\nnew = "while a:\\n        pass\\n    return a"\nwhy = "it never ends"\n'
SYNTAX = '["sums.py".import]\nold = "def"\nnew = "raise SystemError\\ndef"\nwhy = "no test can be imported"\n'


def test_every_fault_fits_the_source_and_names_tests_that_exist() -> None:
    for fault in FAULTS.values():
        compile(fault.planted(ROOT), fault.file, "exec")
        assert fault.why, fault.id
        for test in fault.tests:
            path, _, function = test.partition("::")
            assert (ROOT / path).is_file(), fault.id
            assert f"def {function.partition('[')[0]}" in (ROOT / path).read_text(encoding="utf-8"), fault.id


def test_there_are_many_faults_of_every_kind_and_few_that_no_test_can_tell() -> None:
    assert len(FAULTS) >= 120
    assert len({fault.group for fault in FAULTS.values()}) >= 6
    assert sum(bool(fault.equivalent) for fault in FAULTS.values()) <= 0.05 * len(FAULTS)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project under git: a sum, its test, and a file that git does not know."""
    (tmp_path / "tests" / "mutants").mkdir(parents=True)
    (tmp_path / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "tests" / "test_sums.py").write_text(
        "from sums import add\n\ndef test_add():\n    assert add(2, 1) == 3\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (tmp_path / "untracked.py").write_text("")
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    return tmp_path


def told(project: Path, faults: str, *, jobs: int = 1, limit: float = 60.0) -> list[Outcome]:
    (project / "tests" / "mutants" / "all.toml").write_text(faults)
    told: list[Outcome] = []
    found = run(project, list(catalogue(project).values()), jobs, limit, told.append)
    assert sorted(outcome.fault.id for outcome in told) == sorted(outcome.fault.id for outcome in found)
    return found


def test_a_fault_is_caught_and_a_harmless_one_survives(project: Path) -> None:
    before = {path: path.read_bytes() for path in project.glob("**/*.py")}
    caught, survived, imported = told(project, SUM + ORDER + SYNTAX, jobs=2)
    assert (caught.result, caught.test, caught.explained) == ("caught", "tests/test_sums.py::test_add", True)
    assert (survived.result, survived.test, survived.explained) == ("survived", "", False)
    assert (imported.result, imported.test) == ("caught", "tests/test_sums.py")
    assert {path: path.read_bytes() for path in project.glob("**/*.py")} == before


def test_a_hang_is_not_caught_and_said_so(project: Path) -> None:
    (found,) = told(project, HANG, limit=5.0)
    assert (found.result, found.explained) == ("timed out", False)


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["mutate", *words])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_command_shows_survivors_with_their_explanation(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    known = 'equivalent = "so it is"\n'
    (project / "tests" / "mutants" / "sums.toml").write_text(SUM + known + ORDER + known)
    status, out, err = command(capsys, "--jobs", "2")
    assert status == 1
    assert "| sums | 2 | 1 | 50.0% | 2.5% |" in out
    assert "| `order` | a sum commutes | survived: so it is |" in out
    assert "take `equivalent` out" in err
    (project / "tests" / "mutants" / "sums.toml").write_text(SUM)
    (fault,) = catalogue(project).values()
    assert "survived: not explained" in table([Outcome(fault, "survived", "", 1.0)])


def test_the_command_lists_faults_and_writes_json(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    (project / "tests" / "mutants" / "sums.toml").write_text(SUM)
    assert "a sum adds" in command(capsys, "--list")[1]
    listed: Any = json.loads(command(capsys, "--list", "--json")[1])["mutate"]
    assert [fault["id"] for fault in listed] == ["sum"]
    status, out, _ = command(capsys, "sums", "--json")
    (found,) = json.loads(out)["mutate"]
    assert (status, found["result"], found["fault"]) == (0, "caught", listed[0])


@pytest.mark.parametrize(
    ("faults", "words", "message"),
    [
        ("", [], "source checkout"),
        (SUM, ["other"], "the groups are sums"),
        (SUM.replace("a + b", "a * b"), [], "found it 0 times"),
        (SUM.replace("a + b", "a"), [], "found it 3 times"),
        (SUM.replace("a - b", "a + b"), [], "to change it"),
        (SUM + SUM.replace("sums.py", "others.py"), [], "ids that occur once"),
        (SUM.replace("why", "wherefore"), [], "expected old, new and why"),
        (SUM + 'tests = ["tests/test_none.py"]', [], "tests that pass without any fault"),
    ],
)
def test_error_messages_say_what_to_do(
    capsys: pytest.CaptureFixture[str], project: Path, faults: str, words: Sequence[str], message: str
) -> None:
    if faults:
        (project / "tests" / "mutants" / "sums.toml").write_text(faults)
    status, out, err = command(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err


def test_a_copy_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MutateError, match="expected a git checkout"):
        run(tmp_path, [], 1, 60.0, lambda _: None)
