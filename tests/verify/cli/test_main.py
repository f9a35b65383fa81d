"""The command line: every verb, its JSON, its errors and its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from theory.claims import CLAIMS
from verify.claims import outlooks
from verify.cli.main import main
from verify.trial.stored import stored_file

ROOT = Path(__file__).parents[3]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(words)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    status, out, _ = run(capsys, *words, "--json")
    assert status == 0
    loaded = json.loads(out)
    assert loaded["schema"] == 1
    assert loaded["verb"] == words[0]
    return loaded[words[0]]


def test_list_names_every_claim_with_its_computed_status(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "list")
    assert status == 0
    for claim in CLAIMS.values():
        assert f"{claim.id:<22} {claim.status}" in out


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    listed = document(capsys, "list")
    assert [entry["id"] for entry in listed] == list(CLAIMS)
    keys = {"id", "title", "statement", "hypotheses", "uses", "source", "status"}
    keys |= {"finding", "expected", "figure", "would_change"}
    assert all(entry.keys() == keys | {"formulas"} for entry in listed)
    assert {(entry["id"], entry["figure"], entry["would_change"]) for entry in listed} == {
        (claim, found.figure, found.would_change) for claim, found in outlooks().items()
    }


@pytest.mark.parametrize("claim", CLAIMS)
def test_derive_shows_every_step_with_reason(capsys: pytest.CaptureFixture[str], claim: str) -> None:
    status, out, _ = run(capsys, "derive", claim)
    assert status == 0
    for step in CLAIMS[claim].derivation.steps:
        assert step.name in out
        assert step.because.split()[0] in out
    status, latex, _ = run(capsys, "derive", claim, "--latex")
    assert status == 0
    assert latex.count(r"\begin{") == latex.count(r"\end{") > 0
    steps = document(capsys, "derive", claim)["steps"]
    assert [step["name"] for step in steps] == [step.name for step in CLAIMS[claim].derivation.steps]
    assert all(step["checked"] is CLAIMS[claim].derivation[step["name"]].checked for step in steps)


def test_predict_json_carries_full_precision(capsys: pytest.CaptureFixture[str]) -> None:
    predicted = document(capsys, "predict", "product-model", "alpha=1.5", "tau=3")
    assert predicted["value"] == CLAIMS["product-model"].predict(alpha=1.5, tau=3)
    assert predicted["parameters"] == {"alpha": 1.5, "tau": 3.0}
    status, out, _ = run(capsys, "predict", "product-model", "alpha=1.5", "tau=3")
    assert status == 0
    assert repr(predicted["value"]) in out


# Figures worked out independently of the derivations, to the digits quoted.
@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("flattest-pairs", "d=4", "m=12", "alpha=1.5"), 1.6912),
        (("flattest-brackets", "T=6", "alpha=1.5"), 1.0005),
        (("flattest-brackets", "T=6", "loss=squared"), 8.9443),
        (("transfer-pairs", "n=4"), 0.8750),
        (("transfer-brackets", "n=3"), 0.8750),
        (("transfer-bound", "n=7", "d=8"), 0.7500),
        (("plateau", "eta=0.02", "B=1", "trace=1.75"), 0.00875),
        (("product-model", "alpha=0", "tau=8"), 0.1353),
    ],
)
def test_closed_form_predictions(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], value: float) -> None:
    assert document(capsys, "predict", *words)["value"] == pytest.approx(value, abs=6e-5)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("derive", "no-such-claim"), "the claims are"),
        (("predict", "no-such-claim"), "the claims are"),
        (("run", "no-such-claim"), "the claims are"),
        (("predict", "product-model", "alpha=1", "tau=1", "beta=2"), "unknown parameter beta; the parameters are"),
        (("predict", "product-model", "alpha=1"), "missing parameter tau; the parameters are"),
        (("predict", "product-model", "alpha=1", "tau=-1"), "outside its domain"),
        (("predict", "product-model", "alpha=nan", "tau=1"), "outside its domain"),
        (("predict", "product-model", "alpha=one", "tau=1"), "is not a number"),
        (("predict", "product-model", "alpha"), "is not of the form name=value"),
        (("predict", "product-model", "alpha=1", "alpha=2"), "is given twice"),
        (("predict", "flattest-brackets", "T=5", "alpha=1"), "outside its domain"),
        (("predict", "flattest-brackets", "T=6", "loss=cubic"), "has no closed form"),
        (("predict", "slow-flow", "variant=steps", "B=1", "beta=1"), "≥ 0 and < 1"),
        (("predict", "plateau", "variant=momentum", "eta=0.1", "B=1", "beta=1.5", "trace=1"), "≥ 0 and < 1"),
        (("predict", "flattest-pairs", "d=1", "m=4", "alpha=1"), "outside its domain"),
    ],
)
def test_a_wrong_word_is_an_error_with_its_remedy(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], remedy: str
) -> None:
    status, out, err = run(capsys, *words)
    assert status == 2
    assert out == ""
    assert remedy in err
    assert "Traceback" not in err


def test_an_unknown_verb_exits_with_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prove"])


def test_graph_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    graph = document(capsys, "graph")
    edges = {(edge["from"], edge["to"]) for edge in graph["edges"]}
    assert edges == {(used, claim.id) for claim in CLAIMS.values() for used in claim.uses}
    for used, user in edges:
        assert f'"{used}" -> "{user}"' in graph["dot"]
        assert f"{used.replace('-', '_')} --> {user.replace('-', '_')}" in graph["mermaid"]
    _, dot, _ = run(capsys, "graph", "--format", "dot")
    assert dot.startswith("digraph")
    assert dot.rstrip().endswith("\n}")


def test_run_cuda_without_a_device_is_one_clear_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, _, err = run(capsys, "run", "product-model", "--device", "cuda")
    assert status == 2
    assert "--device cpu" in err


@pytest.mark.parametrize(
    ("scale", "remedy"),
    [("huge", "among small, long, medium, paper, large"), ("small:esperanto", "families among hmm, pcfg")],
)
def test_an_unknown_scale_or_family_lists_the_valid_ones(
    capsys: pytest.CaptureFixture[str], scale: str, remedy: str
) -> None:
    status, _, err = run(capsys, "run", "algorithm", "--scale", scale)
    assert status == 2
    assert remedy in err


def test_run_measures_whatever_lies_in_the_users_folder(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    for name in ("theory", "synthetic", "verify", "tests", "torch"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError")
    (folder / "conftest.py").write_text("raise ImportError")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    before = sorted(folder.rglob("*"))
    script = tmp_path / "flatproof"  # as pip writes it
    script.write_text("import sys\nfrom verify.cli.main import main\nsys.exit(main())\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "--no-such-option"}
    command = [sys.executable, str(script), "run", "product-model", "--profile", "quick", "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    evidence = json.loads(done.stdout)["run"]
    assert evidence["claim"] == "product-model"
    assert evidence["verdict"] == evidence["expected"] == "supported"
    assert all(control["caught"] for control in evidence["controls"])
    assert evidence["profile"] == "quick"
    assert {"versions", "hardware", "seconds", "root_seed", "date", "measurements", "designs"} <= evidence.keys()
    assert sorted(folder.rglob("*")) == before


def test_only_what_measures_or_draws_loads_torch() -> None:
    words = [["list"], ["derive", "plateau"], ["predict", "product-model", "alpha=1", "tau=2"], ["graph"]]
    code = (
        f"import sys; from verify.cli.main import main\nfor own in {words}: main(own)\nsys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, timeout=300)


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m verify derive flattest-pairs --json | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr


def test_report_knows_the_evidence_that_comes_with_flatproof(capsys: pytest.CaptureFixture[str]) -> None:
    _, default, _ = run(capsys, "report")
    assert run(capsys, "report", "default-cpu") == run(capsys, "report", str(stored_file("default", "cpu")))
    assert default == run(capsys, "report", "default-cpu")[1] != run(capsys, "report", "medium-cpu")[1]
    status, out, err = run(capsys, "report", "no-such")
    assert (status, out) == (2, "")
    assert "comes with flatproof is default-cpu, " in err


def test_report_shows_the_good_lines_and_names_what_it_left_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored = stored_file("default", "cpu").read_text(encoding="utf-8")
    path = tmp_path / "evidence.jsonl"
    path.write_text(stored + stored[:500], encoding="utf-8")
    status, out, err = run(capsys, "report", str(path))
    assert (status, out) == (2, run(capsys, "report", "default-cpu")[1])
    (line,) = err.splitlines()
    torn = stored.count("\n") + 1
    assert line.startswith(f"flatproof: error: left out: {path}, line {torn}: expected a JSON document")
    assert run(capsys, "report", str(tmp_path))[0] == 2


def test_a_full_disk_under_stdout_is_one_clear_line() -> None:
    command = f"{sys.executable} -m verify list > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert done.stderr == "flatproof: error: [Errno 28] No space left on device\n"


def test_several_files_of_evidence_make_one_table_by_language_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "report", "default-cpu", "default-cpu")[0] == 2
    _, once, _ = run(capsys, "report", "default-cpu", "--languages")
    assert run(capsys, "report", "default-cpu", "default-cpu", "--languages") == (0, once, "")
