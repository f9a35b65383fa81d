"""`pytest verify/` itself: options, one clear error for a missing device, evidence that survives an interruption."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]


def suite(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTEST, *options], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


def test_equal_root_seeds_give_equal_evidence_and_the_table_closes_the_run(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        path = tmp_path / name
        done = suite(
            "verify/claims/noise/test_product_model.py", "--profile=quick", "--root-seed=5", f"--evidence={path}"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "product-model" in done.stdout
        assert "root seed 5" in done.stdout
        assert "at most 0.001,\nif means of groups are normal (Student's t)" in done.stdout
        assert max(len(line) for line in done.stdout.splitlines()) <= 80
        evidence = json.loads(path.read_text(encoding="utf-8"))
        found.append({key: value for key, value in evidence.items() if key not in {"seconds", "date"}})
    assert found[0] == found[1]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_asking_for_cuda_without_it_is_one_clear_error() -> None:
    done = suite("verify/claims/noise/test_product_model.py", "--device=cuda")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--device cpu" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_an_unknown_profile_lists_the_valid_ones() -> None:
    done = suite("verify/claims/noise/test_product_model.py", "--profile=huge")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "quick" in done.stderr
    assert "full" in done.stderr


def test_an_unknown_family_lists_the_valid_ones() -> None:
    done = suite("verify/claims/noise/test_product_model.py", "--scale=small:esperanto")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "hmm-lstm" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("outcome", ["raise AssertionError('took it for a failure')", "pass"])
def test_an_interruption_ends_the_run_even_if_the_running_code_swallows_it(tmp_path: Path, outcome: str) -> None:
    # Hypothesis turns one that falls into its own bookkeeping into an AssertionError.
    (tmp_path / "test_it.py").write_text(
        f"""import os, signal
def test_first():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        import time; time.sleep(10)
    except KeyboardInterrupt:
        {outcome}
def test_second():
    raise AssertionError("must not run")
"""
    )
    done = subprocess.run(
        [*PYTEST, "-p", "verify.conftest", f"--rootdir={tmp_path}", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    assert done.returncode == pytest.ExitCode.INTERRUPTED, done.stdout + done.stderr
    assert "must not run" not in done.stdout


def test_a_store_that_cannot_be_reached_fails_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """from pathlib import Path
from verify.runs import StoreError
def test_it():
    raise StoreError(Path("runs"), OSError(28, "No space left on device"))
"""
    )
    done = suite("-p", "verify.conftest", f"--rootdir={tmp_path}", str(tmp_path))
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "expected to reach runs, got: No space left on device; make room" in done.stdout
    assert "StoreError" not in done.stdout + done.stderr  # nor any line of a traceback, which would name it


def test_an_interrupted_run_keeps_the_evidence_of_finished_claims(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    command = [*PYTEST, "verify/", "--profile=quick", f"--evidence={path}"]
    running = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    deadline = time.monotonic() + 240
    while not (path.is_file() and path.read_text(encoding="utf-8").endswith("\n")):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=120)
    assert running.returncode == pytest.ExitCode.INTERRUPTED
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert first["verdict"] in {"supported", "refuted", "inconclusive"}
    assert first["claim"] in out.partition("= claims =")[2]


def test_a_refuted_claim_is_an_expected_failure_with_its_stored_evidence_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    done = suite("verify/claims/language_models/test_continued_training.py", "--profile=quick", f"--evidence={path}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 xfailed" in done.stdout
    assert "REFUTED*" in done.stdout
    assert "* measured" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert json.loads(path.read_text(encoding="utf-8"))["profile"] == "default"
