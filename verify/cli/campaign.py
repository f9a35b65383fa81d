"""`flatproof campaign`: carry out the runs of a campaign that are not done yet, and write the table of all."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.cli.output import print_json, usage_error

if TYPE_CHECKING:
    from verify.campaigns import Outcome, RowsFile, Run


class CampaignCommandError(ValueError):
    """The command line asks for a campaign that is not to be had."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what to run: a grid, in TOML")
    parser.add_argument(
        "--store", type=Path, metavar="DIR", help="of the runs (default $FLATPROOF_RUNS or ~/.cache/flatproof/runs)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs made at once on this machine (default 1)"
    )
    parser.add_argument(
        "--executor",
        default="processes",
        metavar="E",
        help="processes (default), dask for a local cluster, or tcp://HOST:PORT, the scheduler of a cluster",
    )
    parser.add_argument(
        "--rows", type=Path, metavar="OUT", help="write the table to OUT.csv or OUT.parquet as it grows"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")


def act(arguments: argparse.Namespace) -> int:
    """Carry out the verb; return its exit status: 1 where a run failed."""
    # Imported here: the other verbs need no torch.
    try:
        found = carry_out(arguments)
    except CampaignCommandError as error:
        return usage_error(str(error))
    except KeyboardInterrupt:
        return usage_error("interrupted; what is done is kept, and the same command goes on")
    if arguments.json:
        print_json("campaign", found)
    else:
        print(as_text(found))
    return 1 if found["failed"] else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def carry_out(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for and return it as JSON-ready content.

    Raises:
        CampaignCommandError: the file, an option or an executor cannot be used; the message says what to do.
        KeyboardInterrupt: Ctrl-C; finished runs are kept, the others resume.
    """
    from verify.campaigns import CampaignError, RowsError, RowsFile, Workers, WorkersError, load, runs
    from verify.environment import DeviceError, require_device
    from verify.runs import default_root

    root = (arguments.store or default_root()).absolute()
    try:
        campaign = load(arguments.file)
        workers = Workers(arguments.executor, arguments.jobs)
        if arguments.executor == "processes":
            require_device(arguments.device)
        plan = runs(campaign, arguments.device)
        table = None if arguments.rows is None else RowsFile(arguments.rows, plan, root)
        found, failed = _work_off(plan, root, workers, table)
    except (CampaignError, DeviceError, RowsError, WorkersError, OSError) as error:
        raise CampaignCommandError(str(error)) from error
    return {
        "name": campaign.name,
        "store": str(root),
        "rows": None if arguments.rows is None else str(arguments.rows),
        "runs": len(plan),
        "finished": len(found),
        "failed": [{"run": run.about, "report": report} for run, report in failed],
    }


def _work_off(
    plan: list[Run], root: Path, workers: Any, table: RowsFile | None
) -> tuple[dict[int, Outcome], list[tuple[Run, str]]]:
    """Do what is not done; return the finished runs, by place, and the failed ones with the reason."""
    from verify.campaigns import completed, finished, perform

    found = {number: outcome for number, run in enumerate(plan) if (outcome := finished(run, root)) is not None}
    if table is not None:
        table.add({plan[number]: outcome for number, outcome in found.items()})
    failed: list[tuple[Run, str]] = []
    left = [number for number in range(len(plan)) if number not in found]
    _say(f"{len(plan)} runs, {len(found)} of them done before")
    start, made = time.monotonic(), 0
    for waits in (False, True):
        held = []
        numbers = {id(plan[number]): number for number in left}
        results = completed(partial(perform, root=root, waits=waits), [plan[number] for number in left], workers)
        with contextlib.closing(results):
            for run, result in results:
                number = numbers[id(run)]
                if not isinstance(result, Exception) and result.status == "held":
                    held.append(number)
                    _say(f"{run.about}: another process does it; taken up again at the end")
                    continue
                made += 1
                if isinstance(result, Exception) or result.status == "failed":
                    report = str(result) or type(result).__name__ if isinstance(result, Exception) else result.report
                    failed.append((run, report))
                    what = f"failed: {report}"
                else:
                    found[number] = result
                    if table is not None:
                        table.add({run: result})
                    what = f"{result.content['seconds']:.0f} s"
                to_do = len(plan) - len(found) - len(failed)
                left_minutes = (time.monotonic() - start) / made * to_do / 60
                _say(f"{run.about}: {what}; {len(plan) - to_do} of {len(plan)}, {left_minutes:.0f} min left")
        left = sorted(held)
        if not left:
            break
    return found, failed


def as_text(found: dict[str, Any]) -> str:
    """Return the content as lines for people."""
    lines = [f"{found['name']}: {found['finished']} of {found['runs']} runs finished, kept in {found['store']}"]
    lines += [f"failed: {own['run']}: {own['report']}" for own in found["failed"]]
    if found["rows"] is not None:
        lines.append(f"rows in {found['rows']}")
    return "\n".join(lines)
