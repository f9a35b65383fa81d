"""Options of `pytest verify/`, the `trial` fixture, evidence as it is found, and the closing table."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
import torch

from theory.claims import CLAIMS
from verify.cohorts import SCALES, ScaleError, scale_of
from verify.environment import PROFILES, DeviceError, Settings, require_device
from verify.runs import StoreError
from verify.trial import Evidence, Outlook, Trial, Verdict, report
from verify.trial.budget import SUITE_FALSE_ALARM
from verify.trial.evidence import EvidenceFileError, append, check_writable, require_expected
from verify.trial.stored import at_other_scales

_BAR = 30
EXAMPLES = {"quick": 10, "default": 40, "full": 400}
"""Examples that hypothesis tries in each property test; no deadline, as the first one may compile."""
_FINISHED = pytest.StashKey[dict[str, Evidence]]()
_STORED = pytest.StashKey[set[str]]()
_TRIED = pytest.StashKey[list[str]]()
_SETTINGS = pytest.StashKey[Settings]()
_INTERRUPTED = threading.Event()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("flatproof")
    group.addoption("--device", default="cpu", help="where the ensembles run: cpu (default), cuda or cuda:N")
    group.addoption("--profile", choices=PROFILES, default="default", help="size of the experiments")
    group.addoption(
        "--scale",
        metavar="NAME[:FAMILY,…]",
        help=f"of the networks in claims about them: {', '.join(SCALES)}, each with families of languages of its own "
        "unless others are named (default: the profile's)",
    )
    group.addoption("--root-seed", type=int, default=0, metavar="N", help="root of all random streams (default 0)")
    group.addoption("--evidence", type=Path, metavar="FILE", help="append one JSON line for each finished claim")


def pytest_configure(config: pytest.Config) -> None:
    """Check the options before anything runs."""
    try:
        device = require_device(config.getoption("--device"))
        scale_of(config.getoption("--profile"), config.getoption("--scale"))
        if (evidence := config.getoption("--evidence")) is not None:
            check_writable(evidence)
    except (DeviceError, EvidenceFileError, ScaleError) as error:
        raise pytest.UsageError(str(error)) from error
    # Everything torch does on the CPU here is small: a second thread costs more than it gains. The compiled engine
    # has threads of its own.
    torch.set_num_threads(1)
    # Here, before the test files are imported: a test takes its settings when it is defined.
    profile = f"flatproof-{config.getoption('--profile')}"
    hypothesis.settings.register_profile(profile, max_examples=EXAMPLES[config.getoption("--profile")], deadline=None)
    hypothesis.settings.load_profile(profile)
    options = (config.getoption(name) for name in ("--root-seed", "--scale"))
    config.stash[_SETTINGS] = Settings(config.getoption("--profile"), device, *options)
    config.stash[_FINISHED] = {}
    config.stash[_TRIED] = []
    config.stash[_STORED] = set()
    _remember_interruption(config)
    _show_waiting(config)


class _Said(logging.Handler):
    """Shows what flatproof has to say, such as that it waits for another process, while pytest captures all else."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__()
        self._plugins = config.pluginmanager

    def emit(self, record: logging.LogRecord) -> None:
        reporter = self._plugins.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(record.getMessage(), flush=True)


def _show_waiting(config: pytest.Config) -> None:
    logger, handler = logging.getLogger("flatproof"), _Said(config)
    logger.addHandler(handler)
    config.add_cleanup(partial(logger.removeHandler, handler))


