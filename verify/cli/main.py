"""Command line: list the claims, show derivations, evaluate predictions, run experiments, draw the graph.

Exit status: 0 when all is as expected, 1 when a verdict is not the expected one (or the run failed, or a planted fault
was not caught), 2 when the command line is wrong, or a line of evidence cannot be read (the others are shown all the
same). With `--json` every verb prints one JSON document, described in `paper_notes/json_schema.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from theory import Claim, ParameterError, display, graph
from theory.claims import CLAIMS, dependency_graph, find
from theory.kernel import Derivation
from verify.cli import calibrate as cli_calibrate
from verify.cli import campaign as cli_campaign
from verify.cli import language as cli_language
from verify.cli import mutate as cli_mutate
from verify.cli import runs as cli_runs
from verify.cli import turns as cli_turns
from verify.cli.output import print_json, usage_error
from verify.environment import PROFILES, SCALE_NAMES


def _describe(claim: Claim) -> dict[str, Any]:
    # Imported here: the list for people needs no torch.
    from verify.claims import outlook

    return {
        "id": claim.id,
        "title": claim.title,
        "statement": claim.statement,
        "hypotheses": list(claim.hypotheses),
        "uses": list(claim.uses),
        "source": claim.source,
        "status": claim.status,
        **asdict(outlook(claim)),
        "formulas": {
            variant: {
                "quantity": claim.formula(variant).quantity,
                "expression": str(claim.formula(variant).expression),
                "parameters": {
                    p.name: {"meaning": p.meaning, "domain": p.domain} for p in claim.formula(variant).parameters
                },
            }
            for variant in claim.formulas
        },
    }


def _list(arguments: argparse.Namespace) -> int:
    if arguments.json:
        print_json("list", [_describe(claim) for claim in CLAIMS.values()])
        return 0
    for claim in CLAIMS.values():
        names = " ".join(parameter.name for parameter in claim.formula().parameters) if claim.formulas else ""
        print(f"{claim.id:<22} {claim.status}")
        print(f"    {claim.title}")
        if claim.formulas:
            print(f"    predicts: {claim.formula().quantity}" + (f"   parameters: {names}" if names else ""))
    return 0


def _derive(arguments: argparse.Namespace) -> int:
    derivation = find(arguments.id).derivation
    lemmas = _lemmas(derivation)
    if arguments.json:
        content = {**display.as_json(derivation), "lemmas": [display.as_json(lemma) for lemma in lemmas]}
        print_json("derive", content)
        return 0
    show = display.as_latex if arguments.latex else display.as_text
    print("\n\n".join(show(part) for part in (*lemmas, derivation)))
    return 0


def _lemmas(derivation: Derivation) -> list[Derivation]:
    """Return the derivations that this one imports steps from and that are no claims themselves, deepest first."""
    found: list[Derivation] = []
    for source in derivation.lemmas:
        if source.claim not in CLAIMS:
            found += [lemma for lemma in (*_lemmas(source), source) if all(lemma is not known for known in found)]
    return found


def _assignments(pairs: Sequence[str], example: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in values:
            problem = "is given twice" if name in values else "is not of the form name=value"
            raise ParameterError(f"{pair!r} {problem}; write for example: {example}")
        values[name] = value
    return values


def _predict(arguments: argparse.Namespace) -> int:
    claim = find(arguments.id)
    values = _assignments(arguments.values, "flatproof predict product-model alpha=1 tau=2")
    variant = claim.select_variant(values)
    formula = claim.formula(variant)
    parsed = formula.parse(values)
    value = formula(**parsed)
    if arguments.json:
        content = {
            "id": claim.id,
            "variant": variant,
            "quantity": formula.quantity,
            "formula": str(formula.expression),
            "latex": formula.latex(),
            "parameters": parsed,
            "value": value,
            "status": claim.status,
        }
        print_json("predict", content)
    else:
        print(display.prediction_as_text(formula, value))
    return 0


def _run(arguments: argparse.Namespace) -> int:
    claim = find(arguments.id)
    # Imported here: the other verbs need no torch.
    from verify.claims import experiment
    from verify.cli.run import measure
    from verify.cohorts import ScaleError, scale_of
    from verify.environment import DeviceError, require_device

    try:
        require_device(arguments.device)
        scale_of(arguments.profile, arguments.scale)
    except (DeviceError, ScaleError) as error:
        return usage_error(str(error))
    options = [
        f"--device={arguments.device}",
        f"--profile={arguments.profile}",
        f"--root-seed={arguments.root_seed}",
        *([] if arguments.scale is None else [f"--scale={arguments.scale}"]),
    ]
    # Standard output is kept for the JSON.
    status, found = measure(Path(str(experiment(claim).__file__)), options, sys.stderr if arguments.json else None)
    if arguments.json:
        print_json("run", found.as_json() if found else None)
    return 0 if status == 0 else 1


def _graph(arguments: argparse.Namespace) -> int:
    edges = dependency_graph(CLAIMS)
    if arguments.json:
        content = {
            "nodes": [{"id": node, "status": CLAIMS[node].status} for node in edges],
            "edges": [{"from": used, "to": user} for used, user in edges.edges],
            "dot": graph.dot(CLAIMS),
            "mermaid": graph.mermaid(CLAIMS),
        }
        print_json("graph", content)
        return 0
    if arguments.format in ("dot", "both"):
        print(graph.dot(CLAIMS))
    if arguments.format in ("mermaid", "both"):
        print(graph.mermaid(CLAIMS))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from verify.claims import outlooks
    from verify.trial import Evidence, lines, report

    try:
        read = [list(lines(_evidence_file(file))) for file in arguments.file]
    except OSError as error:
        return usage_error(str(error))
    files = [{item.claim: item for item in items if isinstance(item, Evidence)} for items in read]
    left_out = [item for items in read for item in items if not isinstance(item, Evidence)]
    for item in left_out:
        usage_error(f"left out: {item}")
    if len(files) > 1 and not (arguments.languages or arguments.evaluations):
        return usage_error("only --languages and --evaluations show several files in one table; report them one by one")
    evidence = [found[claim] for claim in CLAIMS for found in files if claim in found]
    if arguments.json:
        print_json("report", [item.as_json() for item in evidence])
    elif arguments.languages:
        print(report.by_language(evidence, outlooks({item.claim for item in evidence})), end="")
    elif arguments.evaluations:
        print(report.further_evaluations(evidence), end="")
    elif arguments.figure:
        from verify.trial import plots

        try:
            plots.save(plots.forest(evidence), arguments.figure)
        except (OSError, ValueError) as error:
            return usage_error(str(error))
    elif arguments.markdown:
        print(report.markdown(evidence, outlooks({item.claim for item in evidence})), end="")
    else:
        print("\n".join(report.table(evidence)))
    return 2 if left_out else 0


def _evidence_file(name: str) -> Path:
    """Return the file of that name, or else the evidence of that name that comes with flatproof.

    Raises:
        FileNotFoundError: there is neither.
    """
    from verify.trial.stored import FOLDER

    shipped = {path.stem: path for path in FOLDER.glob("*.jsonl")}
    if not Path(name).exists() and name not in shipped:
        raise FileNotFoundError(
            f"there is no file {name!r}, and the evidence that comes with flatproof is {', '.join(sorted(shipped))}"
        )
    return Path(name) if Path(name).exists() else shipped[name]


def _language(arguments: argparse.Namespace) -> int:
    try:
        values = _assignments(arguments.values, "flatproof language pairs d=4 alpha=1.5")
        found = cli_language.describe(arguments, values)
    except cli_language.LanguageError as error:
        return usage_error(str(error))
    if arguments.json:
        print_json("language", found)
    else:
        print(cli_language.as_text(found))
    return 0


def _runs(arguments: argparse.Namespace) -> int:
    try:
        found = cli_runs.describe(arguments)
    except cli_runs.RunsError as error:
        return usage_error(str(error))
    if arguments.json:
        print_json("runs", found)
    else:
        print(cli_runs.as_text(found))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="flatproof", description="Machine-checked, measured theory of flat minima.")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print one JSON document")
        added.set_defaults(action=action)
        return added

    verb("list", _list, "list the claims with the status of their derivations")
    derive = verb("derive", _derive, "show every step of a derivation, its reason and its check")
    derive.add_argument("id", metavar="ID")
    derive.add_argument("--latex", action="store_true", help="print LaTeX")
    predict = verb("predict", _predict, "evaluate the closed form of a claim")
    predict.add_argument("id", metavar="ID")
    predict.add_argument("values", nargs="*", metavar="name=value")
    run = verb("run", _run, "run the experiment of a claim and print its verdict")
    run.add_argument("id", metavar="ID")
    run.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    run.add_argument("--profile", choices=PROFILES, default="default")
    run.add_argument(
        "--scale",
        metavar="NAME[:FAMILY,…]",
        help=f"of the networks in claims about them: {', '.join(SCALE_NAMES)} (default: the profile's), and families "
        "of languages in place of its own",
    )
    run.add_argument("--root-seed", type=int, default=0, metavar="N")
    report = verb("report", _report, "print the table of a file of evidence; the latest line of each claim counts")
    report.add_argument(
        "file",
        metavar="FILE",
        nargs="*",
        default=["default-cpu"],
        help="written by --evidence, or evidence that comes with flatproof: default-cpu (the default), medium-cpu, …",
    )
    form = report.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print it as the README shows it")
    form.add_argument(
        "--languages", action="store_true", help="print verdicts by language and scale, in Markdown, of several files"
    )
    form.add_argument(
        "--evaluations", action="store_true", help="print what further evaluations found, in Markdown, of several files"
    )
    form.add_argument(
        "--figure", type=Path, metavar="OUT", help="draw it as a forest plot into a file, such as claims.svg"
    )
    cli_language.add_arguments(
        verb("language", _language, "show a language: sentences, entropy floor, picture; without NAME, list them")
    )
    cli_runs.add_arguments(verb("runs", _runs, "list, show and prune the stored runs of networks"))
    cli_campaign.add_arguments(
        verb("campaign", cli_campaign.act, "train the cohorts of a grid, on one machine or many, and write their table")
    )
    cli_turns.add_arguments(
        verb("map", cli_turns.act, "print from which dose on, and for which languages, the claims about networks hold")
    )
    cli_calibrate.add_arguments(
        verb("calibrate", cli_calibrate.act, "check what the designs promise on the quick profile at many root seeds")
    )
    cli_mutate.add_arguments(
        verb("mutate", cli_mutate.act, "plant known faults in a copy of the source, and see which tests catch them")
    )
    draw = verb("graph", _graph, "print the graph of which claim rests on which")
    draw.add_argument("--format", choices=("dot", "mermaid", "both"), default="both")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        status = int(arguments.action(arguments))
        sys.stdout.flush()
        return status
    except OSError as error:
        # The interpreter must not flush to stdout again at exit: its reader, such as `head`, has seen enough, or its
        # disk is full.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0 if isinstance(error, BrokenPipeError) else usage_error(str(error))
    except (KeyError, ParameterError) as error:
        return usage_error(str(error.args[0]))


if __name__ == "__main__":
    sys.exit(main())
