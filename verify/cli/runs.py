"""`flatproof runs`: list, show and prune the stored runs."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verify.runs import RunStore


class RunsError(ValueError):
    """The command line asks for a run or a removal that is not to be had."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the verb."""
    common = argparse.ArgumentParser(add_help=False)
    # Suppressed: a default here would undo `flatproof runs --json list`.
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON document")
    common.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="folder of the runs (default $FLATPROOF_RUNS or ~/.cache/flatproof/runs)",
    )
    actions = parser.add_subparsers(dest="runs_action", required=True, metavar="ACTION")
    text = "one line for each run: key, status, progress, size"
    actions.add_parser("list", parents=[common], help=text, description=text)
    text = "a run's configuration, history and result; every file is read and its hash compared"
    show = actions.add_parser("show", parents=[common], help=text, description=text)
    show.add_argument("key", metavar="KEY", help="the first digits of its key, as many as tell it apart")
    text = "remove runs; one that a process works on is never removed"
    prune = actions.add_parser("prune", parents=[common], help=text, description=text)
    prune.add_argument("--unfinished", action="store_true", help="runs without a result")
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="only what was not written to for so long")
    prune.add_argument("--corrupt", action="store_true", help="corrupt files, and what was set aside as corrupt")
    prune.add_argument("--outdated", action="store_true", help="runs of another version of the store, found no more")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def describe(arguments: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for and return it as JSON-ready content.

    Raises:
        RunsError: there is no such run, or the options select nothing; the message says what to do.
    """
    # Imported here: the other verbs need no torch.
    from verify.runs import RunStore, default_root

    store = RunStore(arguments.root or default_root())
    found: dict[str, Any] = {"action": arguments.runs_action, "root": str(store.root)}
    try:
        if arguments.runs_action == "list":
            found["runs"] = [_summary(store, digest) for digest in store.digests()]
        elif arguments.runs_action == "show":
            found["run"] = _details(store, store.find(arguments.key))
        else:
            found |= _prune(store, arguments)
    except (KeyError, ValueError) as error:
        raise RunsError(str(error.args[0])) from error
    except OSError as error:
        raise RunsError(str(error)) from error
    return dict(_finite(found))


def _finite(value: Any) -> Any:
    """Return JSON data with numbers that are not finite, which JSON does not know, by a marked name."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return {"$float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _summary(store: RunStore, digest: str) -> dict[str, Any]:
    from verify.runs import CorruptFileError
    from verify.runs.sealed import OutdatedFileError
    from verify.runs.store import size

    content: dict[str, Any] = {"key": digest, "bytes": size(store.folder(digest))}
    try:
        record = store.record(digest)
    except CorruptFileError as error:
        status = "outdated" if isinstance(error, OutdatedFileError) else "corrupt"
        return content | {"status": status, "report": error.reason, "progress": 0, "incidents": 0, "updated": None}
    content |= {name: record[name] for name in ("status", "progress", "report", "updated")}
    return content | {"seed": record["key"]["seed"], "incidents": len(record["incidents"])}


def _details(store: RunStore, digest: str) -> dict[str, Any]:
    from verify.runs.run import checkpoint_numbers, read_result

    content = _summary(store, digest)
    folder = store.folder(digest)
    problems = store.check(digest)
    content["problems"] = [{"file": error.path.name, "reason": error.reason} for error in problems]
    content["checkpoints"] = checkpoint_numbers(folder)
    if content["status"] not in ("corrupt", "outdated"):
        record = store.record(digest)
        content |= {name: record[name] for name in ("incidents", "created", "history")}
        content |= {name: record["key"][name] for name in ("configuration", "sources", "versions")}
    content["result"] = None
    if all(error.path.stem != "result" for error in problems) and (result := read_result(folder)) is not None:
        shapes = {name: list(tensor.shape) for name, tensor in result.tensors.items()}
        content["result"] = {"content": result.content, "tensors": shapes}
    return content


def _prune(store: RunStore, arguments: argparse.Namespace) -> dict[str, Any]:
    chosen = store.removals(
        unfinished=arguments.unfinished,
        older_than_days=arguments.older_than,
        corrupt=arguments.corrupt,
        outdated=arguments.outdated,
    )
    done = [item for item in chosen if arguments.dry_run or store.remove(item)]
    removed = [
        {"key": r.digest, "files": [path.name for path in r.files], "reason": r.reason, "bytes": r.bytes} for r in done
    ]
    return {"dry_run": arguments.dry_run, "removed": removed, "bytes": sum(r.bytes for r in done)}


def as_text(found: dict[str, Any]) -> str:
    """Return the content as lines for people."""
    if found["action"] == "list":
        lines = [_line(run) for run in found["runs"]]
        if any(run["status"] == "outdated" for run in found["runs"]):
            lines.append("outdated: of another version of the store, found no more; flatproof runs prune --outdated")
        return "\n".join(lines) or f"no runs in {found['root']}"
    if found["action"] == "prune":
        verb = "would remove" if found["dry_run"] else "removed"
        lines = [f"{verb} {_what(item)}: {item['reason']}" for item in found["removed"]]
        return "\n".join([*lines, f"{verb} {len(lines)} items, {found['bytes'] / 1e6:.1f} MB"])
    run = found["run"]
    shown = {**run, "history": f"{len(run.get('history', ()))} entries; --json shows all"}
    return json.dumps(shown, ensure_ascii=False, indent=2)


def _line(run: dict[str, Any]) -> str:
    shown = f"{run['key'][:12]}  {run['status']:<13} progress {run['progress']:<10g} {run['bytes'] / 1e6:8.2f} MB"
    return f"{shown}  {run['report']}".rstrip()


def _what(item: dict[str, Any]) -> str:
    return f"{', '.join(item['files'])} of {item['key'][:12]}" if item["files"] else item["key"][:12]
