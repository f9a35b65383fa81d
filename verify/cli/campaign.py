"""`flatproof campaign`: carry out the runs of a campaign that are not done yet, and write the table of all."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.cli.output import print_json, usage_error

if TYPE_CHECKING:
    from verify.campaigns import Outcome, RowsFile, Run, Workers


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
    parser.add_argument(
        "--dry-run", action="store_true", help="only say how many runs are left, and how long they take"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")


def act(arguments: argparse.Namespace) -> int:
    """Carry out the verb; return its exit status: 1 where a run failed."""
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
    # Imported here: the other verbs need no torch.
    from verify.campaigns import (
        CampaignError,
        RowsError,
        RowsFile,
        Workers,
        WorkersError,
        estimate,
        finished,
        load,
        runs,
    )
    from verify.campaigns.questions import questions
    from verify.environment import DeviceError, require_device
    from verify.runs import default_root

    root = (arguments.store or default_root()).absolute()
    try:
        campaign = load(arguments.file)
        questions(campaign)  # one that cannot be asked is found before anything is trained
        workers = Workers(arguments.executor, arguments.jobs)
        if arguments.executor == "processes":
            require_device(arguments.device)
        plan = runs(campaign, arguments.device)
        found = {run: outcome for run in plan if (outcome := finished(run, root)) is not None}
        content = {
            "name": campaign.name,
            "store": str(root),
            "runs": len(plan),
            "conditions": list(campaign.conditions),
        }
        if arguments.dry_run:
            return content | {
                "finished": len(found),
                "failed": [],
                "estimates": list(map(asdict, estimate(plan, found))),
            }
        table = None if arguments.rows is None else RowsFile(arguments.rows, plan, root)
        failed = _work_off(plan, found, root, workers, table)
    except (CampaignError, DeviceError, RowsError, WorkersError, OSError) as error:
        raise CampaignCommandError(str(error)) from error
    return content | {
        "rows": None if arguments.rows is None else str(arguments.rows),
        "finished": len(found),
        "failed": [{"run": run.about, "report": report} for run, report in failed.items()],
    }


def _work_off(
    plan: Sequence[Run], found: dict[Run, Outcome], root: Path, workers: Workers, table: RowsFile | None
) -> dict[Run, str]:
    """Do what is not among the finished runs, and add it to them; return the failed ones with the reason.

    Runs that another process does are taken up at the end, when they are found done or have to be waited for.
    """
    from verify.campaigns import Outcome, completed, perform, progress

    if table is not None:
        table.add(found)
    _say(f"{len(plan)} runs, {len(found)} of them done before")
    failed: dict[Run, str] = {}

    def told() -> str:
        ended = len(found) + len(failed)
        steps = sum(run.steps * (run in found or run in failed or progress(run, root)) for run in plan)
        minutes = (time.monotonic() - start) / max(1, steps - begun) * (whole - steps) / 60
        return f"{ended} of {len(plan)}, {minutes:.0f} min left" if steps > begun else f"{ended} of {len(plan)}"

    left, start, whole = [run for run in plan if run not in found], time.monotonic(), sum(run.steps for run in plan)
    begun = sum(run.steps * (run in found or progress(run, root)) for run in plan)
    for waits in (False, True):
        held = []
        results = completed(partial(perform, root=root, waits=waits), left, workers, lambda: _say(told()))
        with contextlib.closing(results):
            for run, result in results:
                if isinstance(result, Outcome) and result.status == "held":
                    held.append(run)
                    _say(f"{run.about}: another process does it; taken up again at the end")
                    continue
                if isinstance(result, Outcome) and result.status == "finished":
                    found[run] = result
                    what = f"{result.content['seconds']:.0f} s"
                    if table is not None:
                        table.add({run: result})
                else:
                    failed[run] = result.report if isinstance(result, Outcome) else f"{type(result).__name__}: {result}"
                    what = f"failed: {failed[run]}"
                _say(f"{run.about}: {what}; {told()}")
        left = held
        if not held:
            break
    return failed


def as_text(found: dict[str, Any]) -> str:
    """Return the content as lines for people."""
    told = f"{found['name']}: {found['finished']} of {found['runs']} runs finished, kept in {found['store']}"
    lines = [told, *(f"failed: {own['run']}: {own['report']}" for own in found["failed"])]
    for own in found.get("estimates", ()):
        where = ", ".join([own["family"], *(f"{key} {value}" for key, value in own["point"].items())])
        how = {"finished": "as finished ones took", "timed": "by steps timed here"}[own["source"]]
        lines.append(f"{where}: {own['runs']} to do, {own['seconds']:.3g} s each, {how}")
    if "estimates" in found:
        hours = sum(own["runs"] * own["seconds"] for own in found["estimates"]) / 3600
        lines.append(
            f"{len(found['conditions'])} conditions; to do: some {hours:.3g} hours of one core, less what is stored"
        )
    if found.get("rows") is not None:
        lines.append(f"rows in {found['rows']}")
    return "\n".join(lines)
