"""`flatproof calibrate`: the quick profile at many root seeds, and what its designs promise checked on them."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from theory.claims import CLAIMS, find
from verify.cli.output import print_json, usage_error

if TYPE_CHECKING:
    from verify.trial import BadLine, Evidence
    from verify.trial.calibration import Calibration

Say = Callable[[str], None]


class CalibrateError(ValueError):
    """The command line asks for a calibration that is not to be had."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument(
        "claims", nargs="*", metavar="CLAIM", help="default: every claim that the quick profile measures"
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="FILE",
        help="evidence of many root seeds, to be checked and added to; default: what comes with flatproof is checked",
    )
    parser.add_argument(
        "--root-seeds",
        type=int,
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="measure what FILE lacks at these root seeds first; goes on after an interruption",
    )
    parser.add_argument("--save", type=Path, metavar="OUT", help="write what the tables rest on into a compact file")
    parser.add_argument("--markdown", action="store_true", help="print the tables as the page shows them")


def act(arguments: argparse.Namespace) -> int:
    """Carry out the verb; return its exit status: 1 where a promise is not kept, 2 for lines that were left out."""
    # Imported here: the other verbs need no torch.
    from verify.trial import calibration

    try:
        found, left_out = calibrate(arguments, lambda text: print(text, file=sys.stderr, flush=True))
    except CalibrateError as error:
        return usage_error(str(error))
    except KeyboardInterrupt:
        return usage_error("interrupted; what is finished is in the file, and the same command goes on")
    if arguments.json:
        print_json("calibrate", calibration.as_json(found))
    else:
        print(calibration.as_markdown(found) if arguments.markdown else calibration.as_text(found), end="")
    for item in left_out:
        usage_error(f"left out: {item}")
    return 2 if left_out else 0 if found.kept else 1


def calibrate(arguments: argparse.Namespace, say: Say) -> tuple[Calibration, list[BadLine]]:
    """Measure what is missing, if asked to, and check it; return what was found and which lines were left out.

    Raises:
        CalibrateError: a claim, a range or a file cannot be used; the message says what to do.
        KeyboardInterrupt: Ctrl-C while measuring; what is finished is in the file.
    """
    # Imported here: the other verbs need no torch.
    from verify.trial import Evidence, lines
    from verify.trial.calibration import calibrate as check
    from verify.trial.calibration import campaigns, load, save
    from verify.trial.calibration.campaign import SHIPPED

    left_out: list[BadLine] = []
    path, claims = arguments.evidence, tuple(find(claim).id for claim in arguments.claims)
    try:
        if arguments.root_seeds is not None:
            measure_missing(claims, range(arguments.root_seeds[0], arguments.root_seeds[1] + 1), path, say)
        if path is None:
            found = tuple(own for own in load(SHIPPED) if not claims or own.claim in claims)
        else:
            read = list(lines(path))
            found = campaigns((item for item in read if isinstance(item, Evidence)), claims)
            left_out = [item for item in read if not isinstance(item, Evidence)]
        if arguments.save is not None:
            save(found, arguments.save)
        return check(found), left_out
    except (OSError, ValueError) as error:
        raise CalibrateError(str(error)) from error


def measure_missing(claims: Sequence[str], seeds: range, path: Path | None, say: Say) -> None:
    """Put claims on trial at root seeds that a file has no verdict for, by the tests that `pytest verify/` runs.

    Each root seed is one run of pytest in this process; its evidence is appended to the file when it ends.

    Raises:
        CalibrateError: there is no file or no root seed, or the quick profile does not measure a claim.
        KeyboardInterrupt: Ctrl-C; what was finished is in the file.
        OSError: the file cannot be read or written.
    """
    if path is None or not seeds:
        got = "no file" if path is None else f"{seeds.start} to {seeds.stop - 1}"
        raise CalibrateError(f"expected --evidence FILE and FIRST ≤ LAST, got {got}; name a file that may grow")
    from verify.claims import experiment, outlook
    from verify.trial import Evidence, lines
    from verify.trial.calibration.campaign import PROFILE, declared
    from verify.trial.evidence import append, check_writable

    wanted = {claim: experiment(CLAIMS[claim]) for claim in claims or CLAIMS}
    networks = {claim for claim in wanted if outlook(CLAIMS[claim]).figure}
    if claims and networks:
        raise CalibrateError(
            f"expected claims that the quick profile measures, got {', '.join(sorted(networks))}: it trains no "
            "networks and shows what is stored; leave them out"
        )
    check_writable(path)
    designs = {c: declared(module.designs(PROFILE)) for c, module in wanted.items() if c not in networks}
    done = {
        (item.claim, item.root_seed)
        for item in lines(path)
        if isinstance(item, Evidence) and item.profile == PROFILE and declared(item) == designs.get(item.claim)
    }
    plan = [(seed, missing) for seed in seeds if (missing := [c for c in designs if (c, seed) not in done])]
    start = time.monotonic()
    for number, (seed, missing) in enumerate(plan, start=1):
        found = _run([Path(str(wanted[claim].__file__)) for claim in missing], seed)
        for item in found:
            append(path, item)
        failed = sorted(set(missing) - {item.claim for item in found})
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in Counter(item.verdict for item in found).items())
        left = (time.monotonic() - start) / number * (len(plan) - number)
        say(f"root seed {seed}, {number} of {len(plan)}: {verdicts or 'nothing'}; {left / 60:.0f} min left")
        if failed:
            say(f"no verdict of {', '.join(failed)}: pytest verify/ --profile {PROFILE} --root-seed {seed} shows why")


def _run(files: Sequence[Path], seed: int) -> list[Evidence]:
    """Run the trials of some claims at a root seed, quietly; an unexpected verdict is evidence like any other."""
    import pytest

    from verify.cli.run import suite_options
    from verify.trial import Evidence, lines
    from verify.trial.calibration.campaign import PROFILE

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        evidence = Path(folder) / "evidence.jsonl"
        options = [
            *suite_options(Path(folder)),
            f"--evidence={evidence}",
            f"--profile={PROFILE}",
            f"--root-seed={seed}",
        ]
        status = pytest.main([*map(str, files), *options, "-k", "not property", "-p", "no:terminal"])
        if status == pytest.ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        return [item for item in lines(evidence) if isinstance(item, Evidence)] if evidence.is_file() else []