def _remember_interruption(config: pytest.Config) -> None:
    """Keep note of Ctrl-C: where it falls, other code may turn it into an ordinary error or swallow it."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        return

    def remember(number: int, frame: FrameType | None) -> None:
        _INTERRUPTED.set()
        handler(number, frame)

    def forget() -> None:
        _INTERRUPTED.clear()
        signal.signal(signal.SIGINT, handler)

    signal.signal(signal.SIGINT, remember)
    config.add_cleanup(forget)


class _Bar:
    """A progress bar on the last line of a terminal; silent anywhere else."""

    def __init__(self, reporter: Any, claim: str) -> None:
        self._reporter = reporter if reporter is not None and reporter.isatty else None
        self._claim = claim
        self._start = self._last = time.monotonic()

    def __call__(self, fraction: float) -> None:
        now = time.monotonic()
        if self._reporter is None or now - self._last < 0.2:
            return
        self._last = now
        done = round(_BAR * min(max(fraction, 0.0), 1.0))
        bar = "█" * done + "·" * (_BAR - done)
        self._reporter.write(f"\r{self._claim:<22}{bar} {fraction:4.0%} {now - self._start:5.0f} s ", flush=True)

    def clear(self) -> None:
        if self._reporter is not None and self._last > self._start:
            self._reporter.write("\r" + " " * 79 + "\r", flush=True)


def _claim_of(request: pytest.FixtureRequest) -> str:
    return Path(request.path).stem.removeprefix("test_").replace("_", "-")


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """Put the claim that the test file is named after on trial; the test body measures, the fixture concludes.

    The evidence is recorded before the verdict is judged, so that an unexpected verdict is recorded as well.
    """
    claim = CLAIMS[_claim_of(request)]
    stash = request.config.stash
    stash[_TRIED].append(claim.id)
    bar = _Bar(request.config.pluginmanager.get_plugin("terminalreporter"), claim.id)
    tried = Trial(claim, stash[_SETTINGS], bar, getattr(request.module, "OUTLOOK", Outlook()))
    request.node.stash[_TRIAL] = tried
    try:
        yield tried
    finally:
        bar.clear()


_TRIAL = pytest.StashKey[Trial]()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """After a trial's body has run: conclude, record, then judge; what fails on Ctrl-C is not judged.

    A store that cannot be read or written is no fault of the claim, and is told in its one line, without a traceback.

    Raises:
        KeyboardInterrupt: the body was interrupted, whatever became of the exception inside it.
    """
    try:
        result = yield
    except BaseException as error:
        if _INTERRUPTED.is_set():
            # Without the cause: pytest cannot show a frame that was interrupted between two lines.
            raise KeyboardInterrupt from None
        if isinstance(error, StoreError):
            pytest.fail(str(error), pytrace=False)
        raise
    tried = pyfuncitem.stash.get(_TRIAL, None)
    if tried is not None:
        evidence = tried.conclude()
        pyfuncitem.config.stash[_FINISHED][evidence.claim] = evidence
        path = pyfuncitem.config.getoption("--evidence")
        if tried.uses_stored:
            pyfuncitem.config.stash[_STORED].add(evidence.claim)
        if path is not None:
            append(path, evidence)
        # Stored evidence was perhaps measured when nothing was expected; shown here, it is what is expected now.
        require_expected(replace(evidence, expected=tried.outlook.expected) if tried.uses_stored else evidence)
        if evidence.verdict == Verdict.REFUTED:
            # Strict: any other verdict has failed above.
            pytest.xfail(f"{evidence.claim} is refuted, as expected: {evidence.headline_design.prediction}")
    return result


def pytest_runtest_logfinish() -> None:
    """Stop after an interruption that was swallowed.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    if _INTERRUPTED.is_set():
        raise KeyboardInterrupt


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Close with the table, also after an interruption."""
    finished, tried, stored = config.stash[_FINISHED], config.stash[_TRIED], config.stash[_STORED]
    if not tried:
        return
    settings = config.stash[_SETTINGS]
    order = [claim for claim in CLAIMS if claim in tried]
    terminalreporter.section("claims")
    for line in report.table(
        [finished[claim] for claim in order if claim in finished],
        [c for c in order if c not in finished],
        stored,
        {claim: at_other_scales(item) for claim, item in finished.items()},
    ):
        terminalreporter.write_line(line)
    terminalreporter.write_line(
        f"profile {settings.profile}, device {settings.device}, root seed {settings.root_seed}. "
        "Intervals include systematic errors;"
    )
    # Stored evidence was decided at the level of its day; by the union bound the levels of all that is shown add up.
    spent = sum(design.alpha for item in finished.values() for design in item.designs)
    level = max(SUITE_FALSE_ALARM, math.ceil(spent * 1e6 - 1e-6) / 1e6)  # upwards, but for the rounding of the sum
    terminalreporter.write_line(f"the probability that any true claim is refuted is at most {level:g},")
    terminalreporter.write_line("if means of groups are normal (Student's t) and pilots bound systematic errors.")
